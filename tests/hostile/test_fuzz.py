"""A few hundred cases of the fuzzer, the same ones every time; `fuzz.py` runs as long as told."""

from collections import Counter
from pathlib import Path

from .fuzz import WAYS, fuzz

CASES = 80 * len(WAYS)


def test_every_case_is_a_typed_error_or_a_right_answer(tmp_path: Path) -> None:
    counts, wrong = fuzz(tmp_path, seed=0, most=CASES)
    assert [(name, outcome.wrong) for name, outcome in wrong] == []
    reached = Counter[str]()
    for name, count in counts.items():
        reached[name.split(": ")[1]] += count
    assert reached.total() == CASES
    # the cases reach every depth: some pass, some are refused when read, some when they run
    assert {kind for kind, count in reached.items() if count > CASES // 40} == {
        "ok", "refused when read", "refused when run",
    }  # fmt: skip
