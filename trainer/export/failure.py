"""Why a learner's function failed: the innermost cause in one line, and where in its own file."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from pathlib import Path


def reason(error: BaseException, function: object) -> str:
    """The first line of the innermost cause, and the line of the function's file that led to it.

    torch wraps an error several times on its way out, and the outermost speaks of the wrapping.
    """
    chain = list(_chain(error))
    text = next((line for e in reversed(chain) if (line := _first_line(e))), "")
    place = next((place for e in reversed(chain) if (place := _place(e, function))), "")
    return f"{text or f'{type(chain[-1]).__name__}: {chain[-1]}'}{place}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause …"""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        context = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or context


def _first_line(error: BaseException) -> str:
    # a failed look-up says a key and nothing else: what followed from it says more
    if isinstance(error, LookupError | StopIteration):
        return ""
    return next(iter(str(error).strip().splitlines()), "")


def _place(error: BaseException, function: object) -> str:
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))  # type: ignore[arg-type]
    except TypeError:
        return ""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
