"""The experiments of the course on the project's engine: data, fitting, figures."""
