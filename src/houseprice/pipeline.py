"""The stages, one function each: the only place that composes them, caches their outputs and logs.

::

    ingest → tables → features → train → ensemble → submit

Every function brings what it needs. Whether a stage runs is decided by its fingerprint (`houseprice.plan`), before
any of the heavy libraries is imported; they are imported by the stage that computes.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from houseprice.artifacts import Stage
from houseprice.documents import to_plain
from houseprice.errors import StorageError, SubmissionError
from houseprice.fitted import keep_networks, keep_preprocessors, weights_path
from houseprice.manifest import describe
from houseprice.matrices import build_features, make_split
from houseprice.plan import Plan, Workspace, ensemble_recipe, recorded_files
from houseprice.recipes import Linear
from houseprice.recording import is_recorded, record

if TYPE_CHECKING:
    from houseprice.compete.ensemble import Blend
    from houseprice.data.features import FeatureSet
    from houseprice.data.ingest import Provenance
    from houseprice.data.tables import Tables
    from houseprice.learn.crossval import Run
    from houseprice.learn.nested import Nested


def ingest(workspace: Workspace, source: Path | None = None, *, with_tables: bool = False) -> "Provenance":
    """Bring the raw files into ``raw/``, checked, and say where they come from (`houseprice.data.ingest.ingest`).

    ``with_tables`` stores the tables that they were read into for the check: large files are read once.
    """
    from houseprice.data.ingest import ingest

    read: list[tuple[Tables, float]] = []
    provenance = ingest(
        workspace.raw,
        workspace.competition,
        source,
        workspace.listener.say,
        lambda found, seconds: read.append((found, seconds)),
    )
    if with_tables:
        plan = Plan(workspace, provenance.hashes, provenance.source)
        found, seconds = read.pop()
        workspace.store.keep(plan.tables(), found, _summarize_tables(found), seconds)
    return provenance


def make_plan(workspace: Workspace) -> Plan:
    """The stages as they stand now; raw files that are absent, or not those of the record, are ingested first."""
    recorded = recorded_files(workspace.raw)
    if recorded is None:
        provenance = ingest(workspace)
        recorded = provenance.hashes, provenance.source
    return Plan(workspace, *recorded)


def tables(plan: Plan) -> "Tables":
    """The typed, checked frames of the raw files."""
    workspace = plan.workspace

    def compute() -> "Tables":
        from houseprice.data.ingest import read_raw
        from houseprice.data.tables import read_tables

        files = read_raw(workspace.raw)
        if {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} != plan.raw:
            raise StorageError(f"{workspace.raw}: its files were replaced meanwhile. Run the command again.")
        return read_tables(files, workspace.competition, workspace.listener.say)

    found: Tables = workspace.store.cached(plan.tables(), compute, _summarize_tables)
    return found


def _summarize_tables(found: "Tables") -> dict[str, Any]:
    from houseprice.data.new_rows import Layout, layout_of

    return {"rows": [len(found.train), len(found.test)], "layout": to_plain(Layout, layout_of(found))}


def features(plan: Plan, experiment: str) -> "FeatureSet":
    """The matrices that an experiment is trained on."""

    def summarize(found: "FeatureSet") -> dict[str, Any]:
        return {"columns": found.n_columns, "notices": found.notices}

    def compute(frames: "Tables") -> "FeatureSet":
        found = build_features(plan, experiment, frames)
        for notice in found.notices:
            plan.workspace.listener.say(f"{stage.slot}: {notice}")
        return found

    stage = plan.features(experiment)
    found: FeatureSet = plan.workspace.store.cached(stage, compute, summarize, lambda: (tables(plan),))
    keep_preprocessors(plan, experiment, found)
    return found


def train(plan: Plan, experiment: str) -> "Run":
    """Cross-validate an experiment. Members that an interrupted run has finished are taken up, not fitted again."""
    stage = plan.run(experiment)

    def summarize(run: "Run") -> dict[str, Any]:
        from houseprice.learn.curves import curves_of

        curves = curves_of(run.members)
        return {
            **_scores(run),
            "train_score": run.train_score,
            "columns": run.n_columns[1],
            "members": len(run.members),
            "curves": curves and curves.to_json(),
        }

    run: Run = plan.workspace.store.cached(
        stage,
        lambda frames, matrices: cross_validate(plan, stage, experiment, frames, matrices),
        summarize,
        lambda: (tables(plan), features(plan, experiment)),
    )
    record(plan, stage, "run", experiment, run, plan.summary(stage))
    keep_networks(plan, experiment, run)
    return run


def cross_validate(plan: Plan, stage: Stage, experiment: str, frames: "Tables", matrices: "FeatureSet") -> "Run":
    """Fit an experiment's members; each is kept as one of the stage's until the run is stored."""
    from houseprice.learn.crossval import cross_validate
    from houseprice.learn.estimators import reads_decisions

    competition = plan.workspace.competition
    recipe, metric = competition.experiments[experiment], competition.scoring
    split = make_split(plan, experiment, frames)
    if n_first := int((~split.is_validated).sum()):
        plan.workspace.listener.say(
            f"folds.{recipe.folds}: no fold validates {n_first} of {len(frames.train)} training rows; scores are of "
            "the others"
        )
    if split.in_time and metric.reads == "label" and len(frames.classes) == 2:
        plan.workspace.listener.say(
            f"folds.{recipe.folds}: in the first fold classes are told apart at 0.5, for no earlier one says where"
        )
    if frames.classes and reads_decisions(recipe):
        plan.workspace.listener.say(
            f"{stage.slot}: has no probabilities; its decision function is turned into some by a "
            + ("sigmoid" if len(frames.classes) == 2 else "softmax")
        )
    with _fitting(plan, stage) as options:
        return cross_validate(experiment, recipe, frames, matrices, split, metric, **options)


@contextmanager
def _fitting(plan: Plan, stage: Stage) -> Iterator[dict[str, Any]]:
    """How the members of a stage are fitted: where, on how much, going on from what is finished, told to whom."""
    workspace, finished = plan.workspace, plan.workspace.store.members_of(stage)
    with workspace.listener.progress(stage.slot) as on_progress:
        yield {
            "device": workspace.device,
            "threads": workspace.competition.threads,
            "memory": workspace.competition.memory,
            "finished": finished,
            "checkpoints": finished.folder,
            "on_progress": on_progress,
        }


def nested(plan: Plan, experiment: str) -> "Nested":
    """Predict every row without its own and any other fold, for a second level that is scored without a leak."""
    competition = plan.workspace.competition
    recipe = competition.experiments[experiment]
    stage = plan.nested(experiment)

    def compute(frames: "Tables", run: "Run") -> "Nested":
        from houseprice.learn.nested import predict_nested

        features, metric = competition.features[recipe.features], competition.scoring
        with _fitting(plan, stage) as options:
            return predict_nested(recipe, run, frames, features, competition.ingest, metric, **options)

    found: Nested = plan.workspace.store.cached(
        stage,
        compute,
        lambda value: {"members": value.n_members},
        lambda: (tables(plan), train(plan, experiment)),
    )
    return found


def _compare_precision(plan: Plan, experiment: str) -> None:
    """Say what bfloat16 products cost: the run's score beside that of its float32 twin, which is trained if need be."""
    competition = plan.workspace.competition
    twin = competition.experiments[experiment].model_copy(update={"precision": "float32"})
    with_twin = replace(
        plan.workspace,
        competition=competition.model_copy(update={"experiments": {**competition.experiments, experiment: twin}}),
        overrides=(*plan.workspace.overrides, f"{experiment}.precision=float32"),
    )
    score = plan.summary(plan.run(experiment))["score"]
    exact = summarize_run(replace(plan, workspace=with_twin), experiment)["score"]
    plan.workspace.listener.say(
        f"train/{experiment}: out-of-fold {competition.metric} {score:.5f} with bfloat16 products, {exact:.5f} "
        f"with float32: {score - exact:+.5f}"
    )


