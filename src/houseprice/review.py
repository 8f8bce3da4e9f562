"""What the stored rows of the leaderboard say of each other, and where the errors of one of them lie."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from houseprice.compete.leaderboard import Evidence, Row, evidence_of, rows
from houseprice.compete.statistics import Comparison, Luck, compare_all, luck_of_best, row_shares, std_error_at
from houseprice.errors import ConfigError, DataError, LeaderboardError, listing, nearest
from houseprice.metrics import Metric

if TYPE_CHECKING:
    import pandas as pd

    from houseprice.data.tables import Tables

Float = NDArray[np.float64]

MOST_VALUES = 12
"""A numeric column with more different values is cut into as many groups of about equal size."""


@dataclass(frozen=True)
class Review:
    """The leaderboard, each row beside the others.

    Rows can be compared whose evidence is of the same training rows; where a leaderboard has several, it is those of
    the row recorded last.

    Attributes
    ----------
    rows
        All of them, the best score first; those that can't be compared come last, for their scores are of other rows.
    comparisons
        By the rows' keys, in both orders; not of rows that can't be compared. All pairs are one family for the
        correction, because each row was a candidate for the best.
    best
        The key of the best row among those; None without evidence.
    luck
        How much of its score comes from having been chosen.
    n_test
        Rows of the test file.
    noise, noise_of_difference
        Standard error, on so many rows, of the best row's score; and of the difference between it and another, in the
        median over the others. NaN where there is none.
    """

    rows: tuple[Row, ...]
    comparisons: Mapping[tuple[str, str], Comparison]
    best: str | None
    luck: Luck | None
    n_test: int
    noise: float
    noise_of_difference: float

    @property
    def n_pairs(self) -> int:
        """How many pairs of different predictions the correction is for."""
        m = self.luck.experiments if self.luck else 0
        return m * (m - 1) // 2

    def against_best(self, row: Row) -> Comparison | None:
        """The row compared with the best; None for the best itself and for what can't be compared."""
        return None if self.best is None else self.comparisons.get((row.key, self.best))

    def compared(self, first: Row, second: Row) -> Comparison:
        """Two rows beside one another.

        Raises
        ------
        LeaderboardError
            If they can't be compared.
        """
        if first.key == second.key:
            raise LeaderboardError(f"{first.key}: is one row; name two")
        found = self.comparisons.get((first.key, second.key))
        if found is None:
            comparable = {key for pair in self.comparisons for key in pair} | {self.best}
            odd = [row.key for row in (first, second) if row.key not in comparable]
            raise LeaderboardError(
                f"{first.key} and {second.key} can't be compared: {listing(odd)}: no out-of-fold predictions are "
                "stored, or they are of other training rows than the row recorded last. Evaluate it again."
            )
        return found


def review(board: Path, metric: Metric, n_test: int) -> Review:
    """Compare all rows of a leaderboard.

    Parameters
    ----------
    board
        The database.
    metric
        The competition's.
    n_test
        Rows of the test file; 0 where it is not known.

    Raises
    ------
    StorageError
        If the database can't be read.
    """
    found = tuple(rows(board))
    if metric.greater_is_better:
        found = tuple(sorted(found, key=lambda row: -row.score))
    losses_of, folds_of = _evidence(board, found, metric)
    compared = [row for row in found if row.key in losses_of]
    if not compared:
        return Review(found, {}, None, None, n_test, math.nan, math.nan)
    others = tuple(row for row in found if row.key not in losses_of)
    keys = [row.key for row in compared]
    losses = np.stack([losses_of[key] for key in keys], axis=1)  # [row, experiment]
    best = losses[:, int(losses.mean(axis=0).argmin())]
    distinct = np.unique(losses, axis=1).T  # [experiment, row]
    errors = [std_error_at(n_test, best, metric, other) for other in distinct if n_test and (other != best).any()]
    luck = luck_of_best(keys, losses, metric)
    return Review(
        rows=(*compared, *others),
        comparisons=compare_all(keys, losses, [folds_of[key] for key in keys], metric),
        best=luck.best,
        luck=luck,
        n_test=n_test,
        noise=std_error_at(n_test, best, metric) if n_test else math.nan,
        noise_of_difference=float(np.median(errors)) if errors else math.nan,
    )


def weight_text(weight: float | None, digits: int = 2) -> str:
    """A run's weight in an ensemble: 0 is said in words, none (of a second level that is not linear) is a dash.

    >>> [weight_text(weight) for weight in (0.254, 0.0, None, -0.1)]
    ['0.25', 'not chosen', '–', '-0.10']
    """
    return "–" if weight is None else f"{weight:.{digits}f}" if weight else "not chosen"


def decimals_for(std_error: float) -> int:
    """Digits after the point with which a standard error has two digits of its own.

    >>> [decimals_for(error) for error in (0.0078, 1234.5, 0.0)]
    [4, 0, 4]
    """
    return max(0, 1 - math.floor(math.log10(std_error))) if std_error > 0 else 4


