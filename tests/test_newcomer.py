"""tests/robustness/newcomer.py: the files that it lays, the commands that it finds in the guide, and what it says of one
that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.benchmarks import load_benchmark
from models.spaces import SPACES
from tests.robustness.guide import GUIDE, ROOT, tasks_of
from tests.robustness.newcomer import CONFIGS, MEASURED, laid, main, steps_of, timed

TEXT = """
```sh
python cli.py show one.json > shown.txt
python -c "print('second')"
```
"""


def test_a_reader_has_forty_models_of_every_size_and_five_configurations(tmp_path: Path) -> None:
    laid(tmp_path, ROOT)
    mine = load_benchmark(str(tmp_path / "mine.jsonl"))
    sizes = [SPACES["gpt2"].parameters(a).total for a in mine.architectures]
    assert len(sizes) == MEASURED == 40 and max(sizes) > 4 * min(sizes) and sizes == sorted(sizes)
    assert sorted(path.parent.name for path in tmp_path.glob("configs/*/config.json")) == sorted(CONFIGS)
    assert all((tmp_path / name).exists() for name in ("proxies", "examples", "cli.py"))


def test_the_steps_of_a_task_are_its_commands_and_where_they_write() -> None:
    assert steps_of(TEXT) == [(["cli.py", "show", "one.json"], "shown.txt"), (["-c", "print('second')"], None)]
    assert all(steps_of(text) for text in tasks_of(GUIDE).values())


def test_a_task_is_timed_to_its_first_failure(tmp_path: Path) -> None:
    (tmp_path / "cli.py").write_text("import sys; print(sys.argv[1:])")
    seconds, failed = timed(TEXT, tmp_path, dict(os.environ))
    assert seconds > 0 and not failed
    assert (tmp_path / "shown.txt").read_text().strip() == "['show', 'one.json']"
    (tmp_path / "cli.py").write_text("import sys; sys.exit('no such thing')")
    assert timed(TEXT, tmp_path, dict(os.environ))[1] == "cli.py show one.json: no such thing"


def test_only_tasks_with_these_words_are_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.robustness.newcomer.timed", lambda text, folder, environment: (1.5, "it"))
    main(["--only", "FIVE hugging"])
    assert capsys.readouterr().out == "   1.5 s  Which of five Hugging Face configurations?: fails: it\n"
