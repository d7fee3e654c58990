"""A folder with one sub-folder a class: which files belong to which class; what a label may be.

The names that systems, archives and network drives give to what they leave behind stand here, once.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from handful.runtime.errors import HandfulError, InputError, SupportSetError, is_one_line
from handful.runtime.errors import quote as shown_value
from handful.runtime.progress import UNTOLD, Meter

LABELS = "one sub-folder a class, named as the class"
MEND = "mend the link, or remove it"
# what is left behind, in lower case; hidden files are passed over as well
LEFT_BEHIND = {
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini"),  # Windows
    *("iconcache.db", "zbthumbnail.info", "autorun.inf", "wpsettings.dat"),
    *("$recycle.bin", "recycler", "recycled", "system volume information"),
    *("icon\r", "icon\uf00d", "__macosx", "network trash folder", "temporary items"),  # macOS
    *("lost+found", "lost.dir", "__pycache__"),  # Linux, Android, Python
    *("@eadir", "#recycle", "@recycle", "#snapshot", "@recently-snapshot"),  # network drives
}
# what a check of a Windows drive found; the copy that an editor keeps, and the mark of an open file
PATTERNS = re.compile(r"found\.\d{3}|.*~|~\$.*", re.DOTALL)
# data that Windows keeps beside a file's own, as other systems name them: `x.png:Zone.Identifier`
STREAMS = (
    *("zone.identifier", "zone.identifier:$data", "encryptable", "afp_afpinfo", "afp_resource"),
    *("com.dropbox.attrs", "com.apple.quarantine", "com.apple.lastuseddate#ps"),
)
COLONS = (":", "\uf03a", "\uf022")  # and what stands for a colon where no name may have one
NOTES = ("readme", "license", "licence", "copying", "notes", "changelog", "citation")
UNSHOWN = ("Cc", "Cs", "Zl", "Zp")  # control characters, undecodable bytes, ends of a line
MOST_LISTED = 20
MOST_NAMED = 3  # files in a line about many
STRINGS = "labels are strings: str(label) for each"
ONE_LINE = (
    "a label is one line of text, without control characters, half characters and marks that turn"
    " the writing round"
)
MAX_FILES = 100_000  # of a folder to adapt to


@dataclass(frozen=True)
class Files:
    """The files of one kind of input.

    A file beside the classes is passed over (a README, a split), unless it is named as one of
    these.
    """

    word: str  # of one: picture
    suffixes: tuple[str, ...]  # of those that are read
    several: str = ""  # of many, where it is not the word with an s
    # of those that are not → what to do with them
    convert: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What many of them are called."""
        return self.several or f"{self.word}s"

    @property
    def a_file(self) -> str:
        """What one of them is called where it is a file."""
        return f"a file of {self.word}" if self.several else f"a {self.word} file"

    def has(self, name: str) -> bool:
        """Whether a file of this name is taken for one of the kind."""
        stem, suffix = os.path.splitext(name.lower())
        notes = suffix == ".txt" and stem in NOTES
        return suffix in self.suffixes and not notes

    def conversion_hint(self, names: Iterable[str]) -> list[str]:
        """What to do with those of these files that have to be converted first."""
        hints = (self.convert.get(os.path.splitext(name.lower())[1]) for name in names)
        return list(dict.fromkeys(hint for hint in hints if hint))


Error = TypeVar("Error", bound=HandfulError)
Value = TypeVar("Value")
Fault = tuple[str, str | None]  # message and hint


def class_folders(path: str | Path, kind: Files) -> dict[str, list[Path]]:
    """{class: its files} of a folder with one sub-folder a class, both in order of name.

    Links are followed. Hidden files and what systems leave behind are passed over, and so are
    files beside the classes that are not named as those of `kind`. A SupportSetError lists
    everything else that is not as it should be: such files beside the classes, folders inside a
    class, classes without a file, links that lead nowhere, names that cannot be labels. No file is
    opened. A label is the folder's name, see `label_of`.
    """
    path = Path(path)
    if not os.path.isdir(path):  # where Path.is_dir raises, of names too long, this is False
        name = quote_path(path)
        there = os.path.exists(path)
        raise SupportSetError(
            f"{name} is a file, wanted a folder" if there else f"no folder {name}", hint=LABELS
        )
    faults: list[Fault] = []
    entries = _list_visible(path, faults)
    folders = [entry for entry in entries if _is_a(entry, "folder")]
    if not folders and not faults:
        raise SupportSetError(f"no sub-folders in {quote_path(path)}", hint=LABELS)
    for entry in entries:
        if entry.is_symlink() and not os.path.exists(entry):  # a class on a drive that is not there
            faults.append((f"{quote_path(path / entry.name)} is a link that leads nowhere", MEND))
        elif entry not in folders and (kind.has(entry.name) or kind.conversion_hint([entry.name])):
            words = f"{quote_path(entry.name)} lies in {quote_path(path)} itself"
            words += ", wanted it in a sub-folder"
            faults.append((words, LABELS))
    classes: dict[str, list[Path]] = {}
    for folder in folders:
        label = _label(folder.name, path, classes, faults)
        classes[label] = _files(path / folder.name, kind, faults)
    if faults:
        layout = f"{LABELS}, with nothing but its {kind.words} in it"
        raise join_faults(
            faults, f"things are wrong in {quote_path(path)}", SupportSetError, layout
        )
    return classes


