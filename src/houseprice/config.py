"""The competition file as frozen, validated models: the reference of the file, one class a table, one attribute a key.

`houseprice.competition` reads the file into them.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from houseprice.errors import ConfigError, listing, nearest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]


def _json_can_hold_it(params: dict[str, Any]) -> dict[str, Any]:
    """What a manifest can't record would not be reproduced."""
    try:
        json.dumps(params, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error}: use finite numbers, text, booleans, lists and tables") from error
    return params


Params = Annotated[dict[str, Any], AfterValidator(_json_can_hold_it)]


class Table(BaseModel):
    """A table of the competition file: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, table: Any) -> Any:
        if isinstance(table, dict):
            for key in table:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {key!r}; {nearest(key, list(cls.model_fields))}")
        return table


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

    scheme: Literal["shuffled", "contiguous"] = "shuffled"
    k: Annotated[int, Field(ge=2)] = 10
    repeats: Count = 1
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _contiguous_once(self) -> "Folds":
        if self.scheme == "contiguous" and self.repeats > 1:
            raise ValueError("repeats: contiguous folds are the same every time; use repeats = 1")
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


class Features(Table):
    """``[features.NAME]``: the recipe that turns tables into a matrix (`houseprice.data.features`)."""

    scope: Literal["fold", "all"] = "fold"
    """``fold``: fitted on the training rows of each fold. ``all``: on train and test together, as D2L does."""
    number: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
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
    rare: Annotated[int, Field(ge=0)] = 0
    """Categories with fewer training rows than this are lumped into one."""
    prune: Annotated[int, Field(ge=0)] = 0
    """Indicators that differ from their commonest value in fewer training rows than this are left out."""
    drop_constant: bool = True

    @model_validator(mode="after")
    def _one_role_a_column(self) -> "Features":
        roles: dict[str, str] = {}
        named = [(role, column) for role in ("number", "category", "drop") for column in getattr(self, role)]
        named += [("ordinal", column) for group in self.ordinal for column in group.columns]
        for role, column in named:
            if column in roles:
                raise ValueError(f"column {column!r} is named twice: under {roles[column]} and {role}")
            roles[column] = role
        return self


class Experiment(Table):
    """What every ``[experiments.NAME]`` has, whatever its kind."""

    features: str = "default"
    folds: str = "main"
    seeds: Count = 1
    """How many members a fold has; seeds count from 0."""
    exclude_from_fit: tuple[str, ...] = ()
    """Ids of training rows that no member is fitted on. They are validated like all others."""
    target_scale: Literal["link", "natural"] = "link"
    """The scale of the fitted target: ``link`` (log price) or ``natural`` (price)."""
    standardize_target: bool = True
    """Whether the fitted target gets mean 0 and standard deviation 1 on the training rows of the fold."""
    floor: Positive | None = None
    """Predictions in natural units are raised to this, before the metric sees them."""


LossName = Literal["squared", "huber", "absolute", "pinball", "binary_cross_entropy", "cross_entropy"]
ActivationName = Literal["relu", "prelu", "leaky_relu", "sigmoid", "tanh", "gelu", "silu", "selu", "mish"]
InitializationName = Literal["default", "xavier_uniform", "xavier_normal", "normal", "constant"]


class Linear(Experiment):
    """``kind = "linear"``: a linear model by minibatch gradient descent (D2L §3.5).

    Members that the engine trains as one tensor program share every key but those of `PER_MEMBER`.
    """

    kind: Literal["linear"]
    loss: LossName = "squared"
    """What is minimised, as the mean over the rows of a batch (`houseprice.learn.functions.Loss`)."""
    huber_delta: Positive = 1.0
    """Of ``huber`` alone: where the loss turns from squared to linear (Huber 1964)."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Of ``pinball`` alone: the quantile that is estimated (Koenker & Bassett 1978)."""
    classes: Annotated[int, Field(ge=2)] = 2
    """Of the two cross-entropies alone: the target holds the classes 0, 1, …, classes - 1 (D2L §4.1)."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """D2L §12.4 and §12.6 (SGD with momentum), §12.10 (Adam), Loshchilov & Hutter 2019 (AdamW)."""
    learning_rate: Positive = 1e-3
    momentum: Rate = 0.0
    """Of ``sgd`` alone."""
    weight_decay: NonNegative = 0.0
    """Coupled (an L2 term of the loss, D2L §3.7) with ``sgd`` and ``adam``, decoupled with ``adamw``."""
    decay_biases: bool = False
    """Whether weight decay falls on all parameters, as with ``torch.optim``'s defaults, or on weight matrices alone."""
    l1: NonNegative = 0.0
    """Factor of the weights' summed absolute values, added to the loss (D2L §3.7); never on biases."""
    label_noise: NonNegative = 0.0
    """Regression: standard deviation of the noise added to fitted targets. Classes: the share drawn anew."""
    input_dropout: Rate = 0.0
    """Share of the inputs that are dropped at each step (D2L §5.6)."""
    input_noise: NonNegative = 0.0
    """Standard deviation of the normal noise added to the inputs at each step (Bishop 1995; D2L §5.6)."""
    mixup: NonNegative = 0.0
    """Each step, a member's rows and targets are mixed with those of other rows of the batch, in shares λ and 1 - λ,
    λ ~ Beta(mixup, mixup) (Zhang, Cisse, Dauphin & Lopez-Paz 2018); 0: not. Targets are mixed after ``label_noise``,
    inputs before ``input_noise`` and ``input_dropout``."""
    column_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the columns that a member sees, at least one, drawn once for each member (random subspaces, Ho 1998)."""
    schedule: Literal["constant", "step", "cosine"] = "constant"
    """How the learning rate changes (D2L §12.11)."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs over which the learning rate first rises linearly from 0."""
    step_epochs: Count = 30
    """Of ``step`` alone: every so many epochs the learning rate is multiplied by ``step_factor``."""
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    clip_norm: Positive | None = None
    """A member's gradient whose norm over all its parameters exceeds this is scaled down to it (D2L §9.5)."""
    ema: Rate = 0.0
    """Decay per step of the moving average of weights that predicts in their place; 0: none (Polyak 1992)."""
    patience: Count | None = None
    """Early stopping: epochs without a better loss on the inner split until a member stops (D2L §5.5)."""
    inner_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the fitted rows that early stopping sets aside. The validation fold is never looked at."""
    initialization: InitializationName = "default"
    """Of weights; biases start at 0, with ``default`` as `torch.nn.Linear` draws them (D2L §5.4, §6.3)."""
    initial_scale: Positive = 0.01
    """Standard deviation of ``normal``, or the value of ``constant``."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products in training; everything else, and every prediction, is float32."""
    batch_size: Count = 64
    epochs: Count = 100
    curve_every: Count = 1
    """Learning curves have a point every so many epochs, and at the last."""

    @property
    def outputs(self) -> int:
        """How many numbers the model predicts for a row: one, or with ``cross_entropy`` one for each class."""
        return self.classes if self.loss == "cross_entropy" else 1

    @model_validator(mode="after")
    def _one_logit_two_classes(self) -> "Linear":
        if self.loss == "binary_cross_entropy" and self.classes != 2:
            raise ValueError(f"classes: {self.classes}, but binary_cross_entropy has 2; use cross_entropy")
        return self

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> "Linear":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs: {self.warmup_epochs} of {self.epochs} epochs; train one after it")
        return self


