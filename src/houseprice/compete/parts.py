"""The parts of an entry that can be left out, and for each the competition file without it."""

import json
from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from houseprice.competition import competition_from_json
from houseprice.config import Competition
from houseprice.data.expressions import columns_named
from houseprice.errors import ConfigError, nearest
from houseprice.preparation import Extract, Features, Group, Ordinal
from houseprice.recipes import Sklearn
from houseprice.schema import Table

_NO_PARTS = ("features", "folds", "curve_every")
"""Keys of an experiment that name other tables, or change no prediction."""


@dataclass(frozen=True)
class Part:
    """One part of an entry.

    Attributes
    ----------
    name
        Its key in the competition file: ``features.default.groups``, ``mlp.dropout``; of a run ``default.runs.svr``.
    left_out
        What is left out, and what goes with it: ``0.2 → 0.0``; ``all 2 + 15 interactions``.
    without
        The competition without it; None if that is no valid competition.
    problem
        Why it is not.
    """

    name: str
    left_out: str
    without: Competition | None
    problem: str = ""


def parts_of(competition: Competition, entry: str, deep: bool = False) -> tuple[Part, ...]:
    """Find the parts of an entry: what its part of the competition file says beyond the defaults.

    They are the runs of an ensemble of several and its other keys; the keys of the feature recipes behind it; and the
    keys of its experiments, with each of an estimator's ``params``. To leave one out is to set it back to its default.
    What names columns that a part took away goes with it.

    Parameters
    ----------
    competition
        The competition file as resolved.
    entry
        An ensemble or experiment.
    deep
        Whether lists and tables of a recipe (groups, interactions, derived columns …) are also parts item by item.

    Raises
    ------
    ConfigError
        If the competition file has no such ensemble or experiment.
    """
    document = competition.model_dump()
    runs = tuple(dict.fromkeys(competition.runs_of(entry)))
    found: list[Part] = []

    def add(name: str, left_out: str, section: str, table: str, changed: dict[str, Any]) -> None:
        whole = deepcopy(document)
        whole[section][table] = changed
        try:
            found.append(Part(name, left_out, competition_from_json(whole, f"without {name}")))
        except ConfigError as error:
            found.append(Part(name, left_out, None, str(error)))

    if entry in competition.ensembles:
        ensemble = document["ensembles"][entry]
        for run in runs if len(runs) > 1 else ():
            others, *families = (
                tuple(other for other in group if other != run) for group in (ensemble["runs"], *ensemble["families"])
            )
            left = {"runs": others, "families": tuple(family for family in families if family)}
            add(f"{entry}.runs.{run}", "the run", "ensembles", entry, {**ensemble, **left})
        for key, *values in _changes(competition.ensembles[entry], ("runs", "families")):
            rest = {**_without(ensemble, key), **({"families": ()} if key == "select" else {})}
            add(f"{entry}.{key}", _change(*values), "ensembles", entry, rest)
    for name in dict.fromkeys(competition.experiments[run].features for run in runs):
        recipe = competition.features[name]
        for key, *values in _changes(recipe):
            for item, left_out, changed in _cuts(recipe.model_dump(), key, *values, deep=deep):
                along = _settle(recipe, changed)
                add(f"features.{name}.{item}", " + ".join([left_out, *along]), "features", name, changed)
    for name in runs:
        experiment, table = competition.experiments[name], document["experiments"][name]
        losses = () if competition.task == "regression" else ("loss",)  # which the task gives
        for key, *values in _changes(experiment, (*_NO_PARTS, *losses, "params")):
            add(f"{name}.{key}", _change(*values), "experiments", name, _without(table, key))
        if isinstance(experiment, Sklearn):
            for key, value in experiment.params.items():
                changed = {**table, "params": _without(table["params"], key)}
                add(f"{name}.params.{key}", f"{_shown(value)} → the estimator's", "experiments", name, changed)
    return tuple(found)


