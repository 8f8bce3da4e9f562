"""Ablation: an entry trained without one of its parts at a time, each beside the whole on the same rows.

Variants are kept in stages of their own, without their members: they are not on the leaderboard, and the stages behind
the entry stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from houseprice import pipeline
from houseprice.artifacts import Stage
from houseprice.compete.parts import Part, chosen_parts, parts_of
from houseprice.compete.statistics import Comparison, compare_all
from houseprice.errors import ConfigError, DataError, TrainingError, listing
from houseprice.matrices import build_features
from houseprice.plan import Plan, ensemble_recipe

if TYPE_CHECKING:
    from houseprice.compete.ensemble import Blend
    from houseprice.data.features import FeatureSet
    from houseprice.learn.crossval import Run

Verdict = Literal["earns its place", "stays, unproven", "can go", "no effect: can go", "harms", "can't be trained"]
_WHOLE = "the whole"


@dataclass(frozen=True)
class Outcome:
    """What became of an entry without one of its parts.

    Attributes
    ----------
    part, left_out
        See `houseprice.compete.parts.Part`.
    score
        The metric out of fold without it; None where it can't be trained.
    comparison
        The entry without it less the whole. None where it can't be trained.
    cost
        By how much the entry is worse without it, in units of the metric; below 0 it is better.
    seconds
        Of training what the part changes.
    problem
        Why it can't be trained.
    """

    part: str
    left_out: str
    score: float | None = None
    comparison: Comparison | None = None
    cost: float = 0.0
    seconds: float = 0.0
    problem: str = ""

    @property
    def verdict(self) -> Verdict:
        """What is to be said of the part.

        It earns its place, or harms, if the tests say so. Else it is the one-standard-error rule that says which of two
        that can't be told apart to prefer (`houseprice.compete.ensemble.chosen_runs`): the part can go if the entry
        without it, the simpler one, is worse by no more than one standard error of their difference.
        """
        beside = self.comparison
        if beside is None:
            return "can't be trained"
        if beside.is_same:
            return "no effect: can go"
        if beside.verdict != "not distinguishable":
            return "earns its place" if beside.verdict == "worse" else "harms"
        return "stays, unproven" if self.cost > beside.std_error else "can go"


@dataclass(frozen=True)
class Ablation:
    """An entry and its parts.

    Attributes
    ----------
    entry
        An ensemble or experiment.
    score, std_error
        Of the whole: the metric out of fold (cross-fitted for ensembles), and its standard error.
    outcomes
        One a part: those whose absence costs the most first, those that can't be trained last.
    """

    entry: str
    score: float
    std_error: float
    outcomes: tuple[Outcome, ...]

    @property
    def configurations(self) -> int:
        """How many were compared with the whole: a choice among them makes the score of what is chosen too good."""
        return sum(each.comparison is not None for each in self.outcomes)


def ablate(plan: Plan, entry: str, globs: Sequence[str] = (), deep: bool = False) -> Ablation:
    """Leave out an entry's parts, one at a time, and compare what is left with the whole.

    Every difference is tested as on the leaderboard (`houseprice.compete.statistics.compare_all`), and corrected for
    the parts that are looked at. Where two parts can stand in for one another, each can go but not both, which no
    ablation of single parts tells.

    Parameters
    ----------
    plan
        The stages as they stand; the whole entry is trained as `houseprice.pipeline` does it.
    entry
        An ensemble or experiment.
    globs
        Patterns of parts' names; all parts without any.
    deep
        See `houseprice.compete.parts.parts_of`.

    Raises
    ------
    ConfigError
        If there is no such entry, it is a stack, or a pattern fits no part.
    TrainingError
        If the whole entry can't be trained. A variant that can't be is an outcome.
    """
    if runs := ensemble_recipe(plan.workspace.competition, entry).stacked:
        raise ConfigError(
            f"{entry!r} is a stack: without a part all its runs would be fitted without each pair of folds again. "
            f"Ablate its experiments ({listing(runs)}), or an ensemble of them that is no stack."
        )
    parts = chosen_parts(parts_of(plan.workspace.competition, entry, deep), globs)
    inputs = {_WHOLE: plan.blend(entry).fingerprint}
    inputs |= {f"without {p.name}": plan.on(p.without).blend(entry).fingerprint for p in parts if p.without}
    words = {part.name: {"left_out": part.left_out, "problem": part.problem} for part in parts}
    stage = Stage(f"ablation/{entry}", inputs, {"parts": words}, ("houseprice.ablation",))

    def summarize(found: Ablation) -> dict[str, float]:
        return {"score": found.score}

    found: Ablation = plan.workspace.store.cached(stage, lambda: _Bench(plan, entry).ablate(parts), summarize)
    return found


class _Bench:
    """Trains an entry whole and without its parts; what several variants share is kept at hand.

    Parameters
    ----------
    plan, entry
        The whole.
    """

    def __init__(self, plan: Plan, entry: str) -> None:
        self.plan, self.entry = plan, entry
        self.metric = plan.workspace.competition.scoring
        self.tables = pipeline.tables(plan)
        names = plan.workspace.competition.runs_of(entry)
        self.runs = {plan.run(name).fingerprint: replace(pipeline.train(plan, name), members=()) for name in names}
        self.own_features = {plan.features(name).fingerprint for name in names}
        self.features: dict[str, FeatureSet] = {}  # the last that were needed

    def ablate(self, parts: Sequence[Part]) -> Ablation:
        """Compare the variants with the whole."""
        import numpy as np

        whole = self._predictions(self.plan)
        outcomes, names, predictions = [], [_WHOLE], [whole]
        for number, part in enumerate(parts, 1):
            say = self.plan.workspace.listener.say
            say(f"ablation/{self.entry}: {number} of {len(parts)}, without {part.name} ({part.left_out})")
            if part.without is None:
                outcomes.append(Outcome(part.name, part.left_out, problem=part.problem))
                continue
            variant = self.plan.on(part.without)
            try:
                found = self._predictions(variant)
            except (ConfigError, DataError, TrainingError) as error:
                say(f"ablation/{self.entry}: without {part.name}: {error}")
                outcomes.append(Outcome(part.name, part.left_out, problem=str(error)))
                continue
            names.append(part.name)
            predictions.append(found)
            outcomes.append(Outcome(part.name, part.left_out, found.score, seconds=self._seconds(variant)))
        losses = np.stack([self.metric.oof_losses(each) for each in predictions], axis=1)
        folds = [each.fold_of_row for each in predictions]
        compared = compare_all(names, losses, folds, self.metric, against=_WHOLE)
        outcomes = [self._judged(each, compared.get((each.part, _WHOLE))) for each in outcomes]
        outcomes.sort(key=lambda each: each.cost if each.comparison else -np.inf, reverse=True)
        return Ablation(self.entry, whole.score, whole.std_error, tuple(outcomes))

    def _judged(self, outcome: Outcome, beside: Comparison | None) -> Outcome:
        if beside is None:
            return outcome
        cost = -beside.difference if self.metric.greater_is_better else beside.difference
        return replace(outcome, comparison=beside, cost=cost)

    def _predictions(self, variant: Plan) -> "Run | Blend":
        from houseprice.compete.ensemble import blend

        competition = variant.workspace.competition
        recipe = ensemble_recipe(competition, self.entry)
        runs = [self._run(variant, name) for name in recipe.runs]
        return blend(recipe, runs, self.metric) if self.entry in competition.ensembles else runs[0]

    def _run(self, variant: Plan, experiment: str) -> "Run":
        """The run of a variant: the entry's own where the part plays no role in it, else from its trial."""
        own = self.runs.get(variant.run(experiment).fingerprint)
        if own is not None:
            return own
        store, stage = variant.workspace.store, variant.trial(experiment)

        def compute(features: "FeatureSet") -> "Run | str":
            try:
                run = pipeline.cross_validate(variant, stage, experiment, self.tables, features)
            except (DataError, TrainingError) as error:  # as surely the next time: to be remembered
                return str(error)
            return replace(run, members=())

        def summarize(found: "Run | str") -> dict[str, float | str]:
            return {"problem": found} if isinstance(found, str) else {"score": found.score}

        found: Run | str = store.cached(stage, compute, summarize, lambda: (self._features(variant, experiment),))
        if isinstance(found, str):
            raise TrainingError(found)
        return found

    def _features(self, variant: Plan, experiment: str) -> "FeatureSet":
        fingerprint = variant.features(experiment).fingerprint
        if fingerprint not in self.features:
            self.features.clear()
            if fingerprint in self.own_features:
                self.features[fingerprint] = pipeline.features(variant, experiment)
            else:
                self.features[fingerprint] = build_features(variant, experiment, self.tables)
        return self.features[fingerprint]

    def _seconds(self, variant: Plan) -> float:
        stages = [variant.trial(name) for name in variant.workspace.competition.runs_of(self.entry)]
        found = [variant.workspace.store.find(stage) for stage in stages]
        return float(sum(record.summary["seconds"] for record in found if record))