class MLP(Linear):
    """``kind = "mlp"``: a multilayer perceptron (D2L ch. 5)."""

    kind: Literal["mlp"]  # type: ignore[assignment]
    hidden: tuple[Count, ...] = (256, 256)
    """Width of each hidden layer; none at all makes the model linear."""
    activation: ActivationName = "relu"
    """Behind each hidden layer (`houseprice.learn.functions.ACTIVATIONS`; D2L §5.1)."""
    dropout: Rate | tuple[Rate, ...] = 0.0
    """One rate for all hidden layers, or one for each (D2L §5.6)."""
    skip: bool = False
    """Whether a linear model of the inputs, which starts at 0, is added to the output (Cheng et al. 2016, "wide")."""

    tabm: Annotated[int, Field(ge=0)] = 0
    """TabM (Gorishniy, Kotelnikov & Babenko 2024): so many implicit members a network, which share the weights of the
    hidden layers; 0: off. Each has its own scales of a layer's inputs and outputs, biases, dropout masks and head. Rows
    and what is done to them are the same for all. The loss is the mean of theirs, and so is the prediction: of logits,
    where the paper averages probabilities. Scales are spared by weight decay, as biases are; the paper decays them."""

    embedding: Literal["none", "periodic", "plr"] = "none"
    """What a column with more than two distinct values among the fitted rows becomes beside itself: sines and cosines
    with trained frequencies, or ReLUs of its own linear map of these (`houseprice.learn.embedding`)."""
    embedding_frequencies: Count = 16
    """How many an embedded column has."""
    embedding_width: Count = 4
    """Of ``plr`` alone: outputs of a column's linear map."""
    embedding_scale: Positive = 0.1
    """Standard deviation of the initial frequencies, in periods per unit of the column."""

    @model_validator(mode="after")
    def _two_share_hidden_layers(self) -> "MLP":
        if self.tabm == 1:
            raise ValueError("tabm: 1 implicit member shares with nobody; use 2 or more, or 0 for a plain network")
        if self.tabm and not self.hidden:
            raise ValueError(f"tabm: {self.tabm} implicit members share hidden layers, and hidden is empty; add one")
        return self

    @model_validator(mode="after")
    def _one_rate_a_layer(self) -> "MLP":
        if isinstance(self.dropout, tuple) and len(self.dropout) != len(self.hidden):
            raise ValueError(f"dropout: {len(self.dropout)} rates for {len(self.hidden)} hidden layers")
        return self

    @property
    def embedded_width(self) -> int:
        """How many inputs an embedded column adds."""
        return {"none": 0, "periodic": 2 * self.embedding_frequencies, "plr": self.embedding_width}[self.embedding]

    @property
    def dropout_rates(self) -> tuple[float, ...]:
        """The dropout rate behind each hidden layer."""
        return self.dropout if isinstance(self.dropout, tuple) else (self.dropout,) * len(self.hidden)


