"""What is kept of features and networks for rows that come later: JSON and safetensors beside the artifacts.

Reading them runs no code, unlike the artifacts themselves. They are written when their stage has run, and anew from its
artifact where they are absent or damaged.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from houseprice.documents import digest_of, from_plain, parse_json, to_plain
from houseprice.errors import StorageError
from houseprice.files import read_regular, storing, write_text
from houseprice.plan import Plan
from houseprice.recipes import Linear

if TYPE_CHECKING:
    from houseprice.data.features import FeatureSet, FittedFeatures
    from houseprice.learn.checkpoint import Networks
    from houseprice.learn.crossval import Run

Kept = TypeVar("Kept")


def preprocessors_path(plan: Plan, experiment: str) -> Path:
    """Where the fitted preprocessors of an experiment's features lie."""
    return plan.workspace.store.place(plan.features(experiment)) / "preprocessors.json"


def weights_path(plan: Plan, experiment: str) -> Path:
    """Where the networks of an experiment's run lie."""
    return plan.workspace.store.place(plan.run(experiment)) / "weights.safetensors"


def keep_preprocessors(plan: Plan, experiment: str, features: "FeatureSet") -> None:
    """Write the preprocessors of a feature set, unless they are there.

    Raises
    ------
    StorageError
        If the file can't be written.
    """
    from houseprice.data.features import FittedFeatures

    path = preprocessors_path(plan, experiment)
    if not path.exists():
        document = to_plain(FittedFeatures, features.fitted)
        write_text(path, json.dumps({"sha256": digest_of(document), "features": document}, allow_nan=False))


def load_preprocessors(path: Path) -> "FittedFeatures":
    """Read what `keep_preprocessors` wrote.

    Raises
    ------
    StorageError
        If the file is absent, is no such file, or is damaged.
    """
    from houseprice.data.features import FittedFeatures

    try:
        document = parse_json(read_regular(path))
        if document["sha256"] != digest_of(document["features"]):
            raise ValueError("its content is not what was stored")
        return from_plain(FittedFeatures, document["features"])
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise StorageError(f"{path}: can't be read ({error}); delete it, and build the features again") from error


def keep_networks(plan: Plan, experiment: str, run: "Run") -> None:
    """Write the weights and target scales of a run's networks, if it has any, unless they are there.

    Raises
    ------
    StorageError
        If the file can't be written.
    """
    from houseprice.learn.checkpoint import save_weights
    from houseprice.learn.estimators import of_classes

    path, recipe = weights_path(plan, experiment), plan.workspace.competition.experiments[experiment]
    if isinstance(recipe, Linear) and not path.exists():
        weights = {(member.fold, member.seed): member.weights for member in run.members}
        save_weights(path, of_classes(recipe, len(run.classes)), weights, run.scales)


def load_networks(path: Path) -> "Networks":
    """Read what `keep_networks` wrote.

    Raises
    ------
    StorageError
        If the file is absent, is no such file, is damaged, or lacks what a prediction needs.
    """
    from houseprice.learn.checkpoint import load_networks

    networks = load_networks(path)
    if {fold for fold, _ in networks.weights} != set(range(len(networks.scales))):
        raise StorageError(f"{path}: its networks are not of the folds of its target scales; train again")
    return networks


def kept(plan: Plan, path: Path, load: Callable[[Path], Kept], restore: Callable[[], object]) -> Kept:
    """Load one of these files; where it is absent or damaged, ``restore`` has its stage write it anew.

    Raises
    ------
    StorageError
        If it can't be removed or written.
    """
    try:
        return load(path)
    except StorageError:
        if path.exists():
            plan.workspace.listener.say(f"{path}: damaged; written anew from its artifact")
            with storing(path):
                path.unlink()
        restore()
        return load(path)


@contextmanager
def blaming(*paths: Path) -> Iterator[None]:
    """Turn what goes wrong within the block into one line that names files: those of others may say anything.

    Raises
    ------
    StorageError
        Naming the files.
    """
    try:
        yield
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        named = " and ".join(map(str, paths))
        raise StorageError(
            f"{named}: don't fit each other or the rows ({reason}). Delete them: they are written anew."
        ) from error
