"""What a competition asks for, and the metrics that can score it: names alone, which cost nothing to import."""

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
