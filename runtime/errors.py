"""Every error a user can meet.

HandfulError
├── PackageError         an exported package or one of its files is missing, altered or unsafe
│   └── ManifestError    manifest.json is not one this runtime can read
├── SessionError         onnxruntime, a provider or a session option is not what was asked for
├── InputError           an example or a query is not what the package's `input` says
├── SupportSetError      the labelled examples do not form a task this package can adapt to
├── AdaptError           a graph failed or gave a value that is not finite, or a task cannot do this
└── TaskFileError        a saved task is broken, unsafe or belongs to another package

InputWarning             examples are not what they should be (far from what the package was trained
│                        on, cut, or read by a guess), and are taken: a UserWarning
├── EmptyWarning         an example has nothing in it: silence, a blank picture, readings at rest
└── InputNote            what a command did with examples, as it should
"""

import re

# what a terminal obeys instead of showing, but for the end of a line and the tab: control
# characters, half a character, line separators of Unicode, and marks that turn the writing round
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u200e\u200f\u061c\u202a-\u202e"
    "\u2066-\u2069]"
)


def is_one_line(text: str) -> bool:
    """Whether a terminal shows the text as it is, on one line; of every language, emoji as well."""
    return not OBEYED.search(text) and "\t" not in text and "\n" not in text


class HandfulError(Exception):
    """An error to show to a person: what is wrong, then how to put it right."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """`message` is one fact, lower case; `hint` is what to do."""
        super().__init__(message)
        self.hint = hint


class PackageError(HandfulError):
    """An exported package or one of its files is missing, altered or unsafe."""


class ManifestError(PackageError):
    """manifest.json is not one this runtime can read."""


class SessionError(HandfulError):
    """What was asked of onnxruntime (a provider, a session option) is not to be had."""


class InputError(HandfulError):
    """An example or a query is not what the package's `input` says."""


class SupportSetError(HandfulError):
    """The labelled examples do not form a task this package can adapt to."""


class AdaptError(HandfulError):
    """A graph failed, gave a value that is not finite, or the task cannot do what was asked."""


class TaskFileError(HandfulError):
    """A saved task is broken, unsafe or belongs to another package."""


class InputWarning(UserWarning):
    """Examples are unlike the package's, were cut, or read by a guess; they are answered."""


class InputNote(InputWarning):
    """What became of examples, as it should; the commands alone say so."""


class EmptyWarning(InputWarning):
    """An example or a query has nothing in it: silence, a blank picture, readings at rest."""


def quote(value: object) -> str:
    """A value as an error names it: one line, at most 60 characters, whatever its `repr` does."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an object of the application's
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def escape_controls(text: str) -> str:
    """Text from anybody as a terminal may show it: `\\u001b` for an escape, also within JSON."""
    return OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def hint_extra(extra: str) -> str:
    """How to get an extra: from a clone, until there is a release."""
    return f"in a clone of handful: pip install '.[{extra}]'"
