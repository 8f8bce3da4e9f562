"""The competition file as frozen, validated models: the reference of the file, one class a table, one attribute a key.

Experiments stand in `houseprice.recipes`; `houseprice.competition` reads the file into all of them. A table of folds,
features, experiments or ensembles may say ``like = "NAME"``: it has the keys of its neighbour NAME, but for those that
it says otherwise.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from houseprice.errors import ConfigError, listing, nearest
from houseprice.recipes import AnyExperiment, Sklearn
from houseprice.schema import Count, ImportPath, NonNegative, Params, Positive, Share, Table

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


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
    mirror: dict[Literal["train.csv", "test.csv"], MirrorFile] = {}
    kaggle: str | None = None
    """The competition's name for the Kaggle client."""
    sample: bool = False
    """Whether the built-in sample of House Prices stands in when no source can be reached."""

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
    k: Annotated[int, Field(ge=2)] = 10
    """How many; of ``given`` the column decides."""
    repeats: Count = 1
    seed: Annotated[int, Field(ge=0)] = 0
    by: str | None = None
    """The column of groups, of times (numbers or dates), or of given folds. It may stand in the training file alone."""
    bins: Annotated[int, Field(ge=2)] = 10
    """Of ``stratified``: targets with more distinct values than this are cut into so many equal parts."""
    gap: NonNegative = 0.0
    """Of ``expanding`` and ``rolling``: rows less than this before a block are not fitted on; with dates in days."""
    window: Count = 1
    """Of ``rolling``: on how many blocks before it a block's members are fitted."""

    @property
    def is_in_time(self) -> bool:
        """Whether members are fitted on the past of what they validate."""
        return self.scheme in ("expanding", "rolling")

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


