"""Assert the figures that the shipped experiments must show on the real files, from the program's own output."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HOUSEPRICE = Path(sys.executable).with_name("houseprice")


def ask(*arguments: str) -> list[dict[str, Any]]:
    """The JSON document that a command prints."""
    done = subprocess.run([HOUSEPRICE, *arguments, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return list(json.loads(done.stdout))


def main() -> None:
    """Compare every figure with what it must be; exit 1 if one is out."""
    runs = {row["name"]: row for row in ask("evaluate")}
    blends = {row["name"]: row for row in ask("ensemble", "default")}
    linear = runs["d2l-linear"]
    figures = [
        ("d2l-linear columns", linear["columns"], 330, 330),
        ("d2l-linear mean train", linear["train_score"], 0.162, 0.168),
        ("d2l-linear mean validation", linear["fold_mean"], 0.168, 0.174),
        ("d2l-mlp mean validation", runs["d2l-mlp"]["fold_mean"], 0, 0.133),
        ("ridge OOF", runs["ridge"]["score"], 0, 0.135),
        ("mlp OOF", runs["mlp"]["score"], 0, 0.125),
        ("default cross-fitted OOF", blends["default"]["score"], 0, 0.120),
        ("peak memory of training, MB", max(row["peak_memory_mb"] for row in runs.values()), 0, 2000),
        ("stages that would run again", sum(stage["runs"] for stage in ask("explain")), 0, 0),
    ]
    sources = {row["source"] for row in ask("leaderboard") if row["kind"] == "entry"}
    print("sources on the leaderboard:", sorted(sources))
    bad = [name for name, value, low, high in figures if not low <= value <= high]
    for name, value, low, high in figures:
        print(f"{name:<32} {value:<10.5g} must be in [{low}, {high}]{'' if low <= value <= high else '  <-- OUT'}")
    sys.exit(1 if bad or sources != {"local", "sample"} else 0)


if __name__ == "__main__":
    main()
