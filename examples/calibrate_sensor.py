"""Calibrate a sensor where it is: lines of readings in, true values out; no torch needed.

`python examples/calibrate_sensor.py < readings.csv`

A line `raw, time, value` is a reading whose true value is known: the package adapts to all of
these that came so far. A line `raw, time` is answered by the value. Gain, offset, drift and
saturation of the unit need not be known; true values lie between −1 and 1, times between 0 and 1.
"""

from __future__ import annotations

import sys

import handful

LEAST = 5  # readings with a known value, before others are answered


def main() -> None:
    """Read standard input line by line."""
    if sys.stdin.isatty():  # nobody types readings
        sys.exit(__doc__)
    learner = handful.load("sensor-maml")
    known: list[list[float]] = []
    task, number = None, 0
    for number, line in enumerate(sys.stdin, 1):
        try:
            fields = [float(field) for field in line.split(",")]
        except ValueError:
            fields = []
        if len(fields) == 3:
            known.append(fields)
            if len(known) >= LEAST:
                raw = [reading[:2] for reading in known]
                task = learner.adapt(raw, [reading[2:] for reading in known])
        elif len(fields) == 2 and task is not None:
            print(f"{task.predict(fields)[0]:.4f}", flush=True)
        else:
            wanted = f"{LEAST - len(known)} more known values" if len(fields) == 2 else "numbers"
            print(f"line {number} is passed over, wanted {wanted}", file=sys.stderr)
    if not number:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
