"""Names for numpy's arrays, and an application's own values as arrays."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Array = NDArray[Any]
Floats = NDArray[np.float32]

MAX_EXAMPLES = 1_000_000
ARRAY = "give a numpy array, or what numpy.asarray makes one of"
FILLED = "fill it in with .filled(value), or leave the examples with masked values out"


def as_array(value: Any, what: str, hint: str = ARRAY) -> Array:
    """What numpy makes of a value; InputError where it makes nothing, and for masked arrays."""
    refuse_masked(value, what)
    try:
        array: Array = np.asarray(value)
    except Exception as error:  # an object's own __array__ raises what it likes
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"{what} of type {type(value).__name__} is not an array: {why}", hint=hint
        ) from error
    return array


def refuse_masked(value: Any, what: str) -> None:
    """InputError for a masked array, and for a list that has one in it: a graph sees no mask."""
    if is_masked(value):
        raise InputError(f"{what} is a masked array, whose mask no graph would see", hint=FILLED)


def is_masked(value: object) -> bool:
    """Whether it is one of numpy's masked arrays, or a list that has one in it."""
    masked = sys.modules.get("numpy.ma")  # numpy loads it with the first one, in some 10 ms
    if masked is None:
        return False
    if isinstance(value, list | tuple):
        return any(isinstance(item, masked.MaskedArray) for item in value)
    return isinstance(value, masked.MaskedArray)


def refuse_more(number: int, what: str) -> None:
    """InputError where one call has more than MAX_EXAMPLES examples."""
    if number > MAX_EXAMPLES:
        raise InputError(
            f"{number} examples in one call ({what}), at most {MAX_EXAMPLES} are taken",
            hint="give them in several calls",
        )