def notes(found: Review, decimals: int) -> tuple[str, ...]:
    """What is to be said beneath the leaderboard: luck, noise, and what the verdicts rest on."""
    luck = found.luck
    if luck is None:
        return ("Nothing can be compared: no row's out-of-fold predictions are stored.",) if found.rows else ()

    def figure(value: float) -> str:
        return f"{value:,.{decimals}f}"

    name, *_ = (row.name for row in found.rows if row.key == luck.best)
    said = []
    if luck.experiments > 1:
        said.append(
            f"Luck: {name} is the best of {luck.experiments} different predictions; {figure(luck.optimism)} of its "
            f"{figure(luck.score)} is luck of that choice. Expect {figure(luck.expected)} on new rows."
        )
    alone, paired = figure(found.noise), found.noise_of_difference
    if found.n_test and math.isnan(paired):
        said.append(f"Noise: {found.n_test:,} test rows tell a score to ± {alone} (standard error).")
    elif found.n_test:
        said.append(
            f"Noise: a gain of {figure(2 * paired)} or less over {name} is inside the noise of {found.n_test:,} test "
            f"rows: standard error ± {figure(paired)} for the difference of two such entries, ± {alone} for one score."
        )
    if found.n_pairs:
        said.append(
            "Verdicts: by the paired bootstrap over rows and the corrected t-test over folds, the less sure, at "
            f"5\N{NO-BREAK SPACE}% after Benjamini-Hochberg for all {found.n_pairs} pairs of predictions."
        )
    beside = [(row.name, found.against_best(row)) for row in found.rows if row.key != luck.best]
    if others := {row: None for row, each in beside if each and each.p_folds is None and not each.is_same}:
        said.append(f"On other folds than {name}, so that rows alone decide: {listing(others)}.")
    if alone_standing := {row: None for row, each in beside if each is None}:
        said.append(
            f"Not compared, for want of stored predictions of the same training rows: {listing(alone_standing)}."
        )
    return tuple(said)


def _evidence(
    board: Path, found: Sequence[Row], metric: Metric
) -> tuple[dict[str, Float], dict[str, NDArray[np.int64]]]:
    """Row losses [n_train] and folds [n_repeats, n_train] of comparable rows by key, all in the same order of ids."""
    truth_of: dict[str, tuple[tuple[str, ...], bytes]] = {}
    losses_of, folds_of = {}, {}
    for row in found:
        evidence = evidence_of(board, row)
        if evidence is not None:
            order = sorted(range(len(evidence.ids)), key=evidence.ids.__getitem__)
            ordered = evidence.at(order)
            truth_of[row.key] = ordered.ids, ordered.target.tobytes()
            losses_of[row.key] = metric.oof_losses(ordered)
            folds_of[row.key] = ordered.fold_of_row
    if not truth_of:
        return {}, {}
    last = max((row for row in found if row.key in truth_of), key=lambda row: row.created)
    comparable = {key for key, truth in truth_of.items() if truth == truth_of[last.key]}
    return {key: losses_of[key] for key in comparable}, {key: folds_of[key] for key in comparable}


def decisive_rows(board: Path, first: Row, second: Row, metric: Metric, share: float = 0.5) -> tuple[str, ...]:
    """The ids of the fewest rows that hold so much of the variance of a difference, the heaviest first.

    Where they are a handful, the difference hangs on them, and its interval on there being no more of their kind.

    Raises
    ------
    LeaderboardError
        If a row has no evidence, or they are of different training rows.
    """
    evidence = [evidence_of(board, row) for row in (first, second)]
    one, other = evidence
    if one is None or other is None or set(one.ids) != set(other.ids):
        raise LeaderboardError(f"{first.key} and {second.key} can't be compared: their rows are not the same")
    position_of = {row_id: position for position, row_id in enumerate(other.ids)}
    order = [position_of[row_id] for row_id in one.ids]
    shares = row_shares(metric.oof_losses(one), metric.oof_losses(other)[order], metric)
    heaviest = np.argsort(-shares, kind="stable")
    enough = int(np.searchsorted(np.cumsum(shares[heaviest]), share)) + 1
    return tuple(one.ids[position] for position in heaviest[:enough])


@dataclass(frozen=True)
class Group:
    """Rows with something in common.

    Attributes
    ----------
    value
        What they share: a value, or "from to".
    count
        How many they are.
    score
        The metric over them.
    mean, std_error
        Of their residuals (prediction less target, link scale): above 0 they are predicted too high.
    share
        Of the sum of all row losses.
    middle
        Median of their predictions, natural units.
    """

    value: str
    count: int
    score: float
    mean: float
    std_error: float
    share: float
    middle: float


@dataclass(frozen=True)
class Worst:
    """One row that is predicted badly: target and prediction in natural units, the residual on the link scale."""

    id: str
    target: float
    prediction: float
    residual: float
    share: float


