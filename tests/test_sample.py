"""The built-in sample: deterministic, made like the real files, and never more than that."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from houseprice.data.sample import COLUMNS, sample_files

REAL = Path(__file__).resolve().parents[2] / "shared" / "house-prices"

# Written out here rather than read from the module's tables: what readers of the files rely on.
LABELS = {
    "MSZoning": ["C (all)", "FV", "RH", "RL", "RM"],
    "Street": ["Grvl", "Pave"],
    "Alley": ["Grvl", "Pave"],
    "LotShape": ["IR1", "IR2", "IR3", "Reg"],
    "LandContour": ["Bnk", "HLS", "Low", "Lvl"],
    "Utilities": ["AllPub", "NoSeWa"],
    "LotConfig": ["Corner", "CulDSac", "FR2", "FR3", "Inside"],
    "LandSlope": ["Gtl", "Mod", "Sev"],
    "Neighborhood": """Blmngtn Blueste BrDale BrkSide ClearCr CollgCr Crawfor Edwards Gilbert IDOTRR MeadowV
        Mitchel NAmes NPkVill NWAmes NoRidge NridgHt OldTown SWISU Sawyer SawyerW Somerst StoneBr Timber Veenker
    """.split(),
}
