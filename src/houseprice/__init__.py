"""From a Kaggle competition's CSV files to a checked, reproducible submission."""
