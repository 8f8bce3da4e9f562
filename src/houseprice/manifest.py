"""The manifest of an entry: all that is needed to rebuild it, and to say why a rebuilt one differs."""

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

from houseprice.artifacts import PACKAGE_FOLDER, PACKAGES, installed_version, source_hashes, version_of_import
from houseprice.config import Competition
from houseprice.errors import SubmissionError, listing
from houseprice.machine import processor
from houseprice.plan import Plan


def describe(plan: Plan, entry: str, data: bytes) -> dict[str, Any]:
    """The manifest of an entry that has just been computed.

    Parameters
    ----------
    plan
        The stages, all up to date.
    entry
        Its name.
    data
        The bytes of its CSV.
    """
    competition = plan.workspace.competition
    blend = plan.summary(plan.blend(entry))
    runs = {}
    for name, scores in blend["runs"].items():
        recipe = competition.experiments[name]
        folds = competition.folds[recipe.folds]
        seeds = list(range(scores["members"] // (folds.k * folds.repeats)))
        dtype = getattr(recipe, "precision", "float32")
        runs[name] = {**scores, "seeds": seeds, "dtype": dtype, "fingerprint": plan.run(name).fingerprint}
    return {
        "entry": entry,
        "sha256": hashlib.sha256(data).hexdigest(),
        "fingerprint": plan.entry(entry).fingerprint,
        "source": plan.source,
        "score": {key: blend[key] for key in ("score", "std_error", "naive_score", "mean_score")},
        "weights": blend["weights"],
        "threshold": blend["threshold"],
        "runs": runs,
        "overrides": list(plan.workspace.overrides),
        **environment(plan),
        "competition": competition.model_dump(mode="json"),
    }


def environment(plan: Plan) -> dict[str, Any]:
    """What a rebuilt entry is compared on: raw files, competition file, source, machine, versions."""
    competition = plan.workspace.competition
    imports = {path.partition(".")[0] for path in competition.import_paths}
    files = sorted(path.relative_to(PACKAGE_FOLDER.parent) for path in PACKAGE_FOLDER.rglob("*.py"))
    source = source_hashes(tuple(".".join(path.with_suffix("").parts) for path in files))
    return {
        "raw_sha256": dict(plan.raw),
        "competition_sha256": hashlib.sha256(competition.model_dump_json().encode()).hexdigest(),
        "package_sha256": hashlib.sha256(json.dumps(source).encode()).hexdigest(),
        "threads": competition.threads,
        "device": plan.workspace.device,
        "versions": {
            "python": platform.python_version(),
            **{name: installed_version(name) for name in (*PACKAGES, "scipy")},
            **{f"import {name}": version_of_import(name) for name in sorted(imports - {"sklearn"})},
        },
        "platform": {"system": platform.system(), "machine": platform.machine(), "processor": processor()},
    }


def check_import_paths(recorded: Competition, local: Competition, path: Path) -> None:
    """Refuse a manifest that asks for code which the local competition file does not name.

    Raises
    ------
    SubmissionError
        Naming the import paths.
    """
    if unknown := sorted(recorded.import_paths - local.import_paths):
        raise SubmissionError(
            f"{path}: its manifest asks for a metric or estimators that the local competition file does not name: "
            f"{listing(unknown)}. If you trust them, add them to an experiment or a stack there."
        )


def differences(recorded: dict[str, Any], here: dict[str, Any], prefix: str = "") -> list[str]:
    """The fields of ``here`` that are recorded otherwise, each as ``field: recorded → here``."""
    found = []
    for key, value in here.items():
        old = recorded.get(key)
        if isinstance(value, dict):
            found += differences(old if isinstance(old, dict) else {}, value, f"{prefix}{key}.")
        elif old != value:
            found.append(f"{prefix}{key}: {str(old)[:40]} → {str(value)[:40]}")
    return found
