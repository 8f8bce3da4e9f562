"""The HTML report, and the figures that the notebook shows too."""