def chosen_parts(parts: Sequence[Part], globs: Sequence[str]) -> tuple[Part, ...]:
    """The parts whose names match one of the patterns (``features.*``); all of them without patterns.

    Raises
    ------
    ConfigError
        If a pattern matches none, or there is nothing to leave out.
    """
    names = [part.name for part in parts]
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            raise ConfigError(f"--parts {glob}: the entry has no such part; {nearest(glob, names)}")
    if not parts:
        raise ConfigError("the entry has no part to leave out: one run, and every key at its default")
    return tuple(part for part in parts if not globs or any(fnmatchcase(part.name, glob) for glob in globs))


def _changes(table: Table, others: Collection[str] = ()) -> Iterator[tuple[str, Any, Any]]:
    """The keys that differ from their defaults, each with its value and its default."""
    for key, field in type(table).model_fields.items():
        if key not in others and not field.is_required():
            value, default = getattr(table, key), field.get_default(call_default_factory=True)
            if value != default:
                yield key, value, default


def _cuts(
    table: dict[str, Any], key: str, value: Any, default: Any, *, deep: bool
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A recipe's table without a key; and where it holds several items and these are meant, without each of them."""
    if not isinstance(value, tuple | dict):
        yield key, _change(value, default), _without(table, key)
        return
    yield key, f"all {len(value)}", _without(table, key)
    if not deep or len(value) < 2:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            left_out = f"{item.column}: {item.pattern}" if isinstance(item, Extract) else item
            yield f"{key}.{name}", left_out, {**table, key: _without(table[key], name)}
        return
    for number, item in enumerate(value):
        is_name = isinstance(item, str)
        left_out = "the column" if is_name else _shown_item(item)
        changed = {**table, key: table[key][:number] + table[key][number + 1 :]}
        yield f"{key}.{item if is_name else number + 1}", left_out, changed


def _settle(recipe: Features, changed: dict[str, Any]) -> list[str]:
    """Take out of a changed recipe what needs columns, or numbers, that are no longer there, and say how many.

    Parameters
    ----------
    recipe
        As it was.
    changed
        Its table without a part; changed in place.
    """
    numbers = {*recipe.number, *(column for ordinal in recipe.ordinal for column in ordinal.columns)}
    numbers -= {*changed.get("number", ()), *(c for each in changed.get("ordinal", ()) for c in each["columns"])}
    derived = dict(changed.get("derived", {}))
    absent = (recipe.derived.keys() - derived.keys()) | (recipe.extract.keys() - changed.get("extract", {}).keys())
    n_derived = len(derived)
    while fallen := {name for name, text in derived.items() if columns_named(text) & (absent | numbers)}:
        absent |= fallen
        derived = {name: text for name, text in derived.items() if name not in fallen}
    groups, n_grouped = [], 0
    for group in changed.get("groups", ()):
        left = tuple(c for c in group["columns"] if c not in absent | numbers and group["by"] not in absent)
        n_grouped += len(group["columns"]) - len(left)
        groups += [{**group, "columns": left}] if left else []
    kept = Features.model_validate({"groups": tuple(groups)}).groups
    before, after = ({each.name_of(c) for each in some for c in each.columns} for some in (recipe.groups, kept))
    gone = absent | numbers | (before - after)
    interactions = tuple(pair for pair in changed.get("interactions", ()) if not gone & set(pair))
    n_fallen = len(changed.get("interactions", ())) - len(interactions)
    changed |= {"derived": derived, "groups": tuple(groups), "interactions": interactions}
    counts = (("derived column", n_derived - len(derived)), ("group column", n_grouped), ("interaction", n_fallen))
    return [f"{n} {what}{'s' * (n > 1)}" for what, n in counts if n]


def _without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {other: value for other, value in table.items() if other != key}


def _change(value: Any, default: Any) -> str:
    return f"{_shown(value)} → {_shown(default)}"


def _shown(value: Any) -> str:
    """A value as in the competition file, short."""
    text = "none" if value is None else json.dumps(value).strip('"')
    return text if len(text) <= 40 else f"{text[:39]}…"


def _shown_item(item: Group | Ordinal | tuple[str, str]) -> str:
    if isinstance(item, tuple):
        return " × ".join(item)
    return _shown(", ".join(item.columns if isinstance(item, Ordinal) else map(item.name_of, item.columns)))