class Ordinal(Table):
    """Columns that share one order of labels, lowest first; they become the numbers 0, 1, 2, …"""

    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    order: Annotated[tuple[str, ...], Field(min_length=2)]

    @field_validator("order")
    @classmethod
    def _each_label_once(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := sorted({label for label in order if order.count(label) > 1}):
            raise ValueError(f"labels stand twice in the order: {', '.join(repeated)}")
        return order


class Group(Table):
    """Columns that hold what the rows of a group share (`houseprice.data.encodings`)."""

    by: str
    """The column whose values are the groups."""
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    """Numbers, derived ones among them."""
    statistic: Literal["median", "mean"] = "median"
    deviation: bool = True
    """Whether a row's own number less the group's is meant, instead of the group's."""

    def name_of(self, column: str) -> str:
        """The new column: ``median(GrLivArea) by Neighborhood``, with ``GrLivArea - `` before it as a deviation."""
        return f"{column} - " * self.deviation + f"{self.statistic}({column}) by {self.by}"


_ROLES = ("number", "category", "drop", "date")


class Features(Table):
    """``[features.NAME]``: the recipe that turns tables into a matrix (`houseprice.data.features`)."""

    scope: Literal["fold", "all"] = "fold"
    """``fold``: fitted on the training rows of each fold. ``all``: on train and test together, as D2L does."""
    number: tuple[str, ...] = ()
    """Columns that are numbers; roles that no key gives are guessed (`houseprice.data.roles.guess_roles`)."""
    category: tuple[str, ...] = ()
    """Columns that are labels, numbers among them; ``True``/``False``, ``yes``/``no`` are two labels."""
    drop: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    """Columns that are dates; they become year, month, day of the week and of the year, and hour."""
    date_formats: dict[str, str] = {}
    """The form of dates that can be read in two ways, or that is not recognised, as in ``strptime``: ``%d/%m/%Y``."""
    date_differences: tuple[tuple[str, str], ...] | None = None
    """Pairs of date columns whose differences in days are features; by default all pairs."""
    text: dict[str, Annotated[int, Field(ge=1, le=4096)]] = {}
    """Columns of free text, each with the number of columns that its words are hashed into."""
    ordinal: tuple[Ordinal, ...] = ()
    derived: dict[str, str] = {}
    """New columns as expressions over others (`houseprice.data.expressions`)."""
    groups: tuple[Group, ...] = ()
    """New columns from statistics of groups, learnt from the training rows of a fold."""
    none_is_missing: bool = False
    """Whether the "none of it" category counts as a gap, as D2L reads it."""
    dummy_na: bool = False
    """Whether each category gets an indicator of its gaps, also where there are none (pandas' ``dummy_na``)."""
    missing_indicators: bool = False
    """Whether each number with gaps gets an indicator of them."""
    impute: Literal["mean", "median"] = "mean"
    log1p_skew: Positive | None = None
    """Numbers ≥ 0 whose skewness exceeds this are replaced by log(1 + x)."""
    normal_scores: bool = False
    """Whether numbers are replaced by the normal scores of their ranks (`houseprice.data.encodings.NormalScores`), a
    quantile encoding. They are standardised then; ``log1p_skew`` does nothing, for a logarithm has the same ranks."""
    clip: Positive | None = None
    """Standardised numbers z are drawn in smoothly to z / √(1 + (z / clip)²), so that no row is farther than this."""
    pieces: Annotated[int, Field(ge=2)] | None = None
    """Numbers with more distinct values than this are also encoded by so many pieces of their range."""
    interactions: tuple[tuple[str, str], ...] = ()
    """Products of two standardised numbers, as new columns."""
    max_levels: Count = 50
    """Categories with more labels than this among a fold's training rows are encoded as ``high_cardinality`` says."""
    high_cardinality: Literal["target", "frequency", "one_hot", "lump"] = "target"
    """``target``: by the mean target of each label and by its frequency (`houseprice.data.encodings.fit_target_means`);
    with ``scope = "all"``, where no target may be seen, as ``frequency``. ``frequency``: by that alone. ``one_hot``: by
    an indicator for each label, as other categories. ``lump``: the same for the commonest ``max_levels`` labels."""
    smoothing: Positive = 10.0
    """Of ``target`` alone: how many rows the mean of all rows counts for beside a label's own."""
    max_columns: Count = 2000
    """Bound on the width of the matrix. Beyond it the rarest labels are lumped, and what is still too much is left
    out from the end."""
    rare: Annotated[int, Field(ge=0)] = 0
    """Categories with fewer training rows than this are lumped into one."""
    prune: Annotated[int, Field(ge=0)] = 0
    """Indicators that differ from their commonest value in fewer training rows than this are left out."""
    drop_constant: bool = True

    @model_validator(mode="after")
    def _one_role_a_column(self) -> "Features":
        roles: dict[str, str] = {}
        for role, column in self.roles:
            if column in roles:
                raise ValueError(f"column {column!r} is named twice: under {roles[column]} and {role}")
            roles[column] = role
        return self

    @model_validator(mode="after")
    def _formats_are_of_dates(self) -> "Features":
        for column in self.date_formats:
            if column not in self.date:
                raise ValueError(f"date_formats: column {column!r} is not named under date; name it there")
        return self

    @property
    def roles(self) -> list[tuple[str, str]]:
        """Every role that the recipe gives, with its column; other columns' are guessed (`houseprice.data.roles`)."""
        named = [(role, column) for role in _ROLES for column in getattr(self, role)]
        named += [("text", column) for column in self.text]
        return [*named, *(("ordinal", column) for group in self.ordinal for column in group.columns)]


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
    collinear; ridge regression shares out the weight among them, and by default finds its penalty by itself."""
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
    task: Literal["regression"] = "regression"
    metric: Literal["log_rmse", "rmse"]
    entry: str
    """The ensemble or experiment that a plain ``submit`` enters."""
    threads: Count = 2
    """Processor threads of torch and BLAS: fixed, because the last bits of a sum depend on how it is shared out."""
    memory_mb: Count | None = None
    """Bound on what the networks trained at one time may take beyond the data, 10⁶ bytes; by default what is fast."""
    ingest: Ingest = Ingest()
    folds: dict[str, Folds] = {"main": Folds()}
    features: dict[str, Features] = {"default": Features()}
    experiments: Annotated[dict[str, AnyExperiment], Field(min_length=1)]
    ensembles: dict[str, Ensemble] = {}

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
            if "cross_entropy" in (loss := getattr(experiment, "loss", "")):
                raise ValueError(f"experiments.{name}.loss: {loss} is of classes; task {self.task} has numbers")
        for name, ensemble in self.ensembles.items():
            if name in self.experiments:
                raise ValueError(f"ensembles.{name}: an experiment has this name already")
            for run in ensemble.runs:
                _known(run, self.experiments, f"ensembles.{name}.runs")
            folds = {run: self.experiments[run].folds for run in ensemble.runs}
            if len(set(folds.values())) > 1:
                raise ValueError(f"ensembles.{name}.runs: all must share their folds, these don't: {folds}")
            shared = self.folds[folds[ensemble.runs[0]]]
            if ensemble.method == "stack" and shared.k < 3:
                raise ValueError(f"ensembles.{name}.method: a stack leaves out two folds at a time; it needs k ≥ 3")
            if ensemble.method == "stack" and (shared.is_in_time or shared.scheme == "given"):
                raise ValueError(
                    f"ensembles.{name}.method: a stack needs folds that validate every row, which {shared.scheme} "
                    "folds may not; use another method"
                )
        _known(self.entry, {**self.experiments, **self.ensembles}, "entry")
        return self

    @property
    def import_paths(self) -> set[str]:
        """The code of others that experiments and stacks name."""
        of_experiments = {each.estimator for each in self.experiments.values() if isinstance(each, Sklearn)}
        return of_experiments | {each.estimator for each in self.ensembles.values() if each.stacked}

    def runs_of(self, entry: str) -> tuple[str, ...]:
        """The experiments behind an entry: an ensemble's runs, or the one experiment itself."""
        if entry in self.ensembles:
            return self.ensembles[entry].runs
        return (self.experiment_name(entry),)

    def experiment_name(self, name: str) -> str:
        """Return ``name`` if the file has such an experiment; otherwise raise a `ConfigError` with the nearest."""
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
