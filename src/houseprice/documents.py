"""JSON and TOML that may come from anywhere: a document is plain values of some depth, or a ``ValueError``.

Python's own readers fail on hostile texts in many ways: ``RecursionError`` where brackets are nested too deeply, a
bare ``ValueError`` on a number of thousands of digits; and what is nested almost too deeply fails whoever walks it.
"""

import hashlib
import json
import tomllib
from typing import Any, TypeVar

Kind = TypeVar("Kind")

_DEEPEST = 64  # far more than any document of ours


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises
    ------
    ValueError
        If it is none, or is nested more than 64 deep.

    Examples
    --------
    >>> parse_json('{"folds": [1, 2]}')
    {'folds': [1, 2]}
    """
    try:
        return shallow(json.loads(text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    ValueError
        If it is none, or is nested more than 64 deep.
    """
    try:
        document: dict[str, Any] = shallow(tomllib.loads(text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return document


def to_plain(kind: type[Kind], value: Kind) -> Any:
    """A dataclass of plain values, tuples and other dataclasses as what JSON can hold; floats stay as they are."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).dump_python(value, mode="json")


def from_plain(kind: type[Kind], document: Any) -> Kind:
    """The value that `to_plain` was given, to the last bit, out of a parsed document.

    Raises
    ------
    ValueError
        If a field is absent or of another type, or a number is not finite.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_json(json.dumps(document, allow_nan=False), strict=True)


def digest_of(document: Any) -> str:
    """SHA-256 of a document's JSON, in hexadecimal; keys count in whatever order."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def shallow(document: Any) -> Any:
    """The document itself, which any recursive function may then walk.

    Raises
    ------
    ValueError
        If it is nested more than 64 deep.
    """
    level = [document]
    for _ in range(_DEEPEST + 1):
        level = [child for each in level for child in _children(each)]
        if not level:
            return document
    raise ValueError(f"nested more than {_DEEPEST} deep")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
