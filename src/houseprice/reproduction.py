"""Rebuilding an entry from its manifest, and saying what is different here where the bytes are."""

import shutil
from dataclasses import replace
from pathlib import Path

from houseprice import pipeline
from houseprice.competition import competition_from_json
from houseprice.errors import SubmissionError, listing
from houseprice.files import scratch_folder, storing
from houseprice.manifest import check_import_paths, differences, environment
from houseprice.plan import Workspace, choose_device


def reproduce(workspace: Workspace, path: Path) -> str:
    """Rebuild an entry from its manifest, every stage computed anew, and compare the bytes.

    The competition is taken as the manifest records it, so that an entry outlives edits of the competition file;
    import paths alone must stand in the local file, because a manifest may come from somewhere else.

    Returns
    -------
    str
        What was compared.

    Raises
    ------
    SubmissionError
        If the bytes differ, naming the recorded fields that differ here.
    """
    from houseprice.compete.submission import read_entry

    data, manifest = read_entry(path)
    competition = competition_from_json(manifest.get("competition"), f"{path.with_suffix('.json')}: competition")
    if competition.name != workspace.competition.name:
        raise SubmissionError(f"{path}: is an entry of competition {competition.name!r}; say so: -c {competition.name}")
    check_import_paths(competition, workspace.competition, path)
    device = choose_device(str(manifest.get("device", "cpu")))
    recorded = replace(workspace, competition=competition, device=device, overrides=())
    differing = differences(manifest, environment(pipeline.make_plan(recorded)))
    if any(name.startswith("raw_sha256") for name in differing):
        raise SubmissionError(
            f"{path}: was made from other raw files: {listing(differing, 8)}. Bring them: ingest --source DIR"
        )
    with storing(workspace.folder), scratch_folder(workspace.folder, "reproduce-") as scratch:
        rebuilt_in = replace(recorded, root=scratch)
        shutil.copytree(workspace.raw, rebuilt_in.raw)
        rebuilt = pipeline.submission(pipeline.make_plan(rebuilt_in), str(manifest.get("entry")))
    if rebuilt == data:
        return f"{path}: reproduced, the same {len(data)} bytes (SHA-256 {manifest['sha256'][:16]}…)"
    changed = sum(a != b for a, b in zip(rebuilt.splitlines(), data.splitlines(), strict=False))
    fields = listing(differing, 8) or "no field"
    raise SubmissionError(
        f"{path}: the rebuilt entry differs in {changed} lines. Recorded otherwise than here: {fields}."
    )