def read_classes(
    path: str | Path,
    kind: Files,
    read: Callable[[Path], Value],
    *,
    most: int = MAX_FILES,
    meter: Meter = UNTOLD,
) -> Iterator[tuple[str, list[Value]]]:
    """Each class of a folder (see `class_folders`) with what `read` makes of each of its files.

    `meter` counts the files. SupportSetError above `most` files, before any is opened. InputError
    with all files that `read` refused, after the last class.
    """
    classes = class_folders(path, kind)
    count = sum(map(len, classes.values()))
    if count > most:
        raise SupportSetError(
            f"{count} {kind.words} in {quote_path(path)}, at most {most} are taken",
            hint="leave some of them out",
        )
    bad: dict[Path, InputError] = {}
    meter.expect(count)
    for label, files in classes.items():
        yield label, [value for _, value in read_each(files, read, bad, meter)]
    if bad:
        raise unreadable(bad, count, kind)


@dataclass
class Below:
    """What is in a folder and in those below it, as `files_below` finds it."""

    kind: Files
    files: list[Path] = field(default_factory=list)  # of the kind, in order of name
    faults: list[Fault] = field(default_factory=list)  # folders that cannot be listed
    others: list[str] = field(default_factory=list)  # the names of files that are passed over
    again: list[str] = field(default_factory=list)  # links to folders that were looked at before
    seen: set[tuple[int, int]] = field(default_factory=set)

    def look(self, folder: Path) -> None:
        """Look at a folder and those below it, each once, so that circles of links end."""
        try:
            status = os.stat(folder)
        except OSError as cause:
            self.faults.append((f"cannot list {quote_path(folder)}: {cause.strerror}", None))
            return
        if (status.st_dev, status.st_ino) in self.seen:
            self.again.append(quote_path(folder))
            return
        self.seen.add((status.st_dev, status.st_ino))
        for entry in _list_visible(folder, self.faults):
            if _is_a(entry, "folder"):
                self.look(folder / entry.name)
            elif self.kind.has(entry.name):  # what cannot be opened is said where it is read
                self.files.append(folder / entry.name)
            else:
                self.others.append(entry.name)

    def list_passed_over(self, folder: Path) -> list[str]:
        """A line for each reason why something in the folder is not looked at."""
        lines = []
        unread = [name for name in self.others if self.kind.conversion_hint([name])]
        for hint in self.kind.conversion_hint(unread):
            names = [name for name in unread if self.kind.conversion_hint([name]) == [hint]]
            ending = " and ".join(sorted({os.path.splitext(name.lower())[1] for name in names}))
            what = f"{_count(names, self.kind)} in {quote_path(folder)} passed over"
            lines.append(f"{what}, {ending} files are not read: {_name_few(names)}; {hint}")
        if others := [name for name in self.others if name not in unread]:
            what = f"{_count(others)} in {quote_path(folder)} passed over"
            lines.append(f"{what}, not named as {self.kind.words}: {_name_few(others)}")
        if self.again:
            several = "folders" if len(self.again) > 1 else "folder"
            what = f"{len(self.again)} {several} in {quote_path(folder)} passed over"
            lines.append(f"{what}, linked to what is looked at already: {_name_few(self.again)}")
        return lines


def files_below(folder: Path, kind: Files) -> Below:
    """The files of a kind in a folder and in those below it.

    Links are followed, and what `class_folders` passes over is passed over. Files with other
    endings are listed, as are folders that cannot be. SupportSetError where there is nothing else.
    """
    found = Below(kind)
    found.look(folder)
    if not found.files and not found.faults:
        endings = ", ".join(kind.suffixes)
        hints = [f"files whose names end with {endings}", *kind.conversion_hint(found.others)]
        raise SupportSetError(f"no {kind.words} in {quote_path(folder)}", hint="; ".join(hints))
    return found


def _count(names: Sequence[str], kind: Files | None = None) -> str:
    word, words = ("file", "files") if kind is None else (kind.word, kind.words)
    return f"1 {word}" if len(names) == 1 else f"{len(names)} {words}"


def _name_few(names: Sequence[str]) -> str:
    """The first few."""
    few = ", ".join(quote_path(name) for name in names[:MOST_NAMED])
    return few if len(names) <= MOST_NAMED else f"{few}, …"


def join_faults(faults: Iterable[Fault], what: str, kind: type[Error], hint: str | None) -> Error:
    """One error for all faults: one alone with its own hint, several as `3 {what}:` and a list."""
    faults = list(faults)
    if len(faults) == 1:
        return kind(faults[0][0], hint=faults[0][1])
    lines = [message for message, _ in faults[:MOST_LISTED]]
    if len(faults) > MOST_LISTED:
        lines.append(f"and {len(faults) - MOST_LISTED} more")
    return kind("\n  ".join([f"{len(faults)} {what}:", *lines]), hint=hint)


