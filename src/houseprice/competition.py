"""Reading the competition file: TOML, ``--set`` overrides, and complaints that name the key and the way out."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from houseprice.config import Competition
from houseprice.documents import parse_toml
from houseprice.errors import ConfigError, nearest
from houseprice.files import read_regular

_WIDEST_VALUE = 200  # characters of a message
_MOST_STEPS = 8  # of an override's key

_Place = tuple[str, str]


def load_competition(path: Path, overrides: Sequence[str] = ()) -> Competition:
    """Read and check a competition file.

    Parameters
    ----------
    path
        The ``competition.toml``; its folder has the competition's name.
    overrides
        ``key=value`` each, the value in TOML: ``mlp.weight_decay=0.01`` (an experiment's key by the experiment's
        name), or a whole path: ``folds.main.k=5``.

    Raises
    ------
    ConfigError
        Naming the file, the key, the value and the nearest known key.
    """
    try:
        document = parse_toml(read_regular(path).decode("utf-8-sig"))
    except FileNotFoundError as error:
        others = sorted(found.parent.name for found in path.parent.parent.glob("*/competition.toml"))
        raise ConfigError(
            f"no competition file {path}; "
            + (
                f"competitions here: {', '.join(others)} (choose with -c)"
                if others
                else "choose the project's folder with --root"
            )
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
    for override in overrides:
        _override(document, override)
    likes = _inherit(document, path)
    competition = competition_from_json(document, " --set ".join([str(path), *map(_cut, overrides)]), likes)
    if competition.name != path.parent.name:
        raise ConfigError(
            f"{path}: name = {competition.name!r}, but its folder is {path.parent.name!r}; make them equal"
        )
    return competition


def competition_from_json(document: Any, where: str, likes: Mapping[_Place, str] | None = None) -> Competition:
    """Check a whole competition given as plain values: parsed from its file, or as a manifest records it.

    ``likes`` has the neighbour of each table that is like one, by section and name: what is wrong in both is said once.

    Raises
    ------
    ConfigError
        One line for everything that is wrong, each with ``where``, the key, the value and the nearest known key.
    """
    try:
        return Competition.model_validate(_with_tuples(document))
    except ValidationError as error:
        details = _once([dict(detail) for detail in error.errors()], likes or {})
        raise ConfigError("\n".join(_complaint(where, detail) for detail in details)) from error


def _once(details: list[dict[str, Any]], likes: Mapping[_Place, str]) -> list[dict[str, Any]]:
    """Findings without those that a table has from the one that it is like, which has them, too."""
    found = {(*detail["loc"], detail["msg"]) for detail in details}

    def is_inherited(section: str = "", name: str = "", *rest: object) -> bool:
        base = likes.get((section, name))
        return base is not None and ((section, base, *rest) in found or is_inherited(section, base, *rest))

    return [detail for detail in details if not is_inherited(*detail["loc"], detail["msg"])]


def _override(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps) or len(steps) > _MOST_STEPS:
        raise ConfigError(f"--set {_cut(override)}: write key=value, such as mlp.weight_decay=0.01")
    if steps[0] not in Competition.model_fields:
        tables = {name: document[name] for name in ("experiments", "ensembles") if isinstance(document.get(name), dict)}
        section = next((name for name, table in tables.items() if steps[0] in table), None)
        if section is None:
            known = [*(name for table in tables.values() for name in table), *Competition.model_fields]
            raise ConfigError(f"--set {_cut(override)}: unknown name {_cut(steps[0])!r}; {nearest(steps[0], known)}")
        steps = [section, *steps]
    try:
        value = parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string
    except ValueError as error:
        raise ConfigError(f"--set {_cut(override)}: {error}") from error
    table = document
    for step in steps[:-1]:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {_cut(override)}: {step!r} is a value, not a table")
    table[steps[-1]] = value


def _inherit(document: dict[str, Any], path: Path) -> dict[_Place, str]:
    """Give every table with ``like = "NAME"`` the keys of its neighbour NAME that it does not say otherwise.

    Returns
    -------
    dict
        The neighbours, by section and name of the tables that are like them.
    """
    likes: dict[_Place, str] = {}
    for section in ("folds", "features", "experiments", "ensembles"):
        tables = document.get(section)
        if isinstance(tables, dict):
            document[section] = {name: _whole(tables, (name,), f"{path}: {section}") for name in tables}
            said = {
                name: table["like"] for name, table in tables.items() if isinstance(table, dict) and "like" in table
            }
            likes |= {(section, name): base for name, base in said.items()}
    return likes


def _whole(tables: dict[str, Any], names: tuple[str, ...], where: str) -> Any:
    """The table that the last name stands for; the names before it are those of the tables that are like it."""
    table = tables[names[-1]]
    if not isinstance(table, dict) or "like" not in table:
        return table
    base = table["like"]
    if not isinstance(base, str) or base not in tables:
        raise ConfigError(f"{where}.{names[-1]}.like: unknown name {base!r}; {nearest(str(base), list(tables))}")
    if base in names:
        raise ConfigError(f"{where}.{names[0]}.like: goes round in a circle: {' → '.join((*names, base))}")
    return _merged(_whole(tables, (*names, base), where), {key: table[key] for key in table if key != "like"})


def _merged(base: Any, own: Any) -> Any:
    if isinstance(base, dict) and isinstance(own, dict):
        return base | {key: _merged(base.get(key), value) for key, value in own.items()}
    return own


def _with_tuples(value: Any) -> Any:
    """Lists of the document as tuples: the models are frozen through and through."""
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return value


def _complaint(source: str, detail: dict[str, Any]) -> str:
    """One message for one of pydantic's findings: file, key, rule, value."""
    steps = [str(step) for step in detail["loc"]]
    if len(steps) > 2 and steps[0] == "experiments":
        del steps[2]  # the kind, which pydantic names between the experiment and its key
    steps = [step for step in steps if not step.startswith(("constrained-", "tuple["))]  # nor the branches of a union
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "union_tag_invalid":
        kinds = re.findall(r"'(\w+)'", detail["ctx"]["expected_tags"])
        message = f"unknown kind {detail['ctx']['tag']!r}; {nearest(detail['ctx']['tag'], kinds)}"
    elif detail["type"] == "union_tag_not_found":
        message = "kind: Field required"
    for python, toml in (("valid tuple", "list"), ("Tuple", "List"), ("valid dictionary", "table")):
        message = message.replace(python, toml)
    message = re.sub(r"a table or (instance of \w+|object to extract fields from)", "a table", message)
    where = f"{source}: " + (".".join(steps) + ": " if steps else "")
    scalar = isinstance(detail["input"], str | int | float | bool)
    return f"{where}{message}" + (f" (it is {_cut(repr(detail['input']))})" if scalar else "")


def _cut(text: str) -> str:
    """A value as a message quotes it: who gave one of a thousand characters knows it by its beginning."""
    return text if len(text) <= _WIDEST_VALUE else f"{text[:_WIDEST_VALUE]}…"
