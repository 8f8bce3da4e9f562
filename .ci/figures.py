"""Assert the figures that must show on the real files and on this machine, from the program's own output."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOUSEPRICE = Path(sys.executable).with_name("houseprice")
RATIOS = {  # what must be reached on a quiet machine; here 70 % of it is asserted, for machines are noisy
    "loop_64": 13.0,
    "loop_256": 3.5,
    "sgemm_256": 0.45,
    "single_64": 2.0,
    "sklearn_64": 5.0,
}
RATIOS_AT_MOST = {"rows_flatness": 1.3, "memory_ratio": 2.0}


def ask(*arguments: str) -> Any:
    """The JSON document that a command prints."""
    done = subprocess.run([HOUSEPRICE, *arguments, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Compare every figure with what it must be; exit 1 if one is out."""
    runs = {row["name"]: row for row in ask("evaluate")}
    blends = {row["name"]: row for row in ask("ensemble", "quick", "mlp-best", "default", "best")}
    linear = runs["d2l-linear"]
    sources = {row["source"] for row in ask("leaderboard") if row["kind"] == "entry"}
    figures = [
        ("d2l-linear columns", linear["columns"], 330, 330),
        ("d2l-linear mean train", linear["train_score"], 0.162, 0.168),
        ("d2l-linear mean validation", linear["fold_mean"], 0.168, 0.174),
        ("d2l-mlp mean validation", runs["d2l-mlp"]["fold_mean"], 0, 0.133),
        ("ridge OOF", runs["ridge"]["score"], 0, 0.135),
        ("quick OOF", blends["quick"]["score"], 0, 0.1160),
        ("mlp-best cross-fitted OOF", blends["mlp-best"]["score"], 0, 0.1115),
        ("default cross-fitted OOF", blends["default"]["score"], 0, 0.1105),
        ("best cross-fitted OOF", blends["best"]["score"], 0, 0.1090),
        ("peak memory of training, MB", max(row["peak_memory_mb"] for row in runs.values()), 0, 2000),
        ("stages that would run again", sum(stage["runs"] for stage in ask("explain")), 0, 0),
        ("local entry; sample or mirror entry", ("local" in sources) + bool(sources & {"sample", "mirror"}), 2, 2),
    ]
    start = time.perf_counter()
    subprocess.run([HOUSEPRICE, "report"], check=True)  # `make report` has brought all that it needs
    figures += [
        ("report, s", time.perf_counter() - start, 0, 5 / 0.7),  # likewise: here machines are noisy
        ("report, MB", Path("submissions/house-prices/report.html").stat().st_size / 1e6, 0, 5),
    ]
    ratios = ask("bench")["ratios"]
    figures += [(f"bench {name}", ratios[name], 0.7 * least, float("inf")) for name, least in RATIOS.items()]
    figures += [(f"bench {name}", ratios[name], 0, most / 0.7) for name, most in RATIOS_AT_MOST.items()]
    for name, value, low, high in figures:
        print(
            f"{name:<34} {value:<10.5g} must be in [{low:.4g}, {high:.4g}]{'' if low <= value <= high else '  <-- OUT'}"
        )
    sys.exit(any(not low <= value <= high for _, value, low, high in figures))


if __name__ == "__main__":
    main()
