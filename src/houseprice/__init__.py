"""From a Kaggle competition's CSV files to a checked, reproducible submission."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from houseprice.errors import HousePriceError
    from houseprice.notebook.competition import Competition

__all__ = ["Competition", "HousePriceError"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: ``import houseprice`` alone brings nothing."""
    if name == "Competition":
        from houseprice.notebook.competition import Competition

        return Competition
    if name == "HousePriceError":
        from houseprice.errors import HousePriceError

        return HousePriceError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What a notebook offers to complete."""
    return sorted({*globals(), *__all__})
