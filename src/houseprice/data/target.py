"""The column to be predicted: as numbers, or as codes of classes."""

import numpy as np
import pandas as pd

from houseprice.config import Competition
from houseprice.errors import ConfigError, DataError, listing, nearest

LARGEST_TARGET = 1e150  # squares of larger ones are infinite, and with them spreads, errors and scores


def with_target(train: pd.DataFrame, competition: Competition, notices: list[str]) -> pd.DataFrame:
    """The training rows that have a target, if the competition file leaves out the others."""
    if not competition.ingest.skip_without_target or competition.target not in train:
        return train
    without = train[competition.target].isna()
    if not without.any():
        return train
    notices.append(
        f"train.csv: left out {int(without.sum())} of {len(train)} rows, which have no {competition.target!r} (ids "
        f"{listing(train.index[without])})"
    )
    return train[~without].copy()


def without_target(test: pd.DataFrame, competition: Competition, notices: list[str]) -> pd.DataFrame:
    """The test rows without a column for the target, which may be there if it is empty.

    Raises
    ------
    DataError
        If it is not.
    """
    name = competition.target
    if name not in test:
        return test
    if not test[name].isna().all():
        raise DataError(
            f"test.csv: has the target column {name!r}; a test file has no target. "
            "Delete the column, or check that train.csv and test.csv are not mixed up."
        )
    notices.append(f"test.csv: dropped the target column {name!r}, which is empty")
    return test.drop(columns=name)


def take_target(train: pd.DataFrame, competition: Competition, notices: list[str]) -> tuple[pd.Series, tuple[str, ...]]:
    """Remove the target from ``train`` and check it; beside it what its codes mean, of numbers nothing.

    Raises
    ------
    DataError
        If targets are not what the task and the metric need, naming them and their ids.
    """
    name = competition.target
    if name not in train:
        raise DataError(f"train.csv: no target column {name!r}; {nearest(name, list(train.columns))}")
    raw = train.pop(name)
    if competition.task == "regression":
        return _as_numbers(raw, competition), ()
    classes = _classes(raw, competition)
    codes = pd.Series(pd.Index(classes, dtype="str").get_indexer(raw), index=raw.index, name=name).astype(np.float64)
    k = max(folds.k for folds in competition.folds.values())
    counts = np.bincount(codes.to_numpy(np.int64))
    if few := [f"{label!r} ({count})" for label, count in zip(classes, counts.tolist(), strict=True) if count < k]:
        notices.append(
            f"train.csv: column {name!r}: classes with fewer rows than the {k} folds, so that some folds validate none "
            f"of them, and where there is but one it is predicted by members that have seen none: {listing(few)}"
        )
    return codes, classes


def _as_numbers(raw: pd.Series, competition: Competition) -> pd.Series:
    target = pd.to_numeric(raw, errors="coerce").astype(np.float64)
    metric = competition.scoring
    good = metric.allows(target.to_numpy())
    if not good.all():
        bounded = " > 0" if metric.needs_positive else f" {metric.rule}" if metric.rule != "finite" else ""
        rule = f"finite numbers{bounded}{', and not 0' if metric.name == 'mape' else ''}"
        raise DataError(
            f"train.csv: column {raw.name!r}: {int((~good).sum())} of {len(raw)} targets are not {rule}, which metric "
            f"{competition.metric} needs (ids {listing(raw.index[~good])}: {listing(raw[~good])}). "
            f"Correct the rows, or exclude them under [ingest].exclude_ids{_or_skip(raw)}"
            + ('; or, if these are classes, set task = "binary" or "multiclass".' if target.isna().all() else ".")
        )
    if (huge := target.abs() > LARGEST_TARGET).any():
        raise DataError(
            f"train.csv: column {raw.name!r}: {int(huge.sum())} of {len(raw)} targets are beyond {LARGEST_TARGET:g}, "
            f"too large to be squared (ids {listing(raw.index[huge])}: {listing(raw[huge])}). "
            "Rescale the target, or exclude the rows under [ingest].exclude_ids."
        )
    return target


def _classes(raw: pd.Series, competition: Competition) -> tuple[str, ...]:
    """The labels of a target in the order of their codes: sorted, as numbers if all are, the positive one last."""
    where = f"train.csv: column {raw.name!r}"
    if (absent := raw.isna()).any():
        raise DataError(
            f"{where}: {int(absent.sum())} of {len(raw)} rows have no class (ids {listing(raw.index[absent])}). "
            f"Fill them in, exclude them under [ingest].exclude_ids{_or_skip(raw)}; or take the label out of "
            "[ingest].missing."
        )
    labels = sorted(raw.unique())
    numbers = pd.to_numeric(pd.Series(labels), errors="coerce")
    if numbers.notna().all():
        labels = [labels[place] for place in np.argsort(numbers, kind="stable")]
    shown = f"{len(labels)} classes: {listing(labels)}"
    if len(labels) < 2:
        raise DataError(f"{where}: one class in all {len(raw)} rows, {labels[0]!r}; nothing can be learnt. Add rows.")
    if competition.task == "binary" and len(labels) > 2:
        raise DataError(f'{where}: {shown}; task binary has 2. Correct the rows, or set task = "multiclass".')
    if competition.task == "multiclass" and len(labels) == 2:
        raise DataError(f'{where}: {shown}; set task = "binary".')
    if len(labels) > len(raw) / 2:
        raise DataError(f'{where}: {shown} in {len(raw)} rows. If these are numbers, set task = "regression".')
    if competition.positive is not None:
        if competition.positive not in labels:
            raise ConfigError(f"positive: {competition.positive!r} is no class of {raw.name!r}; {shown}")
        labels.sort(key=lambda label: label == competition.positive)
    return tuple(labels)


def _or_skip(raw: pd.Series) -> str:
    """One more way out, where gaps are among the targets."""
    return ", or all without a target by [ingest].skip_without_target = true" if raw.isna().any() else ""
