"""What the row losses of experiments say: which differ, how much of the best is luck, what a test set can tell."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from houseprice.metrics import Metric

Float = NDArray[np.float64]
Verdict = Literal["better", "worse", "not distinguishable"]

LEVEL = 0.05
_BLOCK = 2**22  # counts held at one time: 32 MiB

_Finding = tuple[float, float, float, float, float, float | None]  # difference, std_error, low, high, p_rows, p_folds
_SAME: _Finding = (0.0, 0.0, 0.0, 0.0, 1.0, None)


@final
@dataclass(frozen=True)
class Comparison:
    """One experiment beside another, over the same rows.

    Attributes
    ----------
    first, second
        Their names.
    difference
        Score of the first less score of the second; below 0 the first is better, or above where greater is.
    std_error
        Of the difference, by the paired bootstrap over rows.
    low, high
        95 % interval of the difference, by the same.
    p_rows
        Two-sided, of the same bootstrap: at most 5 % where the interval leaves out 0.
    p_folds
        Two-sided, of the corrected resampled t-test; None where the two share no folds.
    p_adjusted
        The larger of the two, corrected for the number of pairs compared.
    verdict
        Of the first: better or worse where ``p_adjusted`` is at most 5 %.
    """

    first: str
    second: str
    difference: float
    std_error: float
    low: float
    high: float
    p_rows: float
    p_folds: float | None
    p_adjusted: float
    verdict: Verdict

    @property
    def is_same(self) -> bool:
        """Whether the two are the same predictions, as an entry's and its ensemble's are; then it is no finding."""
        return self.difference == self.low == self.high == 0

    @property
    def in_words(self) -> str:
        """The verdict as tables show it."""
        return "the same" if self.is_same else self.verdict

    @property
    def reversed(self) -> "Comparison":
        """The same seen from the second."""
        opposite: Mapping[Verdict, Verdict] = {"better": "worse", "worse": "better"}
        return replace(
            self,
            first=self.second,
            second=self.first,
            difference=0.0 - self.difference,  # 0 stays +0
            low=0.0 - self.high,
            high=0.0 - self.low,
            verdict=opposite.get(self.verdict, self.verdict),
        )


@dataclass(frozen=True)
class Luck:
    """How much of the leader's score its choice among many explains.

    Attributes
    ----------
    experiments
        How many different predictions there were to choose from.
    best
        The leader's name.
    score, expected
        Its score, and what to expect of it on new rows.
    greater_is_better
        Of the score.
    """

    experiments: int
    best: str
    score: float
    expected: float
    greater_is_better: bool = False

    @property
    def optimism(self) -> float:
        """How much better the score looks than it is."""
        return self.score - self.expected if self.greater_is_better else self.expected - self.score


def compare_all(
    names: Sequence[str],
    losses: Float,
    folds: Sequence[NDArray[np.int64]],
    metric: Metric,
    *,
    against: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[tuple[str, str], Comparison]:
    """Compare every two experiments on the rows that both predicted.

    Rows are drawn with replacement, the same for all experiments, and the interval is as wide as the differences so
    drawn spread, by Student's t (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, §12.2). Losses have
    heavy tails; on such data this interval holds what it promises where the percentiles of the draws are too narrow
    (``tests/test_statistics.py``), and it can tell a p of 10⁻⁴, which a few thousand draws can't count.

    A difference is called real if two tests agree, each of which knows something that the other does not: ``p_rows``
    counts every row, and ``p_folds`` (`fold_test`) hears of luck that the rows of a fold share. The larger p is
    corrected for all pairs at once (`adjusted`), because the best was found by looking at all of them.

    Parameters
    ----------
    names
        Of the experiments, all different.
    losses
        float64 [n_rows, n_experiments], row losses of the metric, rows in the same order. Experiments with equal losses
        are one for the correction: an entry repeats its ensemble.
    folds
        For every experiment int64 [n_repeats, n_rows]: the folds that its predictions come from.
    metric
        Makes scores of mean losses.
    against
        The one experiment with which all others are compared, and they with no other; the correction is for these
        pairs alone.
    resamples, seed
        Of the bootstrap.

    Returns
    -------
    dict
        By (first, second), in both orders, for every two different experiments that are compared.
    """
    from scipy.special import stdtrit

    group_of, columns = _groups(losses)
    distinct = losses[:, columns]
    scores = metric.score_of_losses(distinct.mean(axis=0))
    means = [counts @ distinct / len(losses) for counts in _draws(len(losses), len(losses), resamples, seed)]
    covariance = np.atleast_2d(np.cov(metric.score_of_losses(np.concatenate(means)), rowvar=False))
    variances = np.diag(covariance)
    spreads = np.sqrt(np.maximum(variances[:, None] + variances - 2 * covariance, 0))  # [group, group]
    half_width = float(stdtrit(len(losses) - 1, 1 - LEVEL / 2))
    of_repeats = _repeats(folds, group_of)
    scores_in = {content: _scores_in(repeat, distinct, metric) for content, (repeat, _) in of_repeats.items()}
    hub = None if against is None else names.index(against)
    pairs = [pair for pair in combinations(range(len(columns)), 2) if hub is None or group_of[hub] in pair]
    found: list[_Finding] = []
    for first, second in pairs:
        difference, spread = float(scores[first] - scores[second]), float(spreads[first, second])
        shared = [scores_in[content] for content, (_, groups) in of_repeats.items() if {first, second} <= groups]
        p_folds = None
        if shared:
            p_folds = fold_test(np.concatenate([of[:, first] - of[:, second] for of in shared]), len(shared))
        low, high = difference - half_width * spread, difference + half_width * spread
        found.append((difference, spread, low, high, _two_sided(difference, spread, len(losses) - 1), p_folds))
    corrected = adjusted([max(p_rows, p_folds or 0.0) for *_, p_rows, p_folds in found])
    of_groups = dict(zip(pairs, zip(found, corrected, strict=True), strict=True))
    comparisons = {}
    for one, other in combinations(range(len(names)), 2):
        if hub not in (None, one, other):
            continue
        first, second = sorted((one, other), key=lambda position: group_of[position])
        if group_of[first] == group_of[second]:
            finding, p_adjusted = _SAME, 1.0
        else:
            finding, p_adjusted = of_groups[group_of[first], group_of[second]]
        distinguished = p_adjusted <= LEVEL
        verdict: Verdict = (
            ("better" if metric.better(finding[0]) else "worse") if distinguished else "not distinguishable"
        )
        comparison = Comparison(names[first], names[second], *finding, p_adjusted, verdict)
        comparisons[names[first], names[second]] = comparison
        comparisons[names[second], names[first]] = comparison.reversed
    return comparisons


def luck_of_best(names: Sequence[str], losses: Float, metric: Metric, *, resamples: int = 2000, seed: int = 0) -> Luck:
    """Estimate how much of the best score comes from having been chosen as the best.

    The choice is repeated on resamples of the rows and judged on the rows left out, where the chosen one has no luck;
    there it is worse than the leader of all rows by as much, in the mean, as the leader's own luck is worth. Among
    equal experiments this is exact. Where some are better, a resample chooses worse than all rows do, and the
    estimate comes out too large: with n draws of n rows by up to a third, with 2 n draws, which leave 14 % of the rows
    out, by a fifth (``tests/test_statistics.py``).

    Parameters
    ----------
    names
        Of the experiments.
    losses
        float64 [n_rows, n_experiments]; equal columns count once.
    metric, resamples, seed
        As for `compare_all`.
    """
    columns = _groups(losses)[1]
    distinct = losses[:, columns]
    n_rows, means = len(distinct), distinct.mean(axis=0)
    best = int(means.argmin())
    excess, judged = 0.0, 0
    for counts in _draws(n_rows, 2 * n_rows, resamples, seed):
        left_out = (counts == 0).astype(np.float64)
        judges = left_out.sum(axis=1) > 0
        chosen = (counts @ distinct).argmin(axis=1)[judges]
        without = left_out[judges] @ distinct / left_out[judges].sum(axis=1, keepdims=True)  # [resample, experiment]
        excess += float((without[np.arange(len(chosen)), chosen] - without[:, best]).sum())
        judged += len(chosen)
    expected = means[best] + (excess / judged if judged else 0.0)
    score, expected_score = metric.score_of_losses(np.array([means[best], max(expected, 0.0)])).tolist()
    return Luck(len(columns), names[columns[best]], score, expected_score, metric.greater_is_better)


def std_error_at(n_rows: int, losses: Float, metric: Metric, other: Float | None = None) -> float:
    """Standard error of a score on so many new rows; with ``other``, of the difference of two on the same rows.

    Parameters
    ----------
    n_rows
        Of the test set.
    losses, other
        float64 [n_known_rows], row losses.
    metric
        Makes scores of mean losses.

    Returns
    -------
    float
        By the delta method; 0 with fewer than two known rows.
    """
    influence = metric.influence(losses) - (0.0 if other is None else metric.influence(other))
    return float(influence.std(ddof=1) / math.sqrt(n_rows)) if len(losses) > 1 else 0.0


def row_shares(first: Float, second: Float, metric: Metric) -> Float:
    """How much of the variance of two experiments' difference each row holds, float64 [n_rows], summing to 1.

    Parameters
    ----------
    first, second
        float64 [n_rows], row losses.
    metric
        Makes scores of mean losses.
    """
    squares = np.square(metric.influence(first) - metric.influence(second))
    return squares / squares.sum() if squares.sum() > 0 else np.full(len(first), 1 / len(first))


def fold_test(differences: Float, n_repeats: int = 1) -> float:
    """Two-sided p of the corrected resampled t-test, over differences of two experiments' scores on the same folds.

    Folds share most of the rows that they are fitted on, so that their differences vary less than those of
    independent data would. Nadeau & Bengio, "Inference for the generalization error", *Machine Learning* 52
    (2003), §5, estimate the variance of the mean as (1/J + n_valid/n_fit) s²; with J - 1 degrees of freedom.

    Parameters
    ----------
    differences
        float64 [J], J = folds × repeats ≥ 2.
    n_repeats
        How often all rows were dealt to folds; n_valid/n_fit is 1/(k - 1) with k folds in a repeat.
    """
    share = 1 / (len(differences) / n_repeats - 1)
    spread = math.sqrt((1 / len(differences) + share) * float(differences.var(ddof=1)))
    return _two_sided(float(differences.mean()), spread, len(differences) - 1)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number: the false discovery rate at which each would just be accepted.

    Benjamini & Hochberg, "Controlling the false discovery rate", *J. R. Statist. Soc. B* 57 (1995), §3.

    >>> adjusted([0.01, 0.02, 0.04, 0.9])
    [0.04, 0.04, 0.05333333333333334, 0.9]
    """
    order = np.argsort(p_values)[::-1]
    ranks = np.arange(len(p_values), 0, -1)
    raised = np.minimum.accumulate(np.minimum(np.asarray(p_values)[order] * len(p_values) / ranks, 1.0))
    corrected = np.empty(len(p_values))
    corrected[order] = raised
    return [float(p) for p in corrected]


