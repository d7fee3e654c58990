"""Paths that an application gives: checked for what no file system could name."""

import os
from pathlib import Path

from .errors import HandfulError, shown

MAX_BYTES = 4096  # of a path; Linux takes no longer one


def as_path(path: object, what: str, error: type[HandfulError]) -> Path:
    """The path, or `error` where it is no path at all; `what` names it: `task file`."""
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except Exception:
        text = None
    if not isinstance(text, str):
        raise error(f"{what} is {shown(path)}, wanted a path: a string or a pathlib.Path")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        encoded = b"\0"
    if not 0 < len(encoded) <= MAX_BYTES or b"\0" in encoded:
        raise error(
            f"{what} is {shown(text)}, which no file can be called",
            hint=f"a path has 1 to {MAX_BYTES} bytes, no NUL and no half of a surrogate pair",
        )
    return Path(text)
