"""The competition file as frozen, validated models: the reference of the file, one class a table, one attribute a key.

Experiments stand in `houseprice.recipes`; `houseprice.competition` reads the file into all of them. A table of folds,
features, experiments or ensembles may say ``like = "NAME"``: it has the keys of its neighbour NAME, but for those that
it says otherwise.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from houseprice.errors import ConfigError, listing, nearest
from houseprice.preparation import Features
from houseprice.recipes import AnyExperiment, Linear, Sklearn, unfit
from houseprice.schema import Count, ImportPath, NonNegative, Params, RandomSeed, Share, Table, with_default
from houseprice.tasks import METRICS_OF, Reads, Task, is_import_path

if TYPE_CHECKING:
    from houseprice.metrics import Metric

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MOST_MEMBERS = 10**5
MOST_EPOCHS = 10**8
"""Of an experiment, over all of its members: months of two processors."""


class MirrorFile(Table):
    """One file on a public mirror."""

    url: str
    sha1: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]

    @field_validator("url")
    @classmethod
    def _is_on_the_web(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("not an http or https address")
        return url


class Ingest(Table):
    """``[ingest]``: how the raw files are found and read."""

    missing: tuple[str, ...] = ("", "NA", "N/A", "NaN", "nan", "null")
    """Cells that mean "not recorded"."""
    none_columns: tuple[str, ...] = ()
    """Text columns in which ``none_cells`` mean "none of it", a category of its own."""
    none_cells: tuple[str, ...] = ("NA",)
    none_label: str = "None"
    """The category that ``none_cells`` become."""
    normalize_text: tuple[str, ...] = ()
    """Text columns whose labels are trimmed, lower-cased and freed of repeated blanks."""
    drop_columns: tuple[str, ...] = ()
    """Columns that are not looked at, for example those that one of the files lacks."""
    exclude_ids: tuple[str, ...] = ()
    """Training rows that can't be used at all (no valid target): neither fitted nor validated."""
    skip_without_target: bool = False
    """Whether training rows without a target are left out; else they are an error."""
    numbered: tuple[Literal["train.csv", "test.csv"], ...] = ()
    """Files without the id column, or with many rows of one id: their rows are numbered from 1. Those of ``test.csv``
    have the ids of the sample submission, if that has as many rows: in its order, or in their own where they count
    the rows."""
    sample_target: str | None = None
    """What the sample submission calls the target, where that is another name."""
    keep_id: bool = False
    """Whether the id is a feature column, too: where ids are dates, or say something else."""
    mirror: dict[Literal["train.csv", "test.csv"], MirrorFile] = {}
    kaggle: str | None = None
    """The competition's name for the Kaggle client."""
    sample: bool = False
    """Whether the built-in sample of House Prices stands in when no source can be reached."""

    @model_validator(mode="after")
    def _ids_that_are_kept_are_there(self) -> "Ingest":
        if self.keep_id and self.numbered:
            raise ValueError(f"keep_id: no ids to keep in {' and '.join(self.numbered)}; numbers of rows tell nothing")
        return self

    @field_validator("mirror")
    @classmethod
    def _both_or_none(cls, mirror: dict[str, MirrorFile]) -> dict[str, MirrorFile]:
        if len(mirror) == 1:
            raise ValueError("a mirror has both train.csv and test.csv")
        return mirror


