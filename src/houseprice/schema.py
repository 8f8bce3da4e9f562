"""What every table of the competition file is, and the kinds of values in it."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from houseprice.errors import nearest

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**6)]  # bounds that nobody needs to pass: a manifest may come from anywhere,
Width = Annotated[int, Field(ge=1, le=2**16)]  # and legal numbers without one would ask for years, or for all memory
Few = Annotated[int, Field(ge=0, le=2**12)]
RandomSeed = Annotated[int, Field(ge=0, lt=2**31)]  # scikit-learn's are of 32 bits
Share = Annotated[float, Field(ge=0, le=1)]
ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]


def _json_can_hold_it(params: dict[str, Any]) -> dict[str, Any]:
    """What a manifest can't record would not be reproduced."""
    try:
        json.dumps(params, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error}: use finite numbers, text, booleans, lists and tables") from error
    return params


Params = Annotated[dict[str, Any], AfterValidator(_json_can_hold_it)]


class Table(BaseModel):
    """A table of the competition file: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, table: Any) -> Any:
        if isinstance(table, dict):
            for key in table:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {key!r}; {nearest(key, list(cls.model_fields))}")
        return table


def with_default(tables: Any, key: str, values: tuple[str, ...], name: str, default: str) -> Any:
    """Tables of which those that have one of some values under a key get a default under another name."""
    if not isinstance(tables, dict):
        return tables
    return {
        title: {name: default, **table} if isinstance(table, dict) and table.get(key) in values else table
        for title, table in tables.items()
    }
