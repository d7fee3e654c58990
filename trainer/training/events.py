"""TensorBoard's event files: the lines of metrics.jsonl as scalars, where its package is there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .files import storing
from .folder import RunError
from .log import METRICS, read_metrics

EVENTS = "events"
FULL = "make room, then go on with --resume"


def require_tensorboard() -> None:
    """Refuse before anything is read or written."""
    if find_spec("tensorboard") is None:
        raise RunError(
            "--tensorboard writes event files by the package tensorboard, which is not installed",
            hint="pip install tensorboard, or leave --tensorboard out: metrics.csv has the same"
            " numbers",
        )


class Events:
    """A scalar for each number of a line, at its step, in the folder `events` of a run.

    TensorBoard hides what an earlier process wrote of the steps after `step`, where the run goes
    on. A run that had no events gets those of all its lines so far.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """The events of the run in `folder`, which stands at `step`; −1 before its first line."""
        from torch.utils.tensorboard import SummaryWriter

        place = folder / EVENTS
        absent = not place.exists()
        with storing(place, FULL):
            self.writer = SummaryWriter(str(place), purge_step=step + 1)
        if absent and (folder / METRICS).exists():
            for line in read_metrics(folder):
                self.append(line)

    def append(self, line: Mapping[str, Any]) -> None:
        """Write a line, at once: a killed process loses none that metrics.jsonl has."""
        with storing(Path(self.writer.log_dir), FULL):
            for name, value in line.items():
                if name != "step":
                    self.writer.add_scalar(name, value, line["step"])
            self.writer.flush()

    def close(self) -> None:
        """End the thread that writes."""
        self.writer.close()
