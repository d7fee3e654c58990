"""Progress: bars that fit the terminal, plain lines where there is none."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from handful.trainer.training.progress import bars

from ..each import each

LINE = {"step": 10_000, "loss": 0.123456, "accuracy": 0.98765}
VALIDATION = "prototypical step 10000: validation 98.00 ± 0.30 %"


def written(width: int, *, terminal: bool) -> list[str]:
    """The lines of a run of two phases, without a terminal's control sequences."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    with bars(console) as report:
        show = report.phase("prototypical", 10_000, 0)
        show({**LINE, "step": 5})
        show({**LINE, "validation": 0.98, "interval": 0.003})
        tick = report.count("20-way 5-shot", 100)
        for _ in range(100):
            tick()
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()))
    return [line.rstrip() for line in lines if line.strip()]


@each(
    ("width", "facts"),
    [(120, "loss 0.1235  accuracy 98.8 %"), (60, "loss 0.1235  98.8 %"), (40, "")],
)
def test_bars_fit_the_terminal_and_drop_whole_columns(width: int, facts: str) -> None:
    lines = written(width, terminal=True)
    assert VALIDATION in lines
    drawn = [line for line in lines if line != VALIDATION]
    assert max(map(len, drawn)) <= width
    assert not [line for line in drawn if "…" in line]
    *_, prototypical, count = drawn
    assert "10000/10000" in prototypical
    assert prototypical.endswith(facts or "0:00:00")
    assert "100/100" in count
    assert any("━━━━" in line for line in drawn)


def test_without_a_terminal_there_are_plain_lines_that_no_width_breaks() -> None:
    wanted = [
        VALIDATION,
        "prototypical: 10000 of 10000, loss 0.1235  accuracy 98.8 %",
        "20-way 5-shot: 100 of 100",
    ]
    assert written(40, terminal=False) == wanted
    assert written(200, terminal=False) == wanted


def test_without_a_terminal_what_takes_long_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter(range(0, 1000, 4))  # seconds: each step takes four
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    file = io.StringIO()
    with bars(Console(file=file, force_terminal=False)) as report:
        tick = report.count("5-way 1-shot", 12)
        for _ in range(12):
            tick()
    assert file.getvalue().splitlines() == [
        "5-way 1-shot: 4 of 12",
        "5-way 1-shot: 8 of 12",
        "5-way 1-shot: 12 of 12",
    ]


def test_nothing_is_written_where_nothing_was_begun() -> None:
    for terminal in (True, False):
        file = io.StringIO()
        with bars(Console(file=file, force_terminal=terminal)):
            pass
        assert file.getvalue() == ""