@dataclass(frozen=True)
class Residuals:
    """Where the errors of out-of-fold predictions lie.

    Attributes
    ----------
    worst
        The rows with the largest losses, the largest first.
    by
        Groups by a column's values: of numbers in their order, of text by their share of the losses; missing values
        are a group of their own, the last.
    bands
        Ten groups of about equal size by the prediction.
    """

    worst: tuple[Worst, ...]
    by: tuple[Group, ...]
    bands: tuple[Group, ...]


def residuals_of(
    evidence: Evidence, tables: "Tables", metric: Metric, by: str | None = None, worst: int = 10
) -> Residuals:
    """Find the worst rows, and the error by a column's values and by predicted price.

    Classes are predicted by probabilities: of the second of two, or of the row's own class (`of_true_class`).

    Parameters
    ----------
    evidence
        Predictions with their truth.
    tables
        The frames whose columns rows are grouped by, joined by id.
    metric
        The competition's.
    by
        A column of the training file; without it ``by`` is empty.
    worst
        How many rows.

    Raises
    ------
    ConfigError
        If there is no such column.
    DataError
        If the tables lack rows of the evidence.
    """
    if by is not None and by not in tables.train.columns:
        known = [str(column) for column in tables.train.columns]
        raise ConfigError(f"no column {by!r} in train.csv; {nearest(by, known)}")
    places = tables.train.index.get_indexer(list(evidence.ids))
    if (places < 0).any():
        odd = [row_id for row_id, place in zip(evidence.ids, places, strict=True) if place < 0]
        raise DataError(f"train.csv: lacks rows that were predicted: ids {listing(odd)}. Evaluate the row again.")
    losses = metric.oof_losses(evidence)
    target, oof = of_true_class(evidence)
    predictions, targets = metric.from_link(oof), metric.from_link(target)
    residuals, total = oof - target, float(losses.sum()) or 1.0

    def group(value: str, members: NDArray[np.int64]) -> Group:
        of_group = residuals[members]
        spread = float(of_group.std(ddof=1)) if len(members) > 1 else math.nan
        return Group(
            value=value,
            count=len(members),
            score=float(metric.score_of_losses(losses[members].mean())),
            mean=float(of_group.mean()),
            std_error=spread / math.sqrt(len(members)),
            share=float(losses[members].sum()) / total,
            middle=float(np.median(predictions[members])),
        )

    heaviest = np.lexsort((-np.abs(residuals), -losses))[:worst]
    by_value: tuple[Group, ...] = ()
    if by is not None:
        by_value = tuple(group(*each) for each in _groups(tables.train[by].iloc[places]))
        if not _is_number(tables.train[by]):
            by_value = tuple(sorted(by_value, key=lambda each: (each.value == MISSING, -each.share)))
    return Residuals(
        worst=tuple(
            Worst(
                id=evidence.ids[row],
                target=float(targets[row]),
                prediction=float(predictions[row]),
                residual=float(residuals[row]),
                share=float(losses[row]) / total,
            )
            for row in heaviest.tolist()
        ),
        by=by_value,
        bands=tuple(group(*each) for each in _cut(predictions, np.arange(len(predictions)), 10)),
    )


def of_true_class(evidence: Evidence) -> tuple[Float, Float]:
    """Truth and prediction of each row as one number, float64 [n_rows] each.

    Of more classes than two: 1, and the probability of the row's own class, whose residuals are 0 at best.
    """
    if evidence.oof.ndim == 1:
        return evidence.target, evidence.oof
    own = evidence.oof[np.arange(len(evidence.target)), evidence.target.astype(np.int64)]
    return np.ones_like(own), own


MISSING = "missing"


def _is_number(column: "pd.Series") -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(column))


def _groups(column: "pd.Series") -> list[tuple[str, NDArray[np.int64]]]:
    """The rows by a column's values, or by ranges of them, and those where it is missing."""
    absent = column.isna().to_numpy()
    present = np.flatnonzero(~absent)
    known = column.iloc[present]
    if _is_number(column) and known.nunique() > MOST_VALUES:
        found = _cut(known.to_numpy(np.float64), present, MOST_VALUES)
    else:
        codes, values = known.factorize(sort=True)
        found = [(_text(value), present[codes == code]) for code, value in enumerate(values)]
    return [*found, *([(MISSING, np.flatnonzero(absent))] if absent.any() else [])]


def _cut(values: Float, rows: NDArray[np.int64], n_groups: int) -> list[tuple[str, NDArray[np.int64]]]:
    """Rows in groups of about equal size by their values, equal values together, named by their ends."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_groups + 1)))
    group_of = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    found = []
    for number in np.unique(group_of):
        inside = values[group_of == number]
        ends = dict.fromkeys((_text(inside.min()), _text(inside.max())))
        found.append((" to ".join(ends), rows[group_of == number]))
    return found


def _text(value: object) -> str:
    """A value as a person writes it: numbers without a needless fraction, prices without cents."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.6g}"
