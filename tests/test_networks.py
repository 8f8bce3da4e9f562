"""Networks through the pipeline: killed and resumed, stored, bounded, compared, and their curves."""

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from competitions import Ear, command, entry_of, environment, open_plan, submit, write_competition
from houseprice import pipeline
from houseprice.learn.checkpoint import load_weights
from houseprice.learn.plain import as_module

LONG = "mlp.epochs=300"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_competition(tmp_path / "project")
    return tmp_path / "project"


def has_checkpoint(artifacts: Path) -> bool:
    """Whether there is one now; folders come and go meanwhile, which `os.walk` takes and `Path.glob` doesn't."""
    found = ((Path(folder).name, name) for folder, _, names in os.walk(artifacts) for name in names)
    return any(folder.startswith("members-") and name.endswith(".safetensors") for folder, name in found)


def test_a_process_killed_while_it_trains_goes_on_and_ends_with_the_same_bytes(root: Path, tmp_path: Path) -> None:
    write_competition(tmp_path / "undisturbed")
    submit(tmp_path / "undisturbed", "mlp", overrides=(LONG,))
    artifacts = root / "data" / "tiny" / "artifacts"
    process = subprocess.Popen(command(root, "submit", "mlp", "--set", LONG), env=environment())
    while not has_checkpoint(artifacts) and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not entry_of(root, "mlp").exists()
    ear = Ear()
    submit(root, "mlp", overrides=(LONG,), ear=ear)
    reports, total = ear.reports["train/mlp"], ear.reports["train/mlp"][0][1]
    assert len(reports) < total  # one report an epoch, and one for all those of a checkpoint: some were not done again
    assert reports[-1] == (total, total)
    assert entry_of(root, "mlp").read_bytes() == entry_of(tmp_path / "undisturbed", "mlp").read_bytes()


def test_stored_weights_make_a_plain_network_with_the_same_predictions(root: Path) -> None:
    plan = open_plan(root)
    run, matrices = pipeline.train(plan, "mlp"), pipeline.features(plan, "mlp")
    recipe, weights = load_weights(plan.workspace.store.place(plan.run("mlp")) / "weights.safetensors")
    assert recipe == plan.workspace.competition.experiments["mlp"]
    for member in run.members:
        network = as_module(recipe, weights[member.fold, member.seed])
        X = torch.from_numpy(matrices.of_fold(member.fold).X)
        with torch.no_grad():
            np.testing.assert_allclose(network(X)[:, 0], member.predictions, atol=1e-5)


def test_curves_end_at_the_members_own_scores(root: Path) -> None:
    """One seed a fold: the last point of a member's curve is the score of its fold."""
    run = pipeline.train(open_plan(root, seeds=1), "mlp")
    for member in run.members:
        assert np.isfinite(member.train_scores).all()
        assert member.valid_scores[-1] == pytest.approx(run.fold_scores[member.fold], rel=1e-6)
        assert member.train_scores[-1] == pytest.approx(run.train_scores[member.fold], rel=1e-6)


def test_what_bfloat16_products_cost_is_said(root: Path) -> None:
    ear = Ear()
    plan = open_plan(root, ear, ("mlp.precision=bfloat16",))
    score = pipeline.summarize_run(plan, "mlp")["score"]
    exact = pipeline.summarize_run(open_plan(root), "mlp")["score"]
    (said,) = [line for line in ear.lines if "with bfloat16 products" in line]
    assert f"{score:.5f} with bfloat16 products, {exact:.5f} with float32: {score - exact:+.5f}" in said


def test_a_memory_bound_is_recorded_and_changes_no_member(root: Path) -> None:
    bounded = pipeline.train(open_plan(root, overrides=("memory_mb=1",)), "mlp")
    free = pipeline.train(open_plan(root), "mlp")
    np.testing.assert_allclose(bounded.oof, free.oof, atol=1e-5)
    assert open_plan(root, overrides=("memory_mb=1",)).run("mlp").components["key memory_mb"] == "1"
