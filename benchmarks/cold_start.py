"""From a process's start to its first adapted prediction, for LEO on embeddings and Conv4."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from leo_adaptation import export_leo
from tables import write_table

from handful.runtime.tools.bench import bench

HEAVY = ("torch", "onnx", "click", "PIL")
LOADED = """
import sys, warnings
from handful.runtime.tools.bench import first_answer
warnings.simplefilter("ignore")  # made-up examples are unlike a package's own
sys.argv[1:] = [{package!r}, "5", "1", "1"]
first_answer()
print(*[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


def find_imported(package: str) -> str:
    """Which of the heavy modules such a process imports."""
    program = LOADED.format(package=package, heavy=HEAVY)
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return process.stderr.strip() or "none"


def measure(name: str, package: str, target: str, runs: int) -> str:
    """One row: median of the processes, and their memory."""
    timings = bench(package, cold_runs=runs)
    peak = f"{timings.peak_rss_mib:.0f}" if timings.peak_rss_mib else "unknown"
    seconds, imported = timings.cold_start_ms / 1e3, find_imported(package)
    return f"| {name} | {seconds:.2f} | {target} | {peak} | {imported} |"


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    rows = [
        f"| package | cold start, s | target | peak RSS, MiB | imported of {', '.join(HEAVY)} |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "leo"
        export_leo(package)
        rows.append(measure("LEO on 640-d embeddings", str(package), "0.25", options.runs))
    rows.append(measure("omniglot-leo (Conv4)", "omniglot-leo", "0.30", options.runs))
    rows.append(measure("omniglot-maml (Conv4)", "omniglot-maml", "none set", options.runs))
    print("\n".join(rows))
    note = (
        "Process start to first adapted prediction, 5-way 1-shot, one thread, files in the page"
        f" cache; median of {options.runs} processes. Target of the memory: 95 MB."
    )
    if not options.dry:
        title = "From a process's start to its first adapted prediction"
        text = "\n".join([note, "", *rows])
        write_table("cold-start", title, "python benchmarks/cold_start.py", text)


if __name__ == "__main__":
    main()
