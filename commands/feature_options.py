"""Feature options: the settings that features depend on, and where they are computed and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from commands.names import Name
from commands.options import gathered
from commands.output import say, say_once, was_given

if TYPE_CHECKING:
    from engine.cluster import Cluster
    from fitness.features.workshop import Workshop
    from fitness.predictors.predictor import Provenance
    from gp.hall_file import HallCase
    from models.benchmarks.benchmark import Benchmark
    from storage.datum import Datum

WHERE = ("devices", "mix_devices", "engine", "scheduler", "bank", "weights")
"""The options that a next command needs to find what this one has made."""

CONNECTION = "zcp.cluster"  # the name of a command's cluster in its context


@dataclass(frozen=True)
class FeatureOptions:
    """The settings that features depend on, and where they are computed and stored."""

    build: str | None = None
    batch: int = 4
    seq_len: int = 64
    corpus: Path | None = None
    init_seed: int = 0
    devices: str = "auto"
    mix_devices: bool = False
    engine: str = "local"
    scheduler: str | None = None
    bank: Path = Path(".cache/bank")
    weights: Path | None = None
    stream: bool | None = None
    price: str = "own"
    init: str | None = None  # how weights of the space hf are drawn, which is a build of it
    trained: str | None = None  # the digest of the weights that a run had whose features these are to be

    def open(self, space: str) -> Workshop:
        """The workshop that they describe; says where its weights are not those of the run."""
        from fitness.features.workshop import Workshop

        build = self.init if space == "hf" and self.init else self.build
        workshop = Workshop.open(
            space, build=build, batch=self.batch, length=self.seq_len, corpus=self.corpus,
            init_seed=self.init_seed, devices=self.devices, mix_devices=self.mix_devices, cluster=self._cluster(),
            bank=self.bank, weights=self.weights, stream=self.stream, price=self.price,
        )  # fmt: skip
        if workshop.weights is not None and workshop.batch.unit == "bytes":
            say(
                f"{self.weights}: has no tokenizer.json, so its networks see bytes as token ids, on which none was "
                "trained; copy the tokenizer into the folder"
            )
        if self.trained not in (None, workshop.bank.key.weights):
            got, wanted = (digest[:12] or "none" for digest in (workshop.bank.key.weights, self.trained or ""))
            say(f"--weights: {got} here, {wanted} in the run, so these are other features")
        return workshop

    def open_for(self, benchmark: Benchmark) -> Workshop:
        """The workshop for the space of a benchmark, with the checkpoint that is embedded with it if none is given;
        BadWeights if it was measured on another checkpoint."""
        from fitness.features.soundness import check_checkpoint
        from models.benchmarks.origins import embedded_checkpoint

        workshop = replace(self, weights=self.weights or embedded_checkpoint(benchmark)).open(benchmark.space)
        check_checkpoint(benchmark, workshop)
        return workshop

    def recorded(self, workshop: Workshop) -> dict[str, Any]:
        """The settings that name the features of a workshop which these options opened, for a file."""
        settings = {name: getattr(self, name) for name in ("batch", "seq_len", "init_seed", "build")}
        corpus = str(self.corpus.resolve()) if self.corpus else None
        own = {"weights": workshop.bank.key.weights, "price": workshop.bank.key.price}
        return {**settings, "corpus": corpus, **{name: value for name, value in own.items() if value}}

    def of_space(self, space: str, home: str) -> FeatureOptions:
        """Options for another space than `home`: the build stays in the space of home, others take their first one."""
        return self if space == home else replace(self, build=None)

    def _cluster(self) -> Cluster | None:
        """The cluster that is asked for; one connection for all workshops of a command, and until its end."""
        if (self.engine == "dask") != (self.scheduler is not None):
            raise click.UsageError("--engine dask and --scheduler ADDRESS or FILE.json go together")
        if self.scheduler is None:
            return None
        from engine.cluster import Cluster
        from fitness.features.workshop import NEEDS

        context = click.get_current_context()
        if CONNECTION not in context.meta:
            opened = Cluster.open(self.scheduler, NEEDS, self.devices, self.mix_devices)
            context.meta[CONNECTION] = context.with_resource(opened)
        return cast(Cluster, context.meta[CONNECTION])

    def of_run(
        self, config: Mapping[str, Any], case: HallCase | Provenance | None, binding: bool = True
    ) -> FeatureOptions:
        """Options of the run behind a hall of fame or a predictor. `case` is what the run knows of the space that is
        asked for, None of a space that it did not meet. Options of the user that make other features of a known space
        are refused if the file is `binding`, and differences are said otherwise."""
        recorded = _recorded_features(config, case)
        other = {name: value for name, value in recorded.items() if value != getattr(self, name)}
        taken = {name: value for name, value in other.items() if not was_given(name)}
        overruled = {n: v for n, v in (_unsaid(case) | recorded).items() if was_given(n) and v != getattr(self, n)}
        if "price" in overruled:
            raise click.UsageError(
                f"--price: got {self.price}, wanted {other['price']}, by whose features the formulas were evolved; "
                "leave it out"
            )
        if overruled and case is not None and binding:
            replace(self, **taken)._check_same(overruled, case)
        for name, value in sorted(overruled.items() if case is None or not binding else ()):
            say_once(f"{_flag(name)}: {getattr(self, name)} here, {value} in the run, so these are other features")
        if taken:
            say_once(f"features as in the run: {_flags(taken)}")
        return replace(self, **taken, trained=_recorded_weights(config, case))

    def _check_same(self, recorded: Mapping[str, Any], case: HallCase | Provenance) -> None:
        """Usage error if these options, which differ from the `recorded` ones, make other features than the case has;
        a corpus may have another path and the same text."""
        if not (said := other_features(case, self.open(case.space))):
            return
        got = _flags({name: getattr(self, name) for name in recorded})
        raise click.UsageError(
            f"{got}: wanted {_flags(recorded)}, because the formulas were evolved {said}; leave it out, or score a "
            "formula by its text (rank --proxy)"
        )


def _flags(settings: Mapping[str, Any]) -> str:
    said = {name: f"{_flag(name)} {value}" for name, value in settings.items()}
    return " ".join(said[name] if value is not None else f"no {_flag(name)}" for name, value in settings.items())


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def other_features(case: HallCase | Provenance | None, workshop: Workshop) -> str:
    """In words, with both feature keys, where a workshop has other features than a hall or a predictor names; that a
    GPU made them is no difference."""
    from engine.devices import KINDS

    key = workshop.bank.key
    if case is None or case.feature_key in {replace(key, device=kind).digest for kind in KINDS}:
        return ""
    return f"with the features {case.feature_key[:12]}, got {key.digest[:12]}"


def _recorded_features(config: Mapping[str, Any], case: HallCase | Provenance | None) -> dict[str, Any]:
    """The feature settings that a file records, checked; the build only of a space that it knows."""
    known, found = _checked(config), dict[str, Any]()
    for name, low, high in (("batch", 1, 4096), ("seq_len", 2, 4096), ("init_seed", 0, 2**63 - 2)):
        if name in config:
            found[name] = known[name].integer(low, high)
    if case is not None:  # a formula of one price ranks by features of that price
        found["price"] = _recorded_price(config)
    if config.get("corpus") is not None:
        found["corpus"] = Path(known["corpus"].text(4096))
    if case is not None and case.build is not None and config.get("build") is not None:
        found["build"] = case.build
    return found


def _unsaid(case: HallCase | Provenance | None) -> dict[str, Any]:
    """The feature settings of a run whose file does not mention them."""
    if case is None:
        return {"corpus": None}
    return {"corpus": None, "build": case.build} | ({"init": case.build} if case.space == "hf" else {})


def _recorded_price(config: Mapping[str, Any]) -> str:
    """The price of the features that a file is of."""
    from fitness.features.whole import PRICES

    if "price" not in config:
        return PRICES[0]
    price = _checked(config)["price"]
    if price.value not in PRICES:
        raise price.refuse(f"one of {', '.join(PRICES)}")
    return price.text()


def _recorded_weights(config: Mapping[str, Any], case: HallCase | Provenance | None) -> str | None:
    """The digest of the checkpoint whose features a file is of; none where it does not say or is of another space."""
    if config.get("weights") is None or case is None:
        return None
    return _checked(config)["weights"].text(64)


def _checked(config: Mapping[str, Any]) -> Datum:
    from gp.hall_file import BadHall
    from storage.datum import Datum

    return Datum("hall of fame: config", dict(config), BadHall)


FEATURES = (
    click.option("--build", help="Variant of the space to build (default: its first)."),
    click.option(
        "--batch", type=click.IntRange(1, 4096), default=4, show_default=True, help="Number of sequences of text."
    ),
    click.option(
        "--seq-len", type=click.IntRange(2, 4096), default=64, show_default=True, help="Length of a sequence in tokens."
    ),
    click.option("--corpus", type=click.Path(path_type=Path), help="Text file instead of the built-in passage."),
    click.option(
        "--init-seed",
        type=click.IntRange(0, 2**63 - 2),
        default=0,
        show_default=True,
        help="Random seed of the weights.",
    ),
    click.option(
        "--devices",
        default="auto",
        show_default=True,
        help="Devices, a worker each: cpu | cpu,cpu | cuda:0,cuda:1 | auto.",
    ),
    click.option(
        "--mix-devices", is_flag=True, help="Allow CPUs and GPUs together; their results differ in the last bits."
    ),
    click.option(
        "--engine",
        type=Name("local", "dask"),
        default="local",
        show_default=True,
        help="Where features are computed: local processes, or a dask cluster.",
    ),
    click.option("--scheduler", metavar="ADDRESS|FILE.json", help="Address or file of the dask scheduler."),
    click.option(
        "--bank",
        type=click.Path(path_type=Path),
        default=Path(".cache/bank"),
        show_default=True,
        help="Folder of the feature bank.",
    ),
)
feature_options = gathered("features", FeatureOptions, *FEATURES)