def _groups(losses: Float) -> tuple[list[int], list[int]]:
    """The group of equal columns that each column is of, and the first column of each group."""
    number_of: dict[bytes, int] = {}
    columns: list[int] = []
    group_of = []
    for position, column in enumerate(losses.T):
        group_of.append(number_of.setdefault(column.tobytes(), len(number_of)))
        if group_of[-1] == len(columns):
            columns.append(position)
    return group_of, columns


def _draws(n_rows: int, n_draws: int, resamples: int, seed: int) -> Iterator[Float]:
    """How often each row is drawn, float64 [some resamples, n_rows], a block at a time."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _BLOCK // n_draws)
    for start in range(0, resamples, at_once):
        n = min(at_once, resamples - start)
        picks = rng.integers(0, n_rows, (n, n_draws)) + n_rows * np.arange(n)[:, None]
        yield np.bincount(picks.ravel(), minlength=n * n_rows).reshape(n, n_rows).astype(np.float64)


def _two_sided(value: float, spread: float, freedom: int) -> float:
    """p of a value whose ratio to its spread is Student's t around 0."""
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -abs(value) / spread)) if spread > 0 else float(value == 0)


def _repeats(
    folds: Sequence[NDArray[np.int64]], group_of: Sequence[int]
) -> dict[bytes, tuple[NDArray[np.int64], set[int]]]:
    """Every repeat of all folds by its content: int64 [n_rows], numbered from 0, and the groups that have it."""
    found: dict[bytes, tuple[NDArray[np.int64], set[int]]] = {}
    for group, repeats in zip(group_of, folds, strict=True):
        for repeat in repeats:
            numbered = repeat - repeat.min()  # in `Run.fold_of_row` the numbers go on through the repeats
            found.setdefault(numbered.tobytes(), (numbered, set()))[1].add(group)
    return found


def _scores_in(repeat: NDArray[np.int64], losses: Float, metric: Metric) -> Float:
    """The scores of every fold of a repeat, float64 [n_folds, n_experiments]."""
    return np.stack([metric.score_of_losses(losses[repeat == fold].mean(axis=0)) for fold in np.unique(repeat)])