def ensemble(plan: Plan, entry: str) -> "Blend":
    """The ensemble behind an entry: its runs weighted, or stacked, and scored by cross-fitting."""
    competition = plan.workspace.competition
    recipe = ensemble_recipe(competition, entry)
    stage = plan.blend(entry)
    first = competition.experiments[recipe.runs[0]]

    def compute(frames: "Tables", runs: "list[Run]", of_pairs: "list[Nested]") -> "Blend":
        from houseprice.compete.ensemble import blend
        from houseprice.compete.stacking import stack

        metric = competition.scoring
        if not of_pairs:
            return blend(recipe, runs, metric)
        excluded = competition.excluded_from_fit(recipe.runs)
        features, ingest, threads = competition.features[first.features], competition.ingest, competition.threads
        return stack(entry, recipe, excluded, runs, of_pairs, frames, features, ingest, metric, threads=threads)

    def inputs() -> tuple[Any, ...]:
        runs, of_pairs = [train(plan, run) for run in recipe.runs], [nested(plan, run) for run in recipe.stacked]
        return tables(plan), runs, of_pairs

    def summarize(found: "Blend") -> dict[str, Any]:
        of_runs = {run: plan.summary(plan.run(run)) for run in recipe.runs}
        weights = [weight if weight == weight else None for weight in found.weights.tolist()]
        of_pairs = [plan.summary(plan.nested(run))["members"] for run in recipe.stacked]
        return {
            **_scores(found),
            "naive_score": found.naive_score,
            "mean_score": found.mean_score,
            "weights": dict(zip(found.runs, weights, strict=True)),
            "columns": max(run["columns"] for run in of_runs.values()),
            "members": sum(run["members"] for run in of_runs.values()) + sum(of_pairs),
            "runs": {
                name: {key: run[key] for key in ("score", "std_error", "members")} for name, run in of_runs.items()
            },
        }

    found: Blend = plan.workspace.store.cached(stage, compute, summarize, inputs)
    if entry in competition.ensembles:
        record(plan, stage, "ensemble", entry, found, plan.summary(stage))
    return found


