"""Figures of benchmarks, kept: a row of ``history.jsonl`` each, written by ``make benchmark`` alone."""

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

import spora_db

FOLDER = Path(__file__).parent
HISTORY = FOLDER / "history.jsonl"
FIELDS = {
    "date": str, "version": str, "commit": str, "cpu": str, "cores": int, "name": str, "value": float, "unit": str,
}  # fmt: skip
UNITS = ("ratio", "tiles/s", "s", "ms", "MB", "bytes", "times the mask's bytes")
MEASURES = "SPORA_BENCHMARK" in os.environ
"""Whether figures are wanted; `make test` runs benchmarks small and once, to see that they work."""


def processor() -> str:
    """Return what kind of processor this is."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit() -> str:
    """Return the commit that is measured, a plus after it if files differ from it."""
    command = ["git", "-C", str(FOLDER)]
    found = subprocess.run([*command, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*command, "diff", "--quiet", "HEAD", "--", "../../spora_db"], check=False).returncode
    return found.stdout.strip() + ("+" if changed else "")


def record(name: str, value: float, unit: str = "ratio") -> None:
    """Print a figure, and keep it where figures are wanted."""
    print(f"\n{name}: {value:.3g} {unit}", end="")
    if not MEASURES:
        return
    row = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "version": spora_db.__version__,
        "commit": commit(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "name": name,
        "value": float(f"{value:.4g}"),
        "unit": unit,
    }
    with HISTORY.open("a") as file:
        file.write(json.dumps(row) + "\n")
