"""Recording a run's data afterwards, for a run made by a version that did not record them.

python -m handful.trainer.training.record RUN [DATA]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from handful.runtime.errors import HandfulError
from handful.trainer.data.record import DataRecord, located

from .data import read_data
from .folder import CONFIG, DATA, PRETRAINED, RunError, read_config, write_record


def record_data(folder: Path, moved: str | None = None) -> DataRecord:
    """Write data.json into the run in `folder`, and into its `pretrained`, from today's data.

    They have to be those that it was trained on, which nobody can tell afterwards. A record that
    is there is never replaced.
    """
    if (folder / DATA).exists():
        raise RunError(f"{folder} has recorded its data already")
    config = read_config(folder)
    config = replace(config, data=located(config.data, DataRecord(parts={}), moved))
    data = read_data(config, None)
    for place in (folder, folder / PRETRAINED):
        if (place / CONFIG).exists():
            write_record(data.record, place)
    return data.record


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m handful.trainer.training.record RUN [DATA]")
    try:
        record_data(Path(sys.argv[1]), *sys.argv[2:])
    except HandfulError as error:
        sys.exit(f"error: {error}" + (f"\n\nhint: {error.hint}" if error.hint else ""))