def summarize_run(plan: Plan, experiment: str) -> dict[str, Any]:
    """What is known of an experiment's run, without loading it: scores, sizes, seconds. It is trained if need be."""
    stage = plan.run(experiment)
    recipe = plan.workspace.competition.experiments[experiment]
    lacks_weights = isinstance(recipe, Linear) and not weights_path(plan, experiment).exists()
    if lacks_weights or not plan.workspace.store.find(stage) or not is_recorded(plan, stage, "run", experiment):
        train(plan, experiment)
    if isinstance(recipe, Linear) and recipe.precision == "bfloat16":
        _compare_precision(plan, experiment)
    return plan.summary(stage)


def summarize_ensemble(plan: Plan, entry: str) -> dict[str, Any]:
    """The same of an ensemble: weights, scores; it is fitted if need be."""
    stage = plan.blend(entry)
    named = entry in plan.workspace.competition.ensembles
    if not plan.workspace.store.find(stage) or (named and not is_recorded(plan, stage, "ensemble", entry)):
        ensemble(plan, entry)
    return plan.summary(stage)


def submit(plan: Plan, entry: str, out: Path | None = None) -> Path:
    """Write an entry with its manifest, unless it stands there and nothing behind it has changed.

    Parameters
    ----------
    entry
        An ensemble or experiment of the competition file.
    out
        Where to write; by default ``submissions/NAME/ENTRY.csv``.

    Returns
    -------
    Path
        Of the CSV.

    Raises
    ------
    SubmissionError
        If the predictions do not pass the gate (`houseprice.compete.submission.check_submission`).
    """
    from houseprice.compete.submission import write_entry

    path = out or plan.workspace.entry_path(entry)
    if path.suffix != ".csv":
        raise SubmissionError(f"--out {path}: an entry is a .csv file, with its manifest beside it as .json")
    if not _stands(plan, entry, path):
        ensemble(plan, entry)  # whose record the manifest quotes, also where the CSV's artifact is there already
        data = submission(plan, entry)
        write_entry(path, data, describe(plan, entry, data))
    stage = plan.entry(entry)
    if not is_recorded(plan, stage, "entry", entry):
        blend = ensemble(plan, entry)
        record(plan, stage, "entry", entry, blend, plan.summary(plan.blend(entry)))
    return path


def submission(plan: Plan, entry: str) -> bytes:
    """The bytes of an entry's CSV, past their gate."""
    competition = plan.workspace.competition

    def compute(frames: "Tables", blend: "Blend") -> bytes:
        from houseprice.compete.submission import outside_training_range, submission_csv

        metric = competition.scoring
        if not blend.classes:
            values, targets = metric.from_link(blend.test), metric.from_link(blend.target)
            if warning := outside_training_range(values, blend.test_ids, targets):
                plan.workspace.listener.say(warning)
        return submission_csv(
            blend.test_ids,
            blend.test,
            list(frames.sample_ids),
            competition.id,
            competition.target,
            metric,
            frames.classes,
            frames.sample_columns,
            blend.threshold,
        )

    def summarize(data: bytes) -> dict[str, Any]:
        return {"sha256": hashlib.sha256(data).hexdigest()}

    data: bytes = plan.workspace.store.cached(
        plan.entry(entry), compute, summarize, lambda: (tables(plan), ensemble(plan, entry))
    )
    return data


def _stands(plan: Plan, entry: str, path: Path) -> bool:
    """Whether this very stage wrote the entry at the path, and nobody has changed it since."""
    from houseprice.compete.submission import read_entry

    stage = plan.entry(entry)
    if not path.exists() or not plan.workspace.store.find(stage) or not plan.workspace.store.find(plan.blend(entry)):
        return False
    try:
        _, manifest = read_entry(path)
    except SubmissionError as error:
        plan.workspace.listener.say(f"{error} It is written anew.")
        return False
    return bool(manifest.get("fingerprint") == stage.fingerprint)


def explain(workspace: Workspace, entry: str) -> list[dict[str, Any]]:
    """Why each stage behind an entry would run, or that it is up to date. Brings nothing and writes nothing.

    Returns
    -------
    list of dict
        ``stage``, ``runs`` (bool) and ``reasons``, a list of ``what: old → new``.
    """
    recorded = recorded_files(workspace.raw)
    if recorded is None:
        reason = (
            "no raw files, or not those that provenance.json records; the stages behind it are known once it has run"
        )
        return [{"stage": "ingest", "runs": True, "reasons": [reason]}]
    plan = Plan(workspace, *recorded)
    reasons = {stage.slot: workspace.store.why(stage) for stage in plan.behind(entry)}
    path = workspace.entry_path(entry)
    if not any(reasons.values()) and not _stands(plan, entry, path):
        reasons[plan.entry(entry).slot] = [f"{path} is not there, or is not what this stage wrote"]
    return [{"stage": slot, "runs": bool(why), "reasons": why} for slot, why in reasons.items()]


def _scores(result: "Run | Blend") -> dict[str, Any]:
    return {
        "score": result.score,
        "std_error": result.std_error,
        "fold_scores": result.fold_scores.tolist(),
        "threshold": result.threshold,
    }
