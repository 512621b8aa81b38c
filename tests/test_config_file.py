"""--config: a YAML file of options, which the command line overrules and a run records like options."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest

import cli
from commands.every_command import MANY
from storage import plugins


def context(path: Path, text: str, *words: str, command: str = "evolve") -> click.Context:
    path.write_text(text)
    return cli.program.commands[command].make_context(command, ["--config", str(path), *words])


def test_the_file_says_options_and_the_command_line_overrules_it(tmp_path: Path) -> None:
    text = (
        "seed: 43\nno_pps: true\ntime-budget: 30m\nbenchmark: [a, b]\nmutations: [branch, replace]\npopulation: 7\n"
        "no-training-budget: true\nteacher: none\ntarget: 0.5\n"
    )
    found = context(tmp_path / "run.yaml", text, "--population", "9").params
    wanted = {
        "seed": 43, "no_pps": True, "time_budget": 1800.0, "names": ("a", "b"), "mutations": "branch,replace",
        "population": 9, "budgeted": False, "teacher": "none", "target": 0.5,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    assert (
        "config_file" not in found and found["iterations"] == context(tmp_path / "no.yaml", "{}").params["iterations"]
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("poplation: 9", "poplation: no option of evolve; did you mean population?"),
        ("zzz: 9", "zzz: no option of evolve; python cli.py evolve --help lists them"),
        ("plugin: evil.py", "plugin: wanted --plugin on the command line, because its code is executed"),
        ("config: other.yaml", "config: wanted --config on the command line, because it does not nest"),
        ("no-pps: 3", "no-pps: got 3, wanted true or false"),
        ("seed:", "seed: got nothing, wanted a value as on the command line"),
        ("seed: {a: 1}", "seed: got several values in one"),
        ("- seed", "got no mapping, wanted lines such as 'seed: 43'"),
        ("seed: !!python/object/apply:os.system [ls]", "got the tag"),
        ("seed: 1\nseed: 2", "line 2: got the key 'seed' twice"),
        ("seed: many", "Invalid value for '--seed'"),
        ("coarse: 0", "--coarse was removed"),
    ],
)
def test_what_is_no_option_is_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text(text)
    assert cli.main(["evolve", "--space", "gpt2", "--config", str(tmp_path / "run.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and said in error


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["select", "--config", str(tmp_path / "no.yaml")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_commands_of_many_options_have_it() -> None:
    for name, command in cli.program.commands.items():
        own = [option for option in command.params if option.name not in ("config_file", "plugin", "quiet", "verbose")]
        assert any(option.name == "config_file" for option in command.params) is (
            len(own) > MANY and not isinstance(command, click.Group)
        ), name


def test_a_run_records_what_the_file_says_as_it_records_options(
    tiny_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "_LOADED", [])
    (tmp_path / "of_config.py").write_text("SEEN = True\n")
    (tmp_path / "run.yaml").write_text(
        f"benchmark: {tiny_benchmark}\npreset: lpzero\nsearch-size: 12\niterations: 2\npopulation: 4\nhall-size: 1\n"
        f"batch: 2\nseq-len: 24\ndevices: cpu\nbank: {tmp_path / 'bank'}\n"
    )
    monkeypatch.setattr("commands.evolve._execute", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    words = ["--config", str(tmp_path / "run.yaml"), "--plugin", str(tmp_path / "of_config.py"), "--verbose"]
    assert cli.main(["evolve", *words, "--seed", "7", "--out", str(tmp_path / "run")]) == 130
    said = capsys.readouterr().err
    assert f"--bank {tmp_path / 'bank'} --plugin {tmp_path / 'of_config.py'}" in said
    assert (
        cli.main(["evolve", "--resume", str(tmp_path / "run"), "--quiet", "--plugin", str(tmp_path / "of_config.py")])
        == 130
    )
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["search"]["population"] == 4 and recorded["search"]["seed"] == 7
    options = recorded["options"]
    pairs = dict(zip(options[::2], options[1::2], strict=True))
    assert pairs["--population"] == "4" and pairs["--preset"] == "lpzero" and pairs["--search-size"] == "12"
    assert pairs["--plugin"] == str(tmp_path / "of_config.py") and not {"--config", "--quiet", "--bank"} & set(options)
    sys.modules.pop("zcp_plugin_of_config")