PER_MEMBER = (
    *("learning_rate", "weight_decay", "l1", "label_noise", "input_dropout", "input_noise", "mixup", "column_share"),
    "dropout",
)
"""Keys of `Linear` and `MLP` in which members that are trained as one batch may differ."""


class Ridge(Experiment):
    """``kind = "ridge"``: linear least squares with an L2 penalty, in closed form (D2L §3.7)."""

    kind: Literal["ridge"]
    alpha: Positive = 1.0
    """Penalty on the squared weights (not the intercept), in units of the summed squared error."""


class Sklearn(Experiment):
    """``kind = "sklearn"``: any estimator with scikit-learn's ``fit`` and ``predict``, by import path."""

    kind: Literal["sklearn"]
    estimator: ImportPath
    params: Params = {}


AnyExperiment = Annotated[Linear | MLP | Ridge | Sklearn, Field(discriminator="kind")]


class Ensemble(Table):
    """``[ensembles.NAME]``: runs combined, by weights or by a second level."""

    runs: Annotated[tuple[str, ...], Field(min_length=1)]
    """With ``select`` these are the candidates: each is trained, if only to be left out."""
    method: Literal["mean", "nnls", "greedy", "shrunk", "stack"] = "mean"
    """How the runs are weighted (`houseprice.compete.ensemble`); ``stack``: by an estimator that is fitted on their
    predictions and scored without a leak (`houseprice.compete.stacking`)."""
    shrink: Share = 0.5
    """Of ``shrunk`` alone: how far weights of ``nnls`` are drawn towards equal ones; 0: not at all, 1: all the way."""
    select: Literal["all", "one_standard_error"] = "all"
    """Which runs are weighted. ``one_standard_error``: as few as score within one standard error of the best number of
    them (`houseprice.compete.ensemble.chosen_runs`). The choice is part of what is scored by cross-fitting."""
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
            if ensemble.method == "stack" and self.folds[folds[ensemble.runs[0]]].k < 3:
                raise ValueError(f"ensembles.{name}.method: a stack leaves out two folds at a time; it needs k ≥ 3")
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
