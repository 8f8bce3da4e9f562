"""What a choice among experiments and ensembles is worth, on rows that neither choice nor chosen have seen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from houseprice.compete.ensemble import Blend, blend, matched
from houseprice.config import Ensemble
from houseprice.learn.crossval import Run
from houseprice.learn.nested import Nested
from houseprice.metrics import Metric, decide

Float = NDArray[np.float64]


@dataclass(frozen=True)
class OuterFold:
    """One fold that had no say.

    Attributes
    ----------
    fold
        Its number.
    chosen
        The candidate that is best on the other folds.
    inner_score
        Its score there, by which it was chosen.
    score
        The metric of the fold's rows, as the chosen predicts them.
    """

    fold: int
    chosen: str
    inner_score: float
    score: float


@dataclass(frozen=True)
class Choice:
    """The best of some candidates, and the score of choosing it.

    Attributes
    ----------
    candidates
        Their names.
    folds
        What was chosen without each fold of the first repeat.
    predictions
        float64 [n_train]: of each row by what was chosen without its fold, on the link scale, or probabilities, or 0
        and 1 where the metric reads one of two classes; of more classes [n_train, n_classes].
    score, std_error
        The metric of ``predictions``, and its standard error: nested, of the whole procedure.
    winner, naive_score
        The best by all folds, and the score that it won by.
    optimism
        By how much that is too good: the nested score less the naive one, or the reverse where greater is better.
    """

    candidates: tuple[str, ...]
    folds: tuple[OuterFold, ...]
    predictions: Float
    score: float
    std_error: float
    winner: str
    naive_score: float
    optimism: float


def nested_choice(
    candidates: Mapping[str, Ensemble], runs: Mapping[str, Run], nested: Mapping[str, Nested], metric: Metric
) -> Choice:
    """Score "take the best of these by cross-validation" on folds that had no say in it.

    Without a fold, every candidate is scored by cross-validation on the others, on predictions by members that saw
    neither the row nor the fold (`houseprice.learn.nested`); ensembles learn their choice and weights there
    (`houseprice.compete.ensemble.blend`), and where classes are read, thresholds are learnt there. The best predicts
    the fold by the out-of-fold predictions of its runs. (Varma & Simon, "Bias in error estimation when using
    cross-validation for model selection", *BMC Bioinformatics* 7:91, 2006; Cawley & Talbot, "On over-fitting in model
    selection and subsequent selection bias in performance evaluation", *JMLR* 11, 2010.)

    Parameters
    ----------
    candidates
        Ensembles by name, none a stack; a single experiment is an ensemble of one. Of equal ones the first is taken.
    runs, nested
        By name, of all runs of the candidates, on the same folds. Rows are matched by id.
    metric
        Scores on the link scale.

    Raises
    ------
    DataError
        If the runs are not of the same rows.
    """
    first = next(iter(runs.values()))
    fold_of_row = first.fold_of_row[0]
    predictions, folds = np.empty_like(first.oof), []
    for fold in np.unique(fold_of_row).tolist():
        blends = _blends(candidates, {name: _without(fold, run, nested[name]) for name, run in runs.items()}, metric)
        chosen = _best(blends, metric)
        inside = fold_of_row == fold
        link = matched(blends[chosen].test, blends[chosen].test_ids, _ids(first, inside), chosen)
        predictions[inside] = decide(link, blends[chosen].threshold)
        score = metric.score(first.target[inside], predictions[inside])
        folds.append(OuterFold(fold, chosen, blends[chosen].score, score))
    naive = _blends(candidates, runs, metric)
    winner = _best(naive, metric)
    nested_score, naive_score = metric.score(first.target, predictions), naive[winner].score
    return Choice(
        candidates=tuple(candidates),
        folds=tuple(folds),
        predictions=predictions,
        score=nested_score,
        std_error=metric.std_error(first.target, predictions),
        winner=winner,
        naive_score=naive_score,
        optimism=metric.error(nested_score) - metric.error(naive_score),
    )


def _without(fold: int, run: Run, nested: Nested) -> Run:
    """A run as if the rows of a fold were its test rows: its members saw nothing of them."""
    fold_of_row = run.fold_of_row[0]
    inside = fold_of_row == fold
    place = np.unique(fold_of_row).tolist().index(fold)
    oof = matched(nested.predictions, nested.train_ids, run.train_ids, run.experiment)[:, place]
    return replace(
        run,
        train_ids=_ids(run, ~inside),
        test_ids=_ids(run, inside),
        fold_of_row=fold_of_row[None, ~inside],
        target=run.target[~inside],
        oof=oof[~inside],
        test=run.oof[inside],
    )


def _ids(run: Run, rows: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(run.train_ids[row] for row in np.flatnonzero(rows))


def _blends(candidates: Mapping[str, Ensemble], runs: Mapping[str, Run], metric: Metric) -> dict[str, Blend]:
    return {name: blend(recipe, [runs[run] for run in recipe.runs], metric) for name, recipe in candidates.items()}


def _best(blends: Mapping[str, Blend], metric: Metric) -> str:
    """The name of the best score; one that is not defined is the worst."""
    errors = {name: np.nan_to_num(metric.error(each.score), nan=np.inf) for name, each in blends.items()}
    return min(errors, key=errors.__getitem__)