class Folds(Table):
    """``[folds.NAME]``: which rows are validated together (`houseprice.data.folds`)."""

    scheme: Literal[
        "shuffled", "contiguous", "stratified", "grouped", "stratified_grouped", "expanding", "rolling", "given"
    ] = "shuffled"
    """``stratified``: each fold has its share of every class, or of low and high targets. ``grouped``: rows of one
    group are validated together. ``expanding``, ``rolling``: in the order of time, each block of rows by members that
    were fitted on what came before it. ``given``: by a column of the training file."""
    k: Annotated[int, Field(ge=2, le=10_000)] = 10
    """How many; of ``given`` the column decides."""
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    seed: RandomSeed = 0
    by: str | None = None
    """The column of groups, of times (numbers or dates), or of given folds. It may stand in the training file alone."""
    bins: Annotated[int, Field(ge=2, le=10_000)] = 10
    """Of ``stratified``: targets with more distinct values than this are cut into so many equal parts."""
    gap: NonNegative = 0.0
    """Of ``expanding`` and ``rolling``: rows less than this before a block are not fitted on; with dates in days."""
    window: Count = 1
    """Of ``rolling``: on how many blocks before it a block's members are fitted."""

    @property
    def is_in_time(self) -> bool:
        """Whether members are fitted on the past of what they validate."""
        return self.scheme in ("expanding", "rolling")

    @property
    def no_pairs(self) -> str | None:
        """Why two folds can't be left out at a time, as stacks and nested scores need it; None where they can."""
        if self.k < 3:
            return "leaves out two folds at a time; it needs k ≥ 3"
        if self.is_in_time or self.scheme == "given":
            return f"needs folds that validate every row, which {self.scheme} folds may not"
        return None

    @model_validator(mode="after")
    def _keys_fit_the_scheme(self) -> "Folds":
        columns = {
            "grouped": "groups", "stratified_grouped": "groups", "expanding": "times", "rolling": "times",
            "given": "given folds",
        }  # fmt: skip
        if self.scheme in columns and self.by is None:
            raise ValueError(f"by: {self.scheme} folds need the column of their {columns[self.scheme]}")
        schemes = {"by": tuple(columns), "gap": ("expanding", "rolling"), "window": ("rolling",)}
        for key, fitting in schemes.items():
            if getattr(self, key) != type(self).model_fields[key].default and self.scheme not in fitting:
                raise ValueError(f"{key}: of no use to {self.scheme} folds, only to {' and '.join(fitting)}")
        if self.repeats > 1 and (self.is_in_time or self.scheme in ("contiguous", "given")):
            raise ValueError(f"repeats: {self.scheme} folds are the same every time; use repeats = 1")
        return self


class Ensemble(Table):
    """``[ensembles.NAME]``: runs combined, by weights or by a second level."""

    runs: Annotated[tuple[str, ...], Field(min_length=1)]
    """With ``select`` these are the candidates: each is trained, if only to be left out."""
    method: Literal["mean", "nnls", "greedy", "shrunk", "stack"] = "mean"
    """How the runs are weighted (`houseprice.compete.ensemble`); ``stack``: by an estimator that is fitted on their
    predictions and scored without a leak (`houseprice.compete.stacking`)."""
    shrink: Share = 0.5
    """Of ``shrunk`` alone: how far weights of ``nnls`` are drawn towards equal ones; 0: not at all, 1: all the way."""
    select: Literal["all", "one_standard_error", "best_of_family"] = "all"
    """Which runs are weighted. ``one_standard_error``: as few as score within one standard error of the best number of
    them (`houseprice.compete.ensemble.chosen_runs`). ``best_of_family``: one of each of the ``families``
    (`houseprice.compete.ensemble.best_of_families`). The choice is part of what is scored by cross-fitting."""
    families: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = ()
    """Of ``best_of_family`` alone: runs of one kind, the simplest first; a run in none is a family by itself."""
    estimator: ImportPath = "sklearn.linear_model.RidgeCV"
    """Of ``stack`` alone: anything with scikit-learn's ``fit`` and ``predict``. Predictions of good runs are nearly
    collinear; ridge regression shares out the weight among them, and by default finds its penalty by itself. For tasks
    with classes a classifier, by default ``sklearn.linear_model.LogisticRegression``."""
    params: Params = {}
    """Of ``stack`` alone: the estimator's parameters."""
    original_columns: bool = False
    """Of ``stack`` alone: whether the estimator also sees the feature columns of the first run's recipe."""

    @model_validator(mode="after")
    def _a_stack_takes_all(self) -> "Ensemble":
        if self.method == "stack" and self.select != "all":
            raise ValueError(
                f"select: {self.select!r}, but a stack weights all of its runs; use 'all', or another method"
            )
        return self

    @model_validator(mode="after")
    def _one_family_a_run(self) -> "Ensemble":
        members = [run for family in self.families for run in family]
        if self.families and self.select != "best_of_family":
            raise ValueError(f"families: of no use with select = {self.select!r}; use 'best_of_family'")
        for run in members:
            if run not in self.runs:
                raise ValueError(f"families: {run!r} is none of the runs; {nearest(run, list(self.runs))}")
            if members.count(run) > 1:
                raise ValueError(f"families: {run!r} is named twice")
        return self

    @property
    def family_places(self) -> tuple[tuple[int, ...], ...]:
        """The places in ``runs`` of each family's members, in the family's order."""
        families = {run: family for family in self.families for run in family}
        each = dict.fromkeys(families.get(run, (run,)) for run in self.runs)
        return tuple(tuple(self.runs.index(run) for run in family) for family in each)

    @property
    def stacked(self) -> tuple[str, ...]:
        """The runs of a stack, whose members are also fitted without each pair of folds; of other methods none."""
        return self.runs if self.method == "stack" else ()

    @property
    def rule(self) -> str:
        """Method and choice, in short: ``mean``, or ``mean, one_standard_error``."""
        return self.method if self.select == "all" else f"{self.method}, {self.select}"


