"""What a call is refused with: the very class of the error, its words and its hint."""

from collections.abc import Callable
from pathlib import Path

import pytest

import handful
from handful.runtime.errors import HandfulError


def refusal(call: Callable[[], object], kind: type[HandfulError]) -> tuple[str, str | None]:
    with pytest.raises(HandfulError) as error:
        call()
    assert type(error.value) is kind
    return str(error.value), error.value.hint


def refusal_in(
    folder: Path, call: Callable[[], object], kind: type[HandfulError]
) -> tuple[str, str | None]:
    """The same with `…` for the folder, whose name differs from run to run."""
    words, hint = refusal(call, kind)
    return words.replace(str(folder), "…"), hint


def refused(folder: Path, kind: type[HandfulError], words: str, hint: str | None = None) -> None:
    """The package in the folder is."""
    assert refusal(lambda: handful.load(folder), kind) == (words, hint)
