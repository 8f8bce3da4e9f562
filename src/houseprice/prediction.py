"""Rows that come later, predicted by an entry through what is kept of it: JSON, safetensors and its records.

Networks are not fitted again, and neither their artifacts nor those of their features are opened. Estimators of other
packages, and the second level of a stack, are fitted again from the project's own artifacts, to the same bits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from houseprice import pipeline
from houseprice.documents import from_plain
from houseprice.errors import DataError, SubmissionError
from houseprice.files import scratch_matrix, write_atomically
from houseprice.fitted import blaming, kept, load_networks, load_preprocessors, preprocessors_path, weights_path
from houseprice.matrices import make_split
from houseprice.plan import Plan, Workspace, ensemble_recipe
from houseprice.recipes import Linear

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from houseprice.data.features import FittedFeatures
    from houseprice.data.new_rows import Layout

    Float = NDArray[np.float64]
    Matrices = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Prediction:
    """A file of predictions.

    Attributes
    ----------
    path
        Where it lies.
    entry
        The ensemble or experiment that predicted.
    rows
        Their number.
    weights
        Of the runs; None of a stack whose second level is not linear.
    """

    path: Path
    entry: str
    rows: int
    weights: Mapping[str, float | None]


@dataclass(frozen=True)
class _NewRows:
    """The rows with the name of their file, for messages."""

    frame: "pd.DataFrame"
    name: str


def predict(plan: Plan, entry: str, source: Path, out: Path | None = None) -> Prediction:
    """Predict further rows by an entry, and write them in the form of a submission, past the same gate.

    What of the entry is not there, or is not up to date, is trained first.

    Parameters
    ----------
    plan
        The stages as they stand.
    entry
        An ensemble or experiment of the competition file.
    source
        A CSV file with the columns of ``test.csv``; a row's prediction does not depend on the rows beside it.
    out
        Where to write; by default ``submissions/NAME/predictions/ENTRY-SOURCE.csv``.

    Raises
    ------
    DataError
        If the file breaks a rule that ``test.csv`` must keep.
    SubmissionError
        If ``out`` is no place for predictions, or the predictions do not pass the gate.
    """
    from houseprice.data.new_rows import read_new_rows

    workspace, competition = plan.workspace, plan.workspace.competition
    path = _checked_path(workspace, entry, source, out)
    layout = _layout(plan)
    frame = read_new_rows(_read(source), str(source), competition, layout, workspace.listener.say)
    if not workspace.store.find(plan.blend(entry)):
        workspace.listener.say(f"{entry}: not trained yet, or not as things stand now; it is trained first")
    summary = pipeline.summarize_ensemble(plan, entry)
    predictions = _predict_entry(plan, entry, summary["weights"], _NewRows(frame, str(source)), layout)
    data = _submission(plan, list(frame.index), predictions, layout, summary["threshold"])
    write_atomically(path, lambda file: file.write(data))
    return Prediction(path, entry, len(frame), summary["weights"])


def _checked_path(workspace: Workspace, entry: str, source: Path, out: Path | None) -> Path:
    """Where predictions are written: in no place where something else lies that can't be had again."""
    entries = workspace.entry_path(entry).parent
    path = out or entries / "predictions" / f"{entry}-{source.stem}.csv"
    place = path.resolve()
    if path.suffix != ".csv":
        raise SubmissionError(f"--out {path}: predictions are a .csv file")
    if place == source.resolve() or (path.exists() and source.exists() and path.samefile(source)):
        raise SubmissionError(f"--out {path}: is the input itself. Choose another file.")
    if place.parent in (entries.resolve(), workspace.raw.resolve()):
        what = "entries" if place.parent == entries.resolve() else "the competition's own files"
        raise SubmissionError(f"--out {path}: in this folder lie {what}. Choose another, or leave --out away.")
    return path


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise DataError(f"{source}: can't be read: {error.strerror}. Give --input a CSV file.") from error


def _layout(plan: Plan) -> "Layout":
    """What rows of the competition are like, as the tables' record has it."""
    from houseprice.data.new_rows import Layout, layout_of

    record = plan.workspace.store.find(plan.tables())
    try:
        return from_plain(Layout, record.summary["layout"] if record else None)
    except (LookupError, ValueError):
        return layout_of(pipeline.tables(plan))


def _predict_entry(plan: Plan, entry: str, weights: Mapping[str, Any], rows: _NewRows, layout: "Layout") -> "Float":
    """Predictions of an ensemble, float64 [n_rows] on the link scale, or probabilities."""
    import numpy as np

    from houseprice.compete.ensemble import weighted

    recipe = ensemble_recipe(plan.workspace.competition, entry)
    runs = recipe.runs if recipe.stacked else [run for run in recipe.runs if weights[run]]
    of_runs = _predict_runs(plan, runs, rows, layout)
    predictions = np.stack([of_runs[run] for run in runs], axis=1)
    if recipe.stacked:
        return _predict_stacked(plan, entry, predictions, rows)
    return weighted(predictions, np.array([weights[run] for run in runs]))


