"""A folder with one sub-folder a class: which files, of one kind, belong to which class."""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from handful.runtime.errors import HandfulError, InputError, SupportSetError

LABELS = "one sub-folder a class, named as the class"
# what file managers, archives and network drives leave behind; hidden files are passed over as well
IGNORED = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")
UNSHOWN = ("Cc", "Cs", "Zl", "Zp")  # control characters, undecodable bytes, ends of a line
MOST_LISTED = 20
MAX_FILES = 100_000  # of a folder to adapt to


@dataclass(frozen=True)
class Files:
    """The files of one kind of input.

    A file beside the classes is passed over (a README, a split), unless it is named as one of
    these.
    """

    word: str  # of one: picture
    suffixes: tuple[str, ...]
    several: str = ""  # of many, where it is not the word with an s

    @property
    def words(self) -> str:
        """What many of them are called."""
        return self.several or f"{self.word}s"


Error = TypeVar("Error", bound=HandfulError)
Value = TypeVar("Value")
Fault = tuple[str, str | None]  # message and hint


def class_folders(path: str | Path, kind: Files) -> dict[str, list[Path]]:
    """{class: its files} of a folder with one sub-folder a class, both in order of name.

    Links are followed. Hidden files and what file managers leave behind are passed over, and so
    are files beside the classes that are not named as those of `kind`. A SupportSetError lists
    everything else that is not as it should be: such files beside the classes, folders inside a
    class, classes without a file, links that lead nowhere, names that cannot be labels. No file is
    opened. A label is the folder's name in Unicode's composed form (NFC), as other systems write
    it.
    """
    path = Path(path)
    if not os.path.isdir(path):  # where Path.is_dir raises, of names too long, this is False
        raise SupportSetError(f"no folder {shown(path)}", hint=LABELS)
    faults: list[Fault] = []
    entries = _visible(path, faults)
    folders = [entry for entry in entries if _is_a(entry, "folder")]
    if not folders and not faults:
        raise SupportSetError(f"no sub-folders in {shown(path)}", hint=LABELS)
    for entry in entries:
        if entry not in folders and entry.name.lower().endswith(kind.suffixes):
            words = f"{shown(entry.name)} lies in {shown(path)} itself, wanted it in a sub-folder"
            faults.append((words, LABELS))
    classes: dict[str, list[Path]] = {}
    for folder in folders:
        label = _label(folder.name, path, classes, faults)
        classes[label] = _files(path / folder.name, kind.word, faults)
    if faults:
        layout = f"{LABELS}, with nothing but its {kind.word}s in it"
        raise at_once(faults, f"things are wrong in {shown(path)}", SupportSetError, layout)
    return classes


def read_classes(
    path: str | Path,
    kind: Files,
    read: Callable[[Path], Value],
    *,
    most: int = MAX_FILES,
) -> Iterator[tuple[str, list[Value]]]:
    """Each class of a folder (see `class_folders`) with what `read` makes of each of its files.

    SupportSetError above `most` files, before any is opened. InputError with all files that `read`
    refused, after the last class.
    """
    classes = class_folders(path, kind)
    count = sum(map(len, classes.values()))
    if count > most:
        raise SupportSetError(
            f"{count} {kind.words} in {shown(path)}, at most {most} are taken",
            hint="leave some of them out",
        )
    bad: dict[Path, InputError] = {}
    for label, files in classes.items():
        yield label, [value for _, value in read_each(files, read, bad)]
    if bad:
        raise unreadable(bad, count, kind)


def files_below(folder: Path, kind: Files) -> list[Path]:
    """The files of a kind in a folder and in those below it, in order of name.

    Files with other endings are passed over, and so is what `class_folders` passes over; links to
    folders are not followed. SupportSetError where there is none, or a folder cannot be listed.
    """
    faults: list[Fault] = []
    found = list(_below(folder, kind, faults))
    if faults:
        raise at_once(faults, f"things are wrong in {shown(folder)}", SupportSetError, None)
    if not found:
        endings = ", ".join(kind.suffixes)
        raise SupportSetError(
            f"no {kind.word}s in {shown(folder)}", hint=f"files whose names end with {endings}"
        )
    return found


