"""Keeps an unfinished training in benchmarks/runs: what `handful train --resume` needs of it."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from tables import write_section

from handful.runtime.package.files import write_atomic
from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.folder import CONFIG, DATA

KEPT = Path(__file__).parent / "runs"
README = KEPT / "README.md"
COMMAND, CURVE = "command.txt", "validation.jsonl"


def keep(run: Path, command: str | None) -> None:
    """Copy checkpoints, settings and the validations; places of this machine stay behind."""
    folder = KEPT / run.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, LAST, BEST):
        shutil.copyfile(run / name, folder / name)
    data: dict[str, Any] = json.loads((run / DATA).read_text(encoding="utf-8"))
    kept = json.dumps({**data, "places": {}}, indent=1, ensure_ascii=False)
    write_atomic(folder / DATA, kept.encode())
    # a run that went on from here has its validations since in its log, and the earlier ones here
    before = (run / CURVE, run / "metrics.jsonl")
    lines = [
        line for file in before if file.exists() for line in file.read_text("utf-8").splitlines()
    ]
    curve = dict.fromkeys(line for line in lines if '"validation' in line)
    write_atomic(folder / CURVE, "".join(f"{line}\n" for line in curve).encode())
    if command is not None:
        write_atomic(folder / COMMAND, f"{command}\n".encode())


def row(folder: Path) -> str:
    """The run's line of the table."""
    progress = read_checkpoint(folder / LAST)[1]["progress"]
    steps = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["meta"]["steps"]
    command = (folder / COMMAND).read_text(encoding="utf-8").strip()
    curve = []
    for line in (folder / CURVE).read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        name = next(name for name in values if name.startswith("validation"))
        measured = values[name]
        shown = f"{measured:.3f}" if "error" in name else f"{100 * measured:.1f} %"
        curve.append(f"{values['step']}: {shown}")
    hours = progress["seconds"] / 3600
    cells = (command, f"{progress['step']} of {steps}", f"{hours:.1f}", ", ".join(curve) or "none")
    return f"| `{folder.name}` | `{cells[0]}` | {' | '.join(cells[1:])} |"


def main() -> None:
    """Copy the runs named, and write the table anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*", help="folders made by `handful train`")
    parser.add_argument("--command", help="the command that began them, if it is not kept yet")
    options = parser.parse_args()
    for run in options.runs:
        keep(run, options.command)
    rows = [row(folder) for folder in sorted(KEPT.iterdir()) if folder.is_dir()]
    head = [
        "| run | begun by | steps | hours by the clock | validation at step |",
        "|" + " --- |" * 5,
    ]
    write_section(README, "table", "\n".join([*head, *rows]))


if __name__ == "__main__":
    main()
