"""Imported once by the server that the processes of `test_kill` are forked from: what each would load and hash anew."""

import importlib

import rich.console
import rich.progress
import rich.table
import safetensors.numpy
import sklearn.linear_model
import sklearn.tree

from competitions import PACKAGE
from houseprice.artifacts import source_hashes, version_of_import

ROOMS = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.py")]
LIBRARIES = (rich.console, rich.progress, rich.table, safetensors.numpy, sklearn.linear_model, sklearn.tree)

for room in ROOMS:
    if not room.endswith("__init__"):
        importlib.import_module(room)
source_hashes(tuple(sorted(ROOMS)))
version_of_import("sklearn")