def _below(folder: Path, kind: Files, faults: list[Fault]) -> Iterator[Path]:
    for entry in _visible(folder, faults):
        if _is_a(entry, "folder"):
            if not entry.is_symlink():
                yield from _below(folder / entry.name, kind, faults)
        elif _is_a(entry, "file") and entry.name.lower().endswith(kind.suffixes):
            yield folder / entry.name


def at_once(faults: Iterable[Fault], what: str, kind: type[Error], hint: str | None) -> Error:
    """One error for all faults: one alone with its own hint, several as `3 {what}:` and a list."""
    faults = list(faults)
    if len(faults) == 1:
        return kind(faults[0][0], hint=faults[0][1])
    lines = [message for message, _ in faults[:MOST_LISTED]]
    if len(faults) > MOST_LISTED:
        lines.append(f"and {len(faults) - MOST_LISTED} more")
    return kind("\n  ".join([f"{len(faults)} {what}:", *lines]), hint=hint)


def read_each(
    files: Iterable[Path], read: Callable[[Path], Value], bad: dict[Path, InputError]
) -> Iterator[tuple[Path, Value]]:
    """Each file with what `read` makes of it; those that cannot be read go to `bad`."""
    for file in files:
        try:
            value = read(file)
        except InputError as error:
            bad[file] = error
        else:
            yield file, value


def unreadable(bad: Mapping[Path, InputError], count: int, kind: Files) -> InputError:
    """One error that lists the bad ones among `count` files, each with its reason."""
    faults = [(str(error), error.hint) for error in bad.values()]
    what = f"of {count} {kind.words} cannot be read"
    return at_once(faults, what, InputError, "mend them, or leave them out")


def shown(path: str | Path) -> str:
    """A path for people: printable, and a long one cut."""
    text = printable(str(path)[:5000])
    return text if len(text) <= 400 else f"{text[:200]}…{text[-199:]}"


def printable(text: str) -> str:
    """The text with control characters, ends of lines and undecodable bytes escaped."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in UNSHOWN else c for c in text)


def _visible(folder: Path, faults: list[Fault]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as cause:
        faults.append((f"cannot list {shown(folder)}: {cause.strerror}", None))
        return []
    return [e for e in entries if not e.name.startswith(".") and e.name.lower() not in IGNORED]


def _is_a(entry: os.DirEntry[str], kind: str) -> bool:
    try:
        return entry.is_dir() if kind == "folder" else entry.is_file()
    except OSError:  # a circle of links, a drive that has gone
        return False


def _label(name: str, path: Path, classes: dict[str, list[Path]], faults: list[Fault]) -> str:
    """The class that a folder names. Upper and lower case differ: `A` and `a` are two letters."""
    label = unicodedata.normalize("NFC", name)
    if any(unicodedata.category(c) in UNSHOWN for c in label):
        words = f"the folder {shown(name)} in {shown(path)} has a name that cannot be a label"
        faults.append((words, "rename it: no control characters, and text in UTF-8"))
    elif label in classes:
        words = f"two folders in {shown(path)} are named {label}, in different Unicode forms"
        faults.append((words, "rename one, or put the files of both into one"))
    return label


def _files(folder: Path, word: str, faults: list[Fault]) -> list[Path]:
    known = len(faults)
    files: list[Path] = []
    for entry in _visible(folder, faults):
        file = folder / entry.name
        if _is_a(entry, "file"):
            files.append(file)
        elif _is_a(entry, "folder"):
            words = f"{shown(file)} is a folder inside a class, wanted a {word} file"
            faults.append((words, f"move its {word}s up, or make it a class"))
        else:
            words = f"{shown(file)} is no file, and no link to one"
            faults.append((words, "remove it"))
    if not files and len(faults) == known:
        hint = "add one at least, or remove the folder"
        faults.append((f"no {word}s in {shown(folder)}", hint))
    return files
