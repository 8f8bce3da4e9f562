"""The folds and the matrices of an experiment: what its competition file says, made of the tables."""

from functools import partial
from typing import TYPE_CHECKING

from houseprice.errors import ConfigError
from houseprice.files import scratch_matrix
from houseprice.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from houseprice.data.features import FeatureSet
    from houseprice.data.folds import Split
    from houseprice.data.tables import Tables


def build_features(plan: Plan, experiment: str, frames: "Tables") -> "FeatureSet":
    """The matrices that an experiment is trained on, neither looked up nor stored."""
    from houseprice.data.features import features_without

    workspace, competition = plan.workspace, plan.workspace.competition
    name = competition.experiments[experiment].features
    without = make_split(plan, experiment, frames).left_out
    try:
        with workspace.listener.progress(plan.features(experiment).slot) as on_progress:
            return features_without(
                frames,
                competition.features[name],
                without,
                competition.ingest,
                _to_encode_by(plan, frames),
                gather=partial(scratch_matrix, workspace.store.folder),
                on_progress=on_progress,
            )
    except ConfigError as error:
        raise ConfigError(f"{workspace.folder / 'competition.toml'}: features.{name}: {error}") from error


def _to_encode_by(plan: Plan, frames: "Tables") -> "NDArray[np.float64]":
    """What encodings of categories learn from: the target on the link scale, [n_train], or more than two classes as
    indicators, [n_train, n_classes].
    """
    import numpy as np

    target = frames.link_target(plan.workspace.competition.scoring)
    return np.eye(len(frames.classes))[target.astype(np.int64)] if len(frames.classes) > 2 else target


def make_split(plan: Plan, experiment: str, frames: "Tables") -> "Split":
    """Which training rows an experiment's folds validate, and which they are fitted on."""
    from houseprice.data.folds import make_split

    competition = plan.workspace.competition
    name = competition.experiments[experiment].folds
    folds = competition.folds[name]
    try:
        return make_split(folds, frames.target, None if folds.by is None else frames.by[folds.by])
    except ConfigError as error:
        raise ConfigError(f"{plan.workspace.folder / 'competition.toml'}: folds.{name}: {error}") from error
