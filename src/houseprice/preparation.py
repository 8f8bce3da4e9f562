"""How the competition file says what becomes of columns: ``[features.NAME]``, one attribute a key."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from houseprice.schema import Count, Few, Positive, Table


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


class Extract(Table):
    """A new text column: what the one group of a regular expression finds in another (`houseprice.data.patterns`)."""

    column: str
    pattern: Annotated[str, Field(max_length=200)]

    @field_validator("pattern")
    @classmethod
    def _ends_in_time(cls, pattern: str) -> str:
        """Repeated groups may try exponentially many ways to match one cell, n open repetitions its length to the n."""
        try:
            groups = re.compile(pattern).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if groups != 1:
            raise ValueError(f"{groups} groups in brackets; write one, around what is wanted: ', (\\w+)\\.'")
        bare = re.sub(r"\\.", "a", pattern)
        if (repetitions := len(re.findall(r"[*+]|\{\d*,\}", bare))) > 3:
            raise ValueError(f"{repetitions} open repetitions (*, +); use 3 at most")
        if re.search(r"\)[*+{]", bare):
            raise ValueError("a group that is repeated may take forever; repeat a single character or class")
        return pattern


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
    text: dict[str, Annotated[Few, Field(ge=1)]] = {}
    """Columns of free text, each with the number of columns that its words are hashed into."""
    ordinal: tuple[Ordinal, ...] = ()
    extract: dict[str, Extract] = {}
    """New text columns, found in others by regular expressions, before all else: they may have any role."""
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
    pieces: Annotated[Few, Field(ge=2)] | None = None
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
    rare: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Categories with fewer training rows than this are lumped into one."""
    prune: Annotated[int, Field(ge=0, le=10**9)] = 0
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