def _predict_runs(plan: Plan, runs: Sequence[str], rows: _NewRows, layout: "Layout") -> dict[str, "Float"]:
    """Predictions of each run; the matrices of one feature recipe at a time."""
    found: dict[str, Float] = {}
    slots: dict[str, list[str]] = {}
    for run in runs:
        slots.setdefault(plan.features(run).slot, []).append(run)
    for sharing in slots.values():
        path = preprocessors_path(plan, sharing[0])
        fitted = kept(plan, path, load_preprocessors, partial(pipeline.features, plan, sharing[0]))
        with blaming(path):
            matrices = _transform(plan, sharing[0], fitted, rows)
        for run in sharing:
            if isinstance(plan.workspace.competition.experiments[run], Linear):
                found[run] = _by_networks(plan, run, fitted, matrices, rows.name, len(layout.classes))
            else:
                found[run] = _by_fitting_again(plan, run, fitted, matrices, rows.name)
    return found


def _transform(plan: Plan, experiment: str, fitted: "FittedFeatures", rows: _NewRows) -> "Matrices":
    workspace, competition = plan.workspace, plan.workspace.competition
    recipe = competition.features[competition.experiments[experiment].features]
    gather = partial(scratch_matrix, workspace.store.folder)
    matrices, notices = fitted.transform(rows.frame, recipe, competition.ingest, rows.name, gather)
    for notice in notices:
        workspace.listener.say(notice)
    return matrices


def _by_networks(
    plan: Plan, run: str, fitted: "FittedFeatures", matrices: "Matrices", name: str, n_classes: int
) -> "Float":
    """By the weights of the run's members."""
    from houseprice.learn.crossval import FoldScale
    from houseprice.learn.prediction import mean_of_members, predict_rows_by_networks

    path = weights_path(plan, run)
    networks = kept(plan, path, load_networks, partial(pipeline.train, plan, run))
    scales = [FoldScale(fold, scale, n_classes) for fold, scale in enumerate(networks.scales)]
    with _predicting(plan, run, path, preprocessors_path(plan, run)) as on_progress:
        said = {}
        for scale in scales:
            of_fold = [weights for (fold, _), weights in networks.weights.items() if fold == scale.fold]
            said[scale.fold] = predict_rows_by_networks(networks.recipe, of_fold, matrices[fitted.place_of(scale.fold)])
            on_progress(scale.fold + 1, len(scales))
        return mean_of_members(said, scales, networks.recipe, plan.workspace.competition.scoring, run, name)


def _by_fitting_again(plan: Plan, run: str, fitted: "FittedFeatures", matrices: "Matrices", name: str) -> "Float":
    """By the run's estimators, fitted again on the matrices that they were fitted on."""
    from houseprice.learn.crossval import data_of_folds, fitted_scales
    from houseprice.learn.estimators import fit_members
    from houseprice.learn.prediction import mean_of_members

    competition = plan.workspace.competition
    metric = competition.scoring
    frames, features = pipeline.tables(plan), pipeline.features(plan, run)
    split = make_split(plan, run, frames)
    target = frames.link_target(metric)
    recipe = competition.experiments[run]
    scales = fitted_scales(run, recipe, frames, target, split.left_out, split.validated)
    with _predicting(plan, run, preprocessors_path(plan, run)) as on_progress:
        folds = [
            replace(data, X_test=matrices[fitted.place_of(data.fold)])
            for data in data_of_folds(run, recipe, scales, features)
        ]
        members = fit_members(recipe, folds, threads=competition.threads, on_progress=on_progress)
    said = {
        scale.fold: [member.test_predictions for member in members if member.fold == scale.fold] for scale in scales
    }
    return mean_of_members(said, scales, recipe, metric, run, name)


@contextmanager
def _predicting(plan: Plan, run: str, *paths: Path) -> Iterator[Callable[[int, int], None]]:
    """A run's part of the prediction: told of, and in one line where files don't fit."""
    with blaming(*paths), plan.workspace.listener.progress(f"predict/{run}") as on_progress:
        yield on_progress


def _predict_stacked(plan: Plan, entry: str, predictions: "Float", rows: _NewRows) -> "Float":
    """By the second level, fitted again on the runs' out-of-fold predictions."""
    import numpy as np

    from houseprice.compete.stacking import predict_stacked
    from houseprice.data.features import features_without

    competition = plan.workspace.competition
    recipe = competition.ensembles[entry]
    frames, runs = pipeline.tables(plan), [pipeline.train(plan, run) for run in recipe.runs]
    beside: tuple[NDArray[np.float32], ...] = ()
    if recipe.original_columns:
        feature_recipe = competition.features[competition.experiments[recipe.runs[0]].features]
        nothing = np.zeros((1, len(frames.train)), np.bool_)
        features = features_without(frames, feature_recipe, nothing, competition.ingest, runs[0].target)
        beside = features.matrices[0].X, _transform(plan, recipe.runs[0], features.fitted, rows)[0]
    excluded = competition.excluded_from_fit(recipe.runs)
    return predict_stacked(entry, recipe, excluded, runs, predictions, frames, beside, competition.scoring, rows.name)


def _submission(plan: Plan, ids: list[str], predictions: "Float", layout: "Layout", threshold: float | None) -> bytes:
    """The bytes of the file, past their gate."""
    import numpy as np

    from houseprice.compete.submission import outside_training_range, submission_csv

    competition = plan.workspace.competition
    metric = competition.scoring
    if not layout.classes:
        values, targets = metric.from_link(predictions), np.array(layout.target_range)
        if warning := outside_training_range(values, ids, targets):
            plan.workspace.listener.say(warning)
    return submission_csv(
        ids,
        predictions,
        ids,
        competition.id,
        competition.target,
        metric,
        layout.classes,
        layout.sample_columns,
        threshold,
    )
