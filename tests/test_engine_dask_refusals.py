"""A cluster that lacks something is refused in one line that names the worker, before any task."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cli
from engine import BadDevice, Cluster, ClusterError, Need
from engine.cluster import checked_reply
from engine.connection import address_of, connected
from engine.devices import MIXED, check_devices, kind_of
from engine.workers import greeted
from fitness.features.bank import FeatureKey
from fitness.features.workshop import NEEDS, Workshop
from tests.robustness.loopback import ROOT, Loopback
from tests.robustness.small import write_jsonl

EXTRACT = ("extract", "--batch", "2", "--seq-len", "24")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """A scheduler without workers."""
    pytest.importorskip("distributed", reason="dask is not installed: pip install -r requirements-cluster.txt")
    found = Loopback(tmp_path_factory.mktemp("cluster"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("table") / "tiny.jsonl")


def other_torch(folder: Path) -> str:
    (folder / "torch.py").write_text('__version__ = "9.9.9"\n')
    return f"{folder}:{ROOT}"


def other_extractor(folder: Path) -> str:
    shutil.copytree(ROOT / "fitness", folder / "fitness", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "fitness" / "features" / "collect.py"
    path.write_text(path.read_text().replace("EXTRACTOR_VERSION = ", "EXTRACTOR_VERSION = 7"))
    return f"{folder}:{ROOT}"


def no_project(folder: Path) -> str:
    return str(folder)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (other_torch, r"got torch 9\.9\.9, wanted \d[\w.]+, as here; install the same there, or stop it"),
        (other_extractor, r"got extractor version 7\d, wanted \d, as here; install the same"),
        (
            no_project,
            r"has no extractor version, wanted \d, as here; install it there, or start the worker .*PYTHONPATH",
        ),
    ],
    ids=["torch", "extractor", "project"],
)
def test_a_worker_that_has_something_else_is_one_line_and_gets_no_task(
    path: Callable[[Path], str], message: str, cluster: Loopback, table: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    place = tmp_path / "other"
    place.mkdir()
    cluster.staff("odd", path=path(place))
    address = cluster.address("odd")
    extract = [*EXTRACT, "--benchmark", str(table), "--bank", str(tmp_path / "bank"), *cluster.options]
    assert cli.main(extract) == 1
    said = capfd.readouterr().err
    assert re.fullmatch(rf"error: worker {re.escape(address)}: {message}[^\n]*\n", said), said
    assert cluster.executed() == 0 and not (tmp_path / "bank").exists()
    cluster.dismiss("odd")


def test_a_cluster_without_workers_is_refused(cluster: Loopback) -> None:
    with pytest.raises(ClusterError, match="has no worker, wanted at least one"), Cluster.open(str(cluster.file), ()):
        pass


class Told:
    """A client whose workers say what the test wants."""

    def __init__(self, said: object, python: str = ".".join(map(str, sys.version_info[:3]))) -> None:
        self.said, self.python = said, python

    def get_versions(self) -> dict:
        return {"workers": {"tcp://w:1": {"host": {"python": f"{self.python}.final.0"}}}}

    def run(self, function: object, *args: object, **more: object) -> dict:
        return {"tcp://w:1": self.said}


FINE = {"id": "W", "threads": 1, "devices": [], "free": 9}


@pytest.mark.parametrize(
    ("said", "devices", "message"),
    [
        (FINE | {"threads": 4}, "auto", "has 4 threads, wanted one; start it with --nthreads 1"),
        (FINE | {"devices": ["cuda:0", "cuda:1"]}, "auto", "sees 2 CUDA devices, wanted one; start a worker for each"),
        (FINE, "cuda", "sees 0 CUDA devices, wanted one"),
        (FINE, "cuda:0,cuda:1", "got 'cuda:0,cuda:1', wanted one of auto, cpu, cuda: the workers"),
        (RuntimeError("odd"), "auto", r"cannot be asked what it is \(RuntimeError: odd\)"),
    ],
)
def test_a_worker_of_another_kind_is_refused(said: object, devices: str, message: str) -> None:
    pytest.importorskip("cloudpickle")
    with pytest.raises(ClusterError, match=message):
        greeted(Told(said), ["tcp://w:1"], (), devices)  # type: ignore[arg-type]


def test_another_python_is_refused_before_anything_is_sent() -> None:
    pytest.importorskip("cloudpickle")
    with pytest.raises(ClusterError, match=r"worker tcp://w:1: got Python 3\.1, wanted 3\.\d+, as here"):
        greeted(Told(FINE, "3.1.4"), ["tcp://w:1"], (), "auto")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "asked", "device"),
    [([], "auto", "cpu"), (["cuda:0"], "auto", "cuda:0"), (["cuda:0"], "cpu", "cpu"), (["cuda:0"], "cuda", "cuda:0")],
)
def test_a_worker_works_on_its_only_device(found: list[str], asked: str, device: str) -> None:
    pytest.importorskip("cloudpickle")
    (hand,) = greeted(Told(FINE | {"devices": found}), ["tcp://w:1"], (), asked)  # type: ignore[arg-type]
    assert hand.device == device and hand.free == 9
    assert greeted(Told(OSError("left")), ["tcp://w:1"], (), asked) == []  # type: ignore[arg-type]


def test_what_a_worker_needs_is_compared_without_what_torch_was_compiled_for() -> None:
    assert [need.name for need in NEEDS][:3] == ["torch", "transformers", "extractor version"]
    assert "+" not in Need("torch", "torch", "__version__").value


def test_devices_whose_numbers_differ_mix_only_on_demand_and_share_nothing_in_a_bank() -> None:
    assert kind_of(["cpu", "cpu"]) == "cpu" and kind_of(["cuda:0", "cuda:1"]) == "cuda"
    with pytest.raises(BadDevice, match="got cpu and cuda together, whose numbers differ .* or use --mix-devices"):
        kind_of(["cpu", "cuda:0"])
    assert kind_of(["cpu"], mix=True) == kind_of(["cpu", "cuda:0"], mix=True) == MIXED
    keys = [FeatureKey.create("gpt2", "tokens", device=kind).digest for kind in ("cpu", "cuda", MIXED)]
    assert len(set(keys)) == 3 and keys[0] == FeatureKey.create("gpt2", "tokens").digest
    # As it was before there were kinds, so that the banks and the halls of fame of then are still good.
    plain = FeatureKey("gpt2", "b", "t", 0, 1, 1, 1)
    assert plain.digest == "861e1afc26936af36bc8be5c5d63c315ec853e3c9c5242c83161e64817033bae"


def test_a_bank_of_one_kind_is_not_filled_by_another(tmp_path: Path, tiny_architectures: list) -> None:
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path)
    foreign = Workshop(type(workshop.bank)(tmp_path, FeatureKey.create("gpt2", "t", device="cuda")), workshop.batch)
    with pytest.raises(BadDevice, match="got cpu, wanted cuda, which the features are of"):
        foreign.extract(tiny_architectures[:1])
    mixed = Workshop.open("gpt2", batch=2, length=24, devices="cpu", mix_devices=True, bank=tmp_path)
    assert mixed.extract(tiny_architectures[:1]) == workshop.extract(tiny_architectures[:1]) == 1
    assert check_devices("cpu") == mixed.devices


@pytest.mark.parametrize(
    ("text", "message"), [("somewhere", "got 'somewhere', wanted HOST:PORT or"), ("missing.json", "missing.json: .*")]
)
def test_a_scheduler_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(ClusterError, match=f"^--scheduler: {message}"):
        address_of(text)


def test_the_file_of_a_scheduler_is_read_as_data(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"address": "tcp://10.0.0.1:8786", "workers": {}}))
    assert address_of(str(path)) == "tcp://10.0.0.1:8786"
    path.write_text(json.dumps({"address": "evil()"}))
    with pytest.raises(ClusterError, match="wanted HOST:PORT"):
        address_of(str(path))


@pytest.mark.parametrize("named", ["s.json", "other.json", "./s.json", "x://host:1.json"])
def test_the_file_of_a_scheduler_names_an_address_and_no_file(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, address in (("s.json", named), ("other.json", "s.json")):
        Path(name).write_text(json.dumps({"address": address}))
    with pytest.raises(ClusterError, match=f"got '{re.escape(named)}', wanted HOST:PORT as the address in s.json"):
        address_of("s.json")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "got no certificates, wanted those of TLS; set DASK_DISTRIBUTED__COMM__TLS__CA_FILE"),
        ({"ca-file": "missing.pem", "client.cert": "x.pem", "client.key": "x.key"}, "cannot be read"),
    ],
)
def test_tls_without_certificates_is_refused_before_it_connects(settings: dict[str, object], message: str) -> None:
    pytest.importorskip("distributed")
    import dask

    names = ("ca-file", "client.cert", "client.key")
    with (
        dask.config.set({f"distributed.comm.tls.{name}": settings.get(name) for name in names}),
        pytest.raises(ClusterError, match=message),
        connected("tls://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("ok", "got a str, wanted the reply to a task"),
        ([True, 1], "got a list"),
        ((True,), "got a tuple"),
        ((1, 2), "got a tuple"),
        ((False, "an error"), "got a failure that is a str"),
        ((False, KeyboardInterrupt()), "got a failure that is a KeyboardInterrupt"),
    ],
)
def test_a_reply_of_another_shape_names_its_worker(said: object, message: str) -> None:
    with pytest.raises(ClusterError, match=f"net1: worker tcp://h:1: {message}.*stop it, then run this again"):
        checked_reply(said, "net1", "tcp://h:1")
    assert checked_reply(None, "net1", "tcp://h:1") is None
    assert checked_reply((True, said), "net1", "tcp://h:1") == (True, said)


@pytest.mark.parametrize("options", [["--engine", "dask"], ["--scheduler", "h:1"]])
def test_an_engine_and_its_scheduler_go_together(
    options: list[str], table: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*EXTRACT, "--benchmark", str(table), *options]) == 2
    assert "--engine dask and --scheduler ADDRESS or FILE.json go together" in capfd.readouterr().err


def test_without_dask_one_line_says_what_to_install_and_nothing_else_needs_it(table: Path, tmp_path: Path) -> None:
    code = """
import sys
for name in ("dask", "distributed"):
    sys.modules[name] = None
import cli
codes = [cli.main([*sys.argv[1:], *more]) for more in (["--devices", "cpu"], "--engine dask --scheduler h:1".split())]
sys.exit(codes != [0, 1])
"""
    extract = [*EXTRACT, "--benchmark", str(table), "--bank", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *extract], cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 0 and done.stdout.startswith("30 networks extracted"), done.stderr
    assert last.endswith("is not installed; python -m pip install -r requirements-cluster.txt"), last