class Competition(Table):
    """The whole competition file."""

    name: str
    title: str = ""
    id: str
    target: str
    task: Task = "regression"
    """Whether the target is a number, one of two classes, or one of more."""
    metric: str
    """One of the task's (`houseprice.tasks.METRICS_OF`), or the import path of a function ``(y_true, y_pred) -> float``
    (`houseprice.own_metric`)."""
    metric_reads: Reads | None = None
    """Of an import path alone: what the function is given as ``y_pred``."""
    metric_greater_is_better: bool | None = None
    """Of an import path alone."""
    positive: str | None = None
    """Of ``binary`` alone: the class whose probability is predicted; by default the last in sorted order."""
    entry: str
    """The ensemble or experiment that a plain ``submit`` enters."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """Processor threads of torch and BLAS: fixed, because the last bits of a sum depend on how it is shared out."""
    memory_mb: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Bound on what the networks trained at one time may take beyond the data, 10⁶ bytes; by default what is fast."""
    ingest: Ingest = Ingest()
    folds: dict[str, Folds] = {"main": Folds()}
    features: dict[str, Features] = {"default": Features()}
    experiments: Annotated[dict[str, AnyExperiment], Field(min_length=1)]
    ensembles: dict[str, Ensemble] = {}

    @model_validator(mode="before")
    @classmethod
    def _classes_have_losses_of_their_own(cls, document: Any) -> Any:
        """What is said nowhere, and differs between numbers and classes."""
        if not isinstance(document, dict) or document.get("task", "regression") == "regression":
            return document
        loss = "binary_cross_entropy" if document["task"] == "binary" else "cross_entropy"
        second_level = "sklearn.linear_model.LogisticRegression"
        return {
            **document,
            "experiments": with_default(document.get("experiments"), "kind", ("linear", "mlp"), "loss", loss),
            "ensembles": with_default(document.get("ensembles", {}), "method", ("stack",), "estimator", second_level),
        }

    @field_validator("folds", "features", "experiments", "ensembles")
    @classmethod
    def _names_fit_a_file_name(cls, tables: dict[str, Any]) -> dict[str, Any]:
        for name in tables:
            if not NAME.fullmatch(name):
                raise ValueError(f"name {name!r}: use letters, digits, '_' and '-', at most 64 of them")
        return tables

    @model_validator(mode="after")
    def _names_are_known(self) -> "Competition":
        if self.id == self.target:
            raise ValueError(f"id and target name the same column, {self.id!r}")
        for name, experiment in self.experiments.items():
            _known(experiment.features, self.features, f"experiments.{name}.features")
            _known(experiment.folds, self.folds, f"experiments.{name}.folds")
            if complaint := unfit(experiment, self.task):
                raise ValueError(f"experiments.{name}.{complaint}")
        for name, ensemble in self.ensembles.items():
            if name in self.experiments:
                raise ValueError(f"ensembles.{name}: an experiment has this name already")
            for run in ensemble.runs:
                _known(run, self.experiments, f"ensembles.{name}.runs")
            folds = {run: self.experiments[run].folds for run in ensemble.runs}
            if len(set(folds.values())) > 1:
                raise ValueError(f"ensembles.{name}.runs: all must share their folds, these don't: {folds}")
            shared = self.folds[folds[ensemble.runs[0]]]
            if ensemble.method == "stack" and shared.no_pairs:
                raise ValueError(f"ensembles.{name}.method: a stack {shared.no_pairs}. Use another method")
        _known(self.entry, {**self.experiments, **self.ensembles}, "entry")
        return self

    @model_validator(mode="after")
    def _training_ends(self) -> "Competition":
        for name, experiment in self.experiments.items():
            folds = self.folds[experiment.folds]
            members = folds.k * folds.repeats * experiment.seeds
            epochs = members * (experiment.epochs if isinstance(experiment, Linear) else 1)
            count = f"k = {folds.k} × repeats = {folds.repeats} × seeds = {experiment.seeds}: {members:,} members"
            if members > MOST_MEMBERS:
                raise ValueError(f"experiments.{name}: {count}, and {MOST_MEMBERS:,} are the most. Lower one of them.")
            if epochs > MOST_EPOCHS:
                raise ValueError(
                    f"experiments.{name}: {count}, of {epochs:,} epochs in all, and {MOST_EPOCHS:,} are the most. "
                    "Lower epochs, or one of them."
                )
        return self

    @model_validator(mode="after")
    def _metric_fits_the_task(self) -> "Competition":
        if self.positive is not None and self.task != "binary":
            raise ValueError(f"positive: of task binary alone; this is {self.task}")
        if is_import_path(self.metric):
            if self.metric_reads is None or self.metric_greater_is_better is None:
                raise ValueError(
                    f"metric {self.metric!r} is an import path: say metric_reads and metric_greater_is_better, too"
                )
            if (self.metric_reads == "value") != (self.task == "regression"):
                raise ValueError(
                    f"metric_reads: {self.metric_reads!r}, but task {self.task} has "
                    + ("numbers; use 'value'" if self.task == "regression" else "classes; use 'probability' or 'label'")
                )
            return self
        if self.metric_reads is not None or self.metric_greater_is_better is not None:
            raise ValueError(
                f"metric_reads and metric_greater_is_better: {self.metric!r} says so itself; take them out"
            )
        if self.metric not in METRICS_OF[self.task]:
            others = [task for task, names in METRICS_OF.items() if self.metric in names]
            what = f"is of task {' and '.join(others)}, not {self.task}" if others else "is unknown"
            hint = nearest(self.metric, METRICS_OF[self.task])
            raise ValueError(f"metric: {self.metric!r} {what}; {hint}, or an import path such as 'my_module.my_metric'")
        return self

    @property
    def scoring(self) -> "Metric":
        """The metric at work.

        Raises
        ------
        MetricError
            If it is a user's own and can't be imported.
        """
        from houseprice.metrics import METRICS  # which bring numpy
        from houseprice.own_metric import own_metric

        if self.metric_reads is None or self.metric_greater_is_better is None:
            return METRICS[self.metric]
        return own_metric(self.metric, self.task, self.metric_reads, self.metric_greater_is_better)

    @property
    def memory(self) -> int | None:
        """``memory_mb`` in bytes."""
        return None if self.memory_mb is None else self.memory_mb * 10**6

    @property
    def scoring_keys(self) -> dict[str, Any]:
        """What `scoring` depends on, by the file's keys."""
        return self.model_dump(mode="json", include={"task", "metric", "metric_reads", "metric_greater_is_better"})

    @property
    def metric_packages(self) -> tuple[str, ...]:
        """The package of a user's own metric."""
        return (self.metric.partition(".")[0],) if is_import_path(self.metric) else ()

    @property
    def import_paths(self) -> set[str]:
        """The code of others that experiments, stacks and the metric name."""
        of_experiments = {each.estimator for each in self.experiments.values() if isinstance(each, Sklearn)}
        of_stacks = {each.estimator for each in self.ensembles.values() if each.stacked}
        return of_experiments | of_stacks | ({self.metric} if is_import_path(self.metric) else set())

    def runs_of(self, entry: str) -> tuple[str, ...]:
        """The experiments behind an entry: an ensemble's runs, or the one experiment itself."""
        if entry in self.ensembles:
            return self.ensembles[entry].runs
        return (self.experiment_name(entry),)

    def excluded_from_fit(self, runs: Sequence[str]) -> list[str]:
        """The ids of training rows that one of some experiments is not fitted on, sorted."""
        return sorted({row for run in runs for row in self.experiments[run].exclude_from_fit})

    def experiment_name(self, name: str | None) -> str:
        """Return ``name`` if the file has such an experiment; otherwise raise a `ConfigError` with the nearest.

        Of None it is the first experiment behind the entry.
        """
        if name is None:
            return self.runs_of(self.entry)[0]
        if name in self.ensembles:
            runs = listing(self.ensembles[name].runs, 12)
            raise ConfigError(f"{name!r} is an ensemble in competition {self.name!r}; its experiments: {runs}")
        if name not in self.experiments:
            known = [*self.experiments, *self.ensembles]
            raise ConfigError(f"unknown experiment {name!r} in competition {self.name!r}; {nearest(name, known)}")
        return name


def _known(name: str, tables: Mapping[str, Any], where: str) -> None:
    if name not in tables:
        raise ValueError(f"{where}: unknown name {name!r}; {nearest(name, list(tables))}")
