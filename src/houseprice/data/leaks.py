"""What in the files may give the target away, or make validation rows less new than the test rows are."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.data.shift import coded, tell_apart
from houseprice.data.tables import Tables
from houseprice.errors import listing

Float = NDArray[np.float64]
Verdict = Literal["fine", "look", "leak"]

GIVEAWAY, SUSPECT = 0.98, 0.9
"""Share of the target's ranks that one column alone explains, from which it is a leak, or worth a look."""
APART = 0.6
"""AUC from which on train and test are told apart in earnest."""
_FOLDS = 5


@dataclass(frozen=True)
class Finding:
    """What one check says.

    Attributes
    ----------
    check
        Its name.
    verdict
        ``fine``; ``look``: it may be a leak, and only who knows the data can tell; ``leak``.
    said
        One sentence with the figures, the columns or the rows.
    value
        The figure that the verdict hangs on, in the check's own unit; None where there is none.
    """

    check: str
    verdict: Verdict
    said: str
    value: float | None = None


def look_at(tables: Tables, fold_of_row: NDArray[np.int64], seed: int = 0) -> list[Finding]:
    """Every check that needs no experiment.

    Parameters
    ----------
    tables
        Checked frames.
    fold_of_row
        int64 [n_repeats, n_train] (`houseprice.data.folds`).
    seed
        Of the folds on which models are judged.
    """
    return [
        identifiers(tables),
        order_of_rows(tables),
        giveaways(tables, seed),
        twins_across_folds(tables, fold_of_row[0]),
        twins_in_test(tables),
        adversarial_validation(tables, seed),
    ]


def identifiers(tables: Tables) -> Finding:
    """Columns that name rows: text or whole numbers, each different. A model learns them by heart and nothing else."""
    found = [column for column in tables.train if _names_rows(tables.train[column])]
    if not found:
        return Finding("identifiers", "fine", "No column names rows.", 0)
    return Finding(
        "identifiers", "look", f"Different in every row: {listing(found)}. Drop what only names rows.", len(found)
    )


def _names_rows(values: pd.Series) -> bool:
    if values.isna().any() or values.nunique() < len(values) or len(values) < 20:
        return False
    return not is_numeric_dtype(values) or bool((values % 1 == 0).all())


def order_of_rows(tables: Tables) -> Finding:
    """Whether the target depends on where its row stands in the file, as it does where rows come in order of time."""
    from scipy.stats import spearmanr

    rho, p = spearmanr(np.arange(len(tables.target)), tables.target)
    if not (p < 0.001 and abs(rho) > 0.1):
        return Finding("order of rows", "fine", f"Target and place in the file: Spearman's ρ {rho:+.2f}.", float(rho))
    return Finding(
        "order of rows",
        "look",
        f"The target depends on the row's place in the file: Spearman's ρ {rho:+.2f}. If rows stand in the order of "
        "time, validate in time.",
        float(rho),
    )


def giveaways(tables: Tables, seed: int = 0) -> Finding:
    """How much of the target's ranks each column alone explains: the R² of a small tree, on rows it did not see."""
    ranks = tables.target.rank(pct=True).to_numpy(np.float64)
    powers = {column: _explained(codes, ranks, seed) for column, codes in coded(tables.train)}
    first = sorted(powers, key=lambda column: -powers[column])[:3]
    best = powers[first[0]]
    said = "The target explained by one column: " + ", ".join(f"{name} {powers[name]:.0%}" for name in first) + "."
    if best < SUSPECT:
        return Finding("giveaways", "fine", said, best)
    named = listing([name for name in powers if powers[name] >= SUSPECT])
    return Finding(
        "giveaways",
        "leak" if best >= GIVEAWAY else "look",
        f"{said} Is {named} known before the target is?",
        best,
    )


def _explained(codes: Float, ranks: Float, seed: int) -> float:
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(max_leaf_nodes=64, min_samples_leaf=2)
    folds = KFold(min(_FOLDS, len(ranks)), shuffle=True, random_state=seed)
    predicted = cross_val_predict(tree, codes[:, None], ranks, cv=folds)
    spread = float(np.square(ranks - ranks.mean()).sum())
    return max(0.0, 1 - float(np.square(ranks - predicted).sum()) / spread) if spread else 0.0


def twins_across_folds(tables: Tables, fold_of_row: NDArray[np.int64]) -> Finding:
    """Training rows that are equal in every feature, and validated apart: members are fitted on what they validate."""
    keys = _keys(tables.train)
    folds = pd.Series(fold_of_row).groupby(keys).nunique()
    apart = np.isin(keys, folds.index[folds > 1])
    if not apart.any():
        return Finding("twins across folds", "fine", "No two training rows of different folds are equal.", 0)
    ids = tables.train.index[apart]
    return Finding(
        "twins across folds",
        "look",
        f"{apart.sum()} of {len(keys)} training rows equal one of another fold in every feature (ids {listing(ids)}). "
        "If they are one case each, use grouped folds.",
        float(apart.mean()),
    )


def twins_in_test(tables: Tables) -> Finding:
    """Test rows that equal a training row in every feature: their target may be known."""
    known = np.isin(_keys(tables.test), _keys(tables.train))
    if not known.any():
        return Finding("twins in test", "fine", "No test row equals a training row.", 0)
    return Finding(
        "twins in test",
        "look",
        f"{known.sum()} of {len(known)} test rows equal a training row in every feature "
        f"(ids {listing(tables.test.index[known])}). Scores on them say nothing of new rows.",
        float(known.mean()),
    )


def _keys(frame: pd.DataFrame) -> NDArray[np.uint64]:
    """A hash of each row's features."""
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), np.uint64)


def adversarial_validation(tables: Tables, seed: int = 0) -> Finding:
    """How well a model tells test rows from training rows (`houseprice.data.shift.tell_apart`).

    Where it can, the rows are from different places or times, and cross-validation speaks of the training rows' alone.
    """
    found = tell_apart(tables, seed)
    if found is None:
        smaller = min(len(tables.train), len(tables.test))
        return Finding("adversarial validation", "fine", f"Only {smaller} rows on one side: too few to tell.")
    said = f"Train and test are told apart with AUC {found.auc:.3f} (0.5: not at all)"
    if found.auc < APART:
        return Finding("adversarial validation", "fine", f"{said}.", found.auc)
    by = ", ".join(f"{name} {auc:.2f}" for name, auc in found.columns)
    return Finding(
        "adversarial validation",
        "look",
        f"{said}, alone by {by}. Leave out what differs, validate on rows like those of the test file, or see what "
        "`houseprice shift` says of weights.",
        found.auc,
    )
