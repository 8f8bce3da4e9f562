"""A competition for notebooks: what the command line does, as objects that show themselves as tables and figures.

>>> import houseprice as hp
>>> c = hp.Competition.load("house-prices")  # doctest: +SKIP
>>> run = c.train("mlp", dropout=0.3)  # doctest: +SKIP
>>> run.plot_curves()  # doctest: +SKIP

They hold no numbers of their own: every stage is `houseprice.pipeline`'s, cached as ever, and on the same leaderboard.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from houseprice import pipeline
from houseprice.console import LineListener
from houseprice.errors import ConfigError, nearest
from houseprice.notebook.board import Leaderboard
from houseprice.notebook.data import Data
from houseprice.notebook.results import Ensemble, Entry, Run, Scored
from houseprice.notebook.table import Shown, Table, warnings_of
from houseprice.plan import Plan, Workspace, open_workspace

if TYPE_CHECKING:
    from houseprice import config


class Competition(Shown):
    """A competition in its project folder: `load` it, then ask for its data, its experiments and its leaderboard."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @classmethod
    def load(
        cls,
        name: str = "house-prices",
        overrides: Sequence[str] = (),
        *,
        seeds: int | None = None,
        device: str = "auto",
        root: Path | str | None = None,
    ) -> "Competition":
        """Open ``data/NAME/competition.toml``.

        Parameters
        ----------
        name
            The competition.
        overrides
            As with ``--set``: ``["mlp.epochs=20", "folds.main.k=5"]``.
        seeds
            Members of each fold, for all experiments.
        device
            Where networks are trained: ``auto``, ``cpu`` or ``cuda``.
        root
            The project's folder; by default the working directory, or the first above it that has this competition.

        Raises
        ------
        ConfigError
            If there is no such competition, or an override is wrong.
        """
        folder = _project_of(name) if root is None else Path(root)
        return cls(open_workspace(folder, name, tuple(overrides), device, LineListener(), seeds))

    @property
    def config(self) -> "config.Competition":
        """The competition file, overrides applied."""
        return self._workspace.competition

    @property
    def submissions(self) -> Path:
        """The folder of the entries."""
        return self._workspace.entry_path("any").parent

    @property
    def source(self) -> str:
        """Where the raw files come from: ``local``, ``mirror``, ``kaggle`` or ``sample``."""
        return self._plan().source

    def ingest(self, source: Path | str | None = None) -> "Competition":
        """Bring the raw files, from a folder if one is given; without this they are brought when they are needed."""
        pipeline.ingest(self._workspace, None if source is None else Path(source))
        return self

    @property
    def tables(self) -> "Data":
        """The training and test rows, typed and checked."""
        return Data(self._plan())

    @property
    def experiments(self) -> Table:
        """The experiments of the competition file."""
        import pandas as pd

        apart = {"kind", "features", "folds", "seeds"}
        rows = []
        for name, recipe in self.config.experiments.items():
            settings = recipe.model_dump(mode="json", exclude_defaults=True, exclude=apart)
            told = ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
            rows.append((name, recipe.kind, recipe.features, recipe.folds, recipe.seeds, told))
        columns = ["experiment", "kind", "features", "folds", "seeds", "settings"]
        ensembles = [
            f"{name}: {recipe.rule} of {', '.join(recipe.runs)}" for name, recipe in self.config.ensembles.items()
        ]
        frame = pd.DataFrame(rows, columns=columns).set_index("experiment")
        return Table(f"experiments of {self.config.name}", frame, tuple(f"Ensemble {text}." for text in ensembles))

    def features(self, experiment: str | None = None, fold: int = 0) -> Table:
        """The matrix that an experiment's members of one fold see: one row a training house.

        Parameters
        ----------
        experiment
            By default the first behind the entry.
        fold
            Whose training rows the preprocessor was fitted on.
        """
        import pandas as pd

        plan = self._plan()
        name = self.config.experiment_name(experiment)
        found, tables = pipeline.features(plan, name), pipeline.tables(plan)
        matrix = found.of_fold(fold)
        recipe = self.config.experiments[name]
        low, high = found.n_columns
        width = f"{low} columns" if low == high else f"{low} to {high} columns by fold"
        fitted = "train and test together" if found.scope == "all" else f"the training rows of fold {fold}"
        frame = pd.DataFrame(matrix.X, index=tables.train.index, columns=list(matrix.columns))
        title = f"features {recipe.features} of {name}: {width}, fitted on {fitted}"
        return Table(title, frame, max_rows=8)

    def train(self, experiment: str | None = None, **settings: Any) -> "Run":
        """Cross-validate an experiment, or take the run that is there already.

        Parameters
        ----------
        experiment
            By default the first behind the entry.
        settings
            Override the experiment's keys: ``c.train("mlp", epochs=20)`` is ``--set mlp.epochs=20``.

        Raises
        ------
        ConfigError
            If there is no such experiment or key.
        TrainingError
            If a member can't be fitted.
        """
        name = self.config.experiment_name(experiment)
        overrides = [f"{name}.{key}={json.dumps(value)}" for key, value in settings.items()]
        return Run(self._with(overrides)._plan(), name)

    def ensemble(self, name: str | None = None) -> "Ensemble":
        """Find an ensemble's weights, with all that it needs; by default the entry's.

        Raises
        ------
        ConfigError
            If there is no such ensemble.
        """
        name = name or self.config.entry
        if name not in self.config.ensembles:
            known = nearest(name, list(self.config.ensembles)) if self.config.ensembles else "it has none"
            raise ConfigError(f"unknown ensemble {name!r} in competition {self.config.name!r}; {known}")
        return Ensemble(self._plan(), name)

    def submit(self, entry: str | None = None, out: Path | str | None = None) -> "Entry":
        """Write an entry, an ensemble's or an experiment's, with its manifest; by default the file's ``entry``."""
        return Entry(self._plan(), entry or self.config.entry, None if out is None else Path(out))

    def leaderboard(self) -> "Leaderboard":
        """All runs, ensembles and entries, the best first, each beside the best."""
        return Leaderboard(self._plan())

    def compare(self, first: "str | Scored", second: "str | Scored", *others: "str | Scored") -> Table:
        """Compare rows of the leaderboard in pairs: which differences can be told from noise.

        Parameters
        ----------
        first, second, others
            Runs and ensembles, or their names: the newest of a name, or ``name@fingerprint``.
        """
        return self.leaderboard().compare(first, second, *others)

    def _plan(self) -> Plan:
        return pipeline.make_plan(self._workspace)

    def _with(self, overrides: Sequence[str]) -> "Competition":
        was = self._workspace
        both = (*was.overrides, *overrides)
        return Competition(open_workspace(was.root, was.competition.name, both, was.device, was.listener))

    def _shown(self) -> Table:
        import pandas as pd

        plan, rules = self._plan(), self.config
        facts = {
            "metric": rules.metric,
            "target": rules.target,
            "experiments": ", ".join(rules.experiments),
            "ensembles": ", ".join(rules.ensembles),
            "entry": rules.entry,
            "overrides": " ".join(plan.workspace.overrides),
            "device": plan.workspace.device,
        }
        frame = pd.DataFrame({"": list(facts), " ": facts.values()})
        return Table(f"{rules.title or rules.name} (source: {plan.source})", frame, warnings_of(plan))


def _project_of(name: str) -> Path:
    """The working directory, or the first above it that has this competition; notebooks lie below their project."""
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / "data" / name / "competition.toml").exists()), here)
