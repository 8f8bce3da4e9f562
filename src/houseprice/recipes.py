"""The kinds of experiments in the competition file, one class a kind, one attribute a key."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from houseprice.schema import Count, Few, ImportPath, NonNegative, Params, Positive, Rate, Table, Width
from houseprice.tasks import Task


class Experiment(Table):
    """What every ``[experiments.NAME]`` has, whatever its kind."""

    features: str = "default"
    folds: str = "main"
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 1
    """How many members a fold has; seeds count from 0."""
    exclude_from_fit: tuple[str, ...] = ()
    """Ids of training rows that no member is fitted on. They are validated like all others."""
    target_scale: Literal["link", "natural"] = "link"
    """The scale of the fitted target: ``link`` (log price) or ``natural`` (price)."""
    standardize_target: bool = True
    """Whether the fitted target gets mean 0 and standard deviation 1 on the training rows of the fold; of numbers."""
    target_transform: Literal["none", "log", "log1p", "box_cox", "yeo_johnson", "quantile"] = "none"
    """What the fitted target becomes before it is standardised, learnt from the training rows of the fold; predictions
    are carried back (`houseprice.learn.targets`)."""
    floor: Positive | None = None
    """Predictions in natural units are raised to this, before the metric sees them."""
    weights: Literal["none", "shift"] = "none"
    """How much each row counts in fitting. ``shift``: as the test rows have more or fewer of its like, by a logistic
    model of a fold's fit rows against the test rows (`houseprice.data.shift.discriminate`). Validation is not weighted,
    and no validation row is looked at; but test rows are, which the leaderboard says."""
    weight_ceiling: Annotated[float, Field(gt=1)] = 10.0
    """Of ``shift`` alone: no row counts more often than this, before weights are divided by their mean. Without a bound
    a few rows would decide everything."""


LossName = Literal["squared", "huber", "absolute", "pinball", "binary_cross_entropy", "cross_entropy"]
ActivationName = Literal["relu", "prelu", "leaky_relu", "sigmoid", "tanh", "gelu", "silu", "selu", "mish"]
InitializationName = Literal["default", "xavier_uniform", "xavier_normal", "normal", "constant"]


class Linear(Experiment):
    """``kind = "linear"``: a linear model by minibatch gradient descent (D2L §3.5).

    Members that the engine trains as one tensor program share every key but those of `PER_MEMBER`.
    """

    kind: Literal["linear"]
    loss: LossName = "squared"
    """What is minimised, as the mean over the rows of a batch (`houseprice.learn.functions.Loss`). The default of tasks
    with classes is their cross-entropy, and no other loss fits."""
    huber_delta: Positive = 1.0
    """Of ``huber`` alone: where the loss turns from squared to linear (Huber 1964)."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Of ``pinball`` alone: the quantile that is estimated (Koenker & Bassett 1978)."""
    classes: Annotated[int, Field(ge=2, le=10_000)] = 2
    """Of the two cross-entropies alone: the target holds the classes 0, 1, …, classes - 1 (D2L §4.1). In a competition
    it is as many as the training file has."""
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
    warmup_epochs: Annotated[int, Field(ge=0, le=10**6)] = 0
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
    def _mixtures_have_no_weight(self) -> "Linear":
        if self.mixup and self.weights != "none":
            raise ValueError(
                f"mixup: {self.mixup:g}, but a mixture of two rows has no weight; use 0, or weights 'none'"
            )
        return self

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> "Linear":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs: {self.warmup_epochs} of {self.epochs} epochs; train one after it")
        return self


class MLP(Linear):
    """``kind = "mlp"``: a multilayer perceptron (D2L ch. 5)."""

    kind: Literal["mlp"]  # type: ignore[assignment]
    hidden: Annotated[tuple[Width, ...], Field(max_length=64)] = (256, 256)
    """Width of each hidden layer; none at all makes the model linear."""
    activation: ActivationName = "relu"
    """Behind each hidden layer (`houseprice.learn.functions.ACTIVATIONS`; D2L §5.1)."""
    dropout: Rate | tuple[Rate, ...] = 0.0
    """One rate for all hidden layers, or one for each (D2L §5.6)."""
    skip: bool = False
    """Whether a linear model of the inputs, which starts at 0, is added to the output (Cheng et al. 2016, "wide")."""

    tabm: Few = 0
    """TabM (Gorishniy, Kotelnikov & Babenko 2024): so many implicit members a network, which share the weights of the
    hidden layers; 0: off. Each has its own scales of a layer's inputs and outputs, biases, dropout masks and head. Rows
    and what is done to them are the same for all. The loss is the mean of theirs, and so is the prediction: of logits,
    where the paper averages probabilities. Scales are spared by weight decay, as biases are; the paper decays them."""

    embedding: Literal["none", "periodic", "plr"] = "none"
    """What a column with more than two distinct values among the fitted rows becomes beside itself: sines and cosines
    with trained frequencies, or ReLUs of its own linear map of these (`houseprice.learn.embedding`)."""
    embedding_frequencies: Annotated[Few, Field(ge=1)] = 16
    """How many an embedded column has."""
    embedding_width: Annotated[Few, Field(ge=1)] = 4
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
    """``kind = "ridge"``: linear least squares with an L2 penalty, in closed form (D2L §3.7). Of numbers alone."""

    kind: Literal["ridge"]
    alpha: Positive = 1.0
    """Penalty on the squared weights (not the intercept), in units of the summed squared error."""


class Sklearn(Experiment):
    """``kind = "sklearn"``: any estimator with scikit-learn's ``fit`` and ``predict``, by import path.

    For classes one with ``predict_proba``; or with ``decision_function``, whose values are turned into probabilities
    by a sigmoid, or a softmax over more than two classes.
    """

    kind: Literal["sklearn"]
    estimator: ImportPath
    params: Params = {}


AnyExperiment = Annotated[Linear | MLP | Ridge | Sklearn, Field(discriminator="kind")]


def unfit(experiment: AnyExperiment, task: Task) -> str | None:
    """Which key of an experiment does not fit the task, and the way out; None if all do."""
    loss = experiment.loss if isinstance(experiment, Linear) else None
    if task == "regression":
        return f"loss: {loss} is of classes; task {task} has numbers" if loss and "cross_entropy" in loss else None
    if isinstance(experiment, Ridge):
        return (
            f'kind: ridge predicts numbers, and task {task} has classes; use kind = "linear" with weight_decay, or '
            'kind = "sklearn" with estimator = "sklearn.linear_model.LogisticRegression"'
        )
    fitting = ("cross_entropy", "binary_cross_entropy")[: 2 if task == "binary" else 1]
    if loss is not None and loss not in fitting:
        return f"loss: {loss} does not fit task {task}; use {' or '.join(fitting)}"
    for key in ("target_scale", "floor", "target_transform"):
        if getattr(experiment, key) != type(experiment).model_fields[key].default:
            return f"{key}: of numbers, and task {task} has classes; take it out"
    return None
