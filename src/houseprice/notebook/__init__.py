"""The pipeline for notebooks: objects that do what the command line does, and show themselves."""
