"""What a competition asks for, and the metrics that can score it: names alone, which cost nothing to import."""

from collections.abc import Sequence
from typing import Literal

Task = Literal["regression", "binary", "multiclass"]
Reads = Literal["value", "probability", "label"]
"""What a metric is given beside the truth: numbers, probabilities of classes, or classes."""

METRICS_OF: dict[Task, tuple[str, ...]] = {
    "regression": ("log_rmse", "rmsle", "rmse", "mae", "mape", "r2"),
    "binary": ("auc", "log_loss", "accuracy", "f1", "balanced_accuracy"),
    "multiclass": ("log_loss", "accuracy", "macro_f1", "quadratic_kappa"),
}


def is_import_path(metric: str) -> bool:
    """Whether a metric is somebody's own function: ``my_module.my_metric``."""
    return "." in metric


def class_places(columns: Sequence[str], classes: Sequence[str]) -> list[int] | None:
    """The code of each column's class, where there is a column for each: named by its label, or what follows a prefix.

    >>> class_places(["c", "a", "b"], ["a", "b", "c"])
    [2, 0, 1]
    >>> class_places(["Status_D", "Status_C"], ["C", "D"])
    [1, 0]
    >>> class_places(["Status"], ["C", "D"])
    """
    if not classes or len(columns) != len(classes):
        return None
    for prefix in (column.removesuffix(classes[0]) for column in columns if column.endswith(classes[0])):
        code_of = {prefix + label: code for code, label in enumerate(classes)}
        if set(columns) == set(code_of):
            return [code_of[column] for column in columns]
    return None