def read_each(
    files: Iterable[Path],
    read: Callable[[Path], Value],
    bad: dict[Path, InputError],
    meter: Meter = UNTOLD,
) -> Iterator[tuple[Path, Value]]:
    """Each file with what `read` makes of it; those that cannot be read go to `bad`.

    `meter`, which expects the files already, counts them.
    """
    for file in files:
        try:
            value = read(file)
        except InputError as error:
            bad[file] = error
        else:
            yield file, value
        meter.tick()


@dataclass(frozen=True)
class Unread:
    """A file that has no answer, and why."""

    file: str  # as that of an answer
    error: str
    hint: str | None = None


def unreadable(bad: Mapping[Path, HandfulError], count: int, kind: Files) -> InputError:
    """One error that lists the bad ones among `count` files, each with its reason."""
    faults = [(str(error), error.hint) for error in bad.values()]
    what = f"of {count} {kind.words} cannot be read"
    hints = ["mend them, or leave them out", *kind.conversion_hint(file.name for file in bad)]
    return join_faults(faults, what, InputError, "; ".join(hints))


def quote_path(path: str | Path) -> str:
    """A path for people: printable, and a long one cut."""
    text = make_printable(str(path)[:5000])
    return text if len(text) <= 400 else f"{text[:200]}…{text[-199:]}"


def make_printable(text: str) -> str:
    """The text with control characters, ends of lines and undecodable bytes escaped."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in UNSHOWN else c for c in text)


def _list_visible(folder: Path, faults: list[Fault]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as cause:
        faults.append((f"cannot list {quote_path(folder)}: {cause.strerror}", None))
        return []
    return [entry for entry in entries if not is_left_behind(entry.name)]


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or was left behind by a system."""
    lower = name.lower()
    streams = (f"{colon}{stream}" for colon in COLONS for stream in STREAMS)
    # some programs write the colon as nothing at all: x.pngZone.Identifier
    ends = lower.endswith((*streams, "zone.identifier"))
    known = lower in LEFT_BEHIND or PATTERNS.fullmatch(lower) is not None
    return name.startswith(".") or known or ends


def compose(name: str) -> str:
    """A name in Unicode's composed form (NFC): systems write the same name in different forms."""
    return unicodedata.normalize("NFC", name)


def label_of(
    label: object, what: str = "label", error: type[HandfulError] = SupportSetError
) -> str:
    """The label as a plain string in Unicode's composed form (NFC): the one rule for all labels.

    `error` where it is no string, or not one line of text that a terminal shows as it is; `what`
    names it there.
    """
    if not isinstance(label, str):
        raise error(
            f"{what} is {shown_value(label)} of type {type(label).__name__}, wanted a string",
            hint=STRINGS,
        )
    text = compose(str.__str__(label))  # for a member of a str Enum, its value
    if not text.strip() or not is_one_line(text):
        raise error(f"{what} is {shown_value(label)}, which cannot be a label", hint=ONE_LINE)
    return text


def _is_a(entry: os.DirEntry[str], kind: str) -> bool:
    try:
        return entry.is_dir() if kind == "folder" else entry.is_file()
    except OSError:  # a circle of links, a drive that has gone
        return False


def _label(name: str, path: Path, classes: dict[str, list[Path]], faults: list[Fault]) -> str:
    """The class that a folder names. Upper and lower case differ: `A` and `a` are two letters."""
    label = name
    try:
        label = os.fsencode(name).decode()  # UTF-8 on disk, whatever a locale reads it as
    except UnicodeError:
        pass  # of bytes that are no text at all
    try:
        label = label_of(label)
    except SupportSetError:
        words = (
            f"the folder {quote_path(name)} in {quote_path(path)} has a name that cannot be a label"
        )
        faults.append((words, f"rename it: {ONE_LINE}"))
    if label in classes:
        words = f"two folders in {quote_path(path)} are named {label}, in different Unicode forms"
        faults.append((words, "rename one, or put the files of both into one"))
    return label


def _files(folder: Path, kind: Files, faults: list[Fault]) -> list[Path]:
    known = len(faults)
    files: list[Path] = []
    for entry in _list_visible(folder, faults):
        file = folder / entry.name
        if _is_a(entry, "file"):
            files.append(file)
        elif _is_a(entry, "folder"):
            words = f"{quote_path(file)} is a folder inside a class, wanted {kind.a_file}"
            faults.append((words, f"move its {kind.words} up, or make it a class"))
        else:
            words = f"{quote_path(file)} is no file, and no link to one"
            faults.append((words, "remove it"))
    if not files and len(faults) == known:
        hint = "add one at least, or remove the folder"
        faults.append((f"no {kind.words} in {quote_path(folder)}", hint))
    return files
