"""From a Kaggle competition's CSV files to a checked, reproducible submission."""

__version__ = "0.1.0"
