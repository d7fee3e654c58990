"""Names in a package: plain on every system, and in every language that reads them."""

import re

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")  # of a package and its files
INNER = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9._-]{0,99}")  # of a graph, a stage or a tensor
HASH = re.compile(r"[0-9a-f]{64}")
PLAIN_HINT = "letters, digits, `.`, `_` and `-`, no folders, at most 100 characters"
INNER_HINT = (
    "a letter or `_` first, then letters, digits, `.`, `_` and `-`, at most 100 characters; not "
    "`__` first, and no name that every object of JavaScript has"
)
DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
OBJECTS = (  # what a lookup in an empty object of JavaScript finds
    "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "prototype",
    "toLocaleString", "toString", "valueOf",
)  # fmt: skip
ROLES = ("x", "h", "support_x", "support_y", "query_x", "loss", "logits", "outputs")
NEXT = ".next"  # the end of an output's name in the file, where an input has its own


def is_basename(text: str) -> bool:
    """Whether `text` names a file in the same folder, on every system."""
    plain = NAME.fullmatch(text) and not text.endswith(".")
    return bool(plain) and text.split(".")[0].casefold() not in DEVICES


def is_inner(text: str) -> bool:
    """Whether a graph, a stage or a tensor may have the name `text`."""
    return bool(INNER.fullmatch(text)) and text not in OBJECTS


def is_own(text: str) -> bool:
    """Whether a state or noise tensor may: the roles that the format gives are not its own."""
    return is_inner(text) and text not in ROLES and not text.endswith(NEXT)
