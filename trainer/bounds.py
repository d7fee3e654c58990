"""Bounds of the numbers in a dataclass of settings, checked in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from handful.trainer.errors import SettingError

LARGEST = 2**63  # torch's whole numbers are below this


def check_numbers(
    config: Any, *, least: Mapping[str, int] | None = None, below: Mapping[str, int] | None = None
) -> None:
    """Refuse a number out of its bounds, in a field or in a tuple of numbers.

    A whole number is 1 or more and another number is finite and more than 0, unless `least` names a
    bound of its own for the field, which is allowed itself; `below` names what is just too large.
    """
    for name, value in vars(config).items():
        numbers = list(value) if isinstance(value, tuple) else [value]
        for number in numbers:
            if type(number) not in (int, float):
                continue
            whole = type(number) is int
            bound = (least or {}).get(name, 1 if whole else 0)
            limit = (below or {}).get(name, LARGEST if whole else math.inf)
            open_below = not whole and name not in (least or {})
            if not bound <= number < limit or (open_below and number == bound):
                wanted = f"more than {bound}" if open_below else f"{bound} or more"
                if number >= limit:
                    wanted = "a finite number" if limit == math.inf else f"less than {limit}"
                shown = numbers if isinstance(value, tuple) else number
                raise SettingError(name, f"is {shown}, wanted {wanted}")
