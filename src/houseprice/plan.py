"""A competition in its folder, and the plan of its stages: what each depends on, before anything is computed."""

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from houseprice.artifacts import ArtifactStore, Stage
from houseprice.competition import load_competition
from houseprice.config import NAME, Competition, Ensemble
from houseprice.documents import parse_json
from houseprice.errors import ConfigError, StorageError, TrainingError, nearest
from houseprice.files import read_regular, sha256_of
from houseprice.recipes import Linear, Sklearn


class Listener(Protocol):
    """Who is told what happens; a face of the program, or nobody."""

    def say(self, text: str) -> None:
        """Take one line for a person."""

    def progress(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Begin something long; the function given to the block takes the steps done and their total."""


class Silence:
    """A listener that nobody listens to."""

    def say(self, text: str) -> None:
        """Drop the line."""

    def progress(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Count nothing."""
        return nullcontext(lambda done, total: None)


@dataclass(frozen=True)
class Workspace:
    """A competition in a project folder, and how to work on it.

    Attributes
    ----------
    root
        The project's folder, with ``data/`` and ``submissions/``.
    competition
        The competition file with its overrides applied.
    overrides
        The ``--set`` overrides, as given.
    device
        ``cpu`` or ``cuda``.
    listener
        Told what happens.
    """

    root: Path
    competition: Competition
    overrides: tuple[str, ...] = ()
    device: str = "cpu"
    listener: Listener = field(default_factory=Silence)

    @property
    def folder(self) -> Path:
        """``data/NAME``."""
        return self.root / "data" / self.competition.name

    @property
    def raw(self) -> Path:
        """``data/NAME/raw``."""
        return self.folder / "raw"

    @property
    def store(self) -> ArtifactStore:
        """``data/NAME/artifacts``."""
        return ArtifactStore(self.folder / "artifacts", self.listener.say)

    @property
    def board(self) -> Path:
        """``data/NAME/leaderboard.db``."""
        return self.folder / "leaderboard.db"

    @property
    def n_test(self) -> int:
        """Rows of ``raw/test.csv``; 0 where it is not there. Counted as CSV, without what reading it takes."""
        path = self.raw / "test.csv"
        if not path.is_file():
            return 0
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            return max(0, sum(1 for row in csv.reader(file) if row) - 1)

    def entry_path(self, entry: str) -> Path:
        """``submissions/NAME/ENTRY.csv``."""
        return self.root / "submissions" / self.competition.name / f"{entry}.csv"


def open_workspace(
    root: Path,
    name: str,
    overrides: Sequence[str] = (),
    device: str = "auto",
    listener: Listener | None = None,
    seeds: int | None = None,
) -> Workspace:
    """Load the competition ``data/NAME/competition.toml`` of a project folder.

    Parameters
    ----------
    root
        The project's folder.
    name
        The competition.
    overrides
        ``key=value`` each, see `houseprice.competition.load_competition`.
    device
        ``auto``, ``cpu`` or ``cuda``.
    listener
        Told what happens.
    seeds
        Overrides the ``seeds`` of every experiment.

    Raises
    ------
    ConfigError
        If the competition file or an override is wrong.
    TrainingError
        If ``cuda`` is asked for and absent.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"--competition {name[:80]!r}: a name has letters, digits, '_' and '-', at most 64 of them")
    path = root / "data" / name / "competition.toml"
    competition = load_competition(path, overrides)
    if seeds is not None:
        overrides = [
            *overrides,
            *(f"experiments.{experiment}.seeds={seeds}" for experiment in competition.experiments),
        ]
        competition = load_competition(path, overrides)
    return Workspace(root, competition, tuple(overrides), choose_device(device), listener or Silence())


def choose_device(device: str) -> str:
    """Decide where networks are trained. A device that is asked for and absent is refused, never replaced.

    Raises
    ------
    TrainingError
        If ``cuda`` is asked for and there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {device!r}: {nearest(device, ['auto', 'cpu', 'cuda'])}")
    if device == "cpu" or (device == "auto" and sys.platform == "linux" and not Path("/dev/nvidiactl").exists()):
        return "cpu"  # found out without importing torch
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise TrainingError(
            "--device cuda: torch finds no CUDA device here. Use --device cpu, or install a CUDA build of torch."
        )
    return "cpu"


@dataclass(frozen=True)
class Plan:
    """The stages of a competition as they stand now, each with its fingerprint.

    Attributes
    ----------
    workspace
        The competition in its folder.
    raw
        SHA-256 of the raw files, by name.
    source
        Where the raw files come from: ``local``, ``mirror``, ``kaggle`` or ``sample``.
    """

    workspace: Workspace
    raw: Mapping[str, str]
    source: str

    def on(self, competition: Competition) -> "Plan":
        """The stages of a changed competition, on the same files."""
        return replace(self, workspace=replace(self.workspace, competition=competition))

    def tables(self) -> Stage:
        """The typed, checked frames."""
        competition = self.workspace.competition
        rules = competition.ingest.model_dump(mode="json", exclude={"mirror", "kaggle", "sample"})
        config: dict[str, Any] = {
            "id": competition.id,
            "target": competition.target,
            **competition.scoring_keys,
            "ingest": rules,
            "by": sorted({folds.by for folds in competition.folds.values() if folds.by}),
        }
        if competition.task != "regression":
            config |= {"positive": competition.positive, "k": max(folds.k for folds in competition.folds.values())}
        return Stage("tables", self.raw, config, ("houseprice.data.tables",), competition.metric_packages)

    def features(self, experiment: str) -> Stage:
        """The matrices of an experiment's feature recipe on its folds."""
        competition = self.workspace.competition
        recipe = competition.experiments[experiment]
        config = {
            "features": competition.features[recipe.features].model_dump(mode="json"),
            "folds": competition.folds[recipe.folds].model_dump(mode="json"),
            "ingest": competition.ingest.model_dump(mode="json", include={"none_columns", "none_label"}),
        }
        slot = f"features/{recipe.features}@{recipe.folds}"
        modules = ("houseprice.data.features", "houseprice.data.folds")
        return Stage(slot, {"tables": self.tables().fingerprint}, config, modules)

    def run(self, experiment: str) -> Stage:
        """The run of an experiment."""
        workspace, competition = self.workspace, self.workspace.competition
        recipe = competition.experiments[experiment]
        config: dict[str, Any] = {
            "experiment": recipe.model_dump(mode="json"),
            **competition.scoring_keys,
            "threads": competition.threads,
        }
        if isinstance(recipe, Linear):
            config |= {"device": workspace.device, "memory_mb": competition.memory_mb}
        packages = competition.metric_packages
        if isinstance(recipe, Sklearn):
            packages = (*packages, recipe.estimator.partition(".")[0])
        inputs = {"features": self.features(experiment).fingerprint}
        return Stage(f"train/{experiment}", inputs, config, ("houseprice.learn.crossval",), packages)

    def trial(self, experiment: str) -> Stage:
        """The run of an experiment without its members, which `houseprice.ablation` keeps for the comparison alone."""
        inputs = {"run": self.run(experiment).fingerprint}
        return Stage(f"ablation/train/{experiment}", inputs, {}, ())

    def importance(self, experiment: str) -> Stage:
        """How much an experiment needs each column; what it depends on, the run depends on too."""
        inputs = {"run": self.run(experiment).fingerprint}
        return Stage(f"importance/{experiment}", inputs, {}, ("houseprice.learn.importance",))

    def nested(self, experiment: str) -> Stage:
        """What an experiment predicts without two folds; what it depends on, the run depends on too."""
        inputs = {"run": self.run(experiment).fingerprint}
        return Stage(f"nested/{experiment}", inputs, {}, ("houseprice.learn.nested",))

    def blend(self, entry: str) -> Stage:
        """The ensemble behind an entry; a single experiment is an ensemble of one."""
        competition = self.workspace.competition
        recipe = ensemble_recipe(competition, entry)
        inputs = {f"run {name}": self.run(name).fingerprint for name in recipe.runs}
        config = {"ensemble": recipe.model_dump(mode="json"), **competition.scoring_keys}
        slot, packages = f"ensemble/{entry}", competition.metric_packages
        if not recipe.stacked:
            return Stage(slot, inputs, config, ("houseprice.compete.ensemble",), packages)
        inputs |= {f"nested {name}": self.nested(name).fingerprint for name in recipe.stacked}
        packages = (*packages, recipe.estimator.partition(".")[0])
        return Stage(slot, inputs, config, ("houseprice.compete.stacking",), packages)

    def choice(self, names: Sequence[str]) -> Stage:
        """The choice among experiments and ensembles, scored on folds that had no say in it."""
        competition = self.workspace.competition
        recipes = {name: ensemble_recipe(competition, name) for name in names}
        runs = dict.fromkeys(run for recipe in recipes.values() for run in recipe.runs)
        inputs = {f"run {run}": self.run(run).fingerprint for run in runs}
        inputs |= {f"nested {run}": self.nested(run).fingerprint for run in runs}
        candidates = [[name, recipe.model_dump(mode="json")] for name, recipe in recipes.items()]
        slot = f"choice/{names[0]}" + (f"+{len(recipes) - 1}" if len(recipes) > 1 else "")
        config = {"candidates": candidates, **competition.scoring_keys}
        return Stage(slot, inputs, config, ("houseprice.compete.choice",), competition.metric_packages)

    def entry(self, entry: str) -> Stage:
        """The submission CSV."""
        competition = self.workspace.competition
        config = {"id": competition.id, "target": competition.target, **competition.scoring_keys}
        inputs = {"tables": self.tables().fingerprint, "ensemble": self.blend(entry).fingerprint}
        return Stage(f"submit/{entry}", inputs, config, ("houseprice.compete.submission",))

    def behind(self, entry: str) -> list[Stage]:
        """All stages behind an entry, in the order in which they run."""
        recipe = ensemble_recipe(self.workspace.competition, entry)
        ordered = [self.tables(), *(self.features(run) for run in recipe.runs)]
        ordered += [*(self.run(run) for run in recipe.runs), *(self.nested(run) for run in recipe.stacked)]
        ordered += [self.blend(entry), self.entry(entry)]
        return list({stage.slot: stage for stage in ordered}.values())

    def summary(self, stage: Stage) -> dict[str, Any]:
        """What an up-to-date stage recorded of its output: scores, sizes, seconds.

        Raises
        ------
        StorageError
            If its artifact vanished since it was found.
        """
        record = self.workspace.store.find(stage)
        if record is None:
            raise StorageError(f"{stage.slot}: its artifact vanished while it was needed. Run the command again.")
        return dict(record.summary)


def ensemble_recipe(competition: Competition, entry: str) -> Ensemble:
    """The recipe of an ensemble, or of the ensemble of one that an experiment is.

    Raises
    ------
    ConfigError
        If the competition file has neither by this name.
    """
    return competition.ensembles.get(entry) or Ensemble(runs=(competition.experiment_name(entry),), method="mean")


def recorded_files(raw: Path) -> tuple[dict[str, str], str] | None:
    """The hashes of the raw files and their source, if ``provenance.json`` records just the files that lie there."""
    try:
        record = parse_json(read_regular(raw / "provenance.json"))
        hashes = {name: str(entry["sha256"]) for name, entry in record["files"].items()}
        agrees = {name: sha256_of(raw / name) for name in ("train.csv", "test.csv", "sample_submission.csv")} == hashes
        return (hashes, str(record["source"])) if agrees else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
