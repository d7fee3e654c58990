"""`handful report`: a page about a task: its examples, its answers, and what to add next.

The page is one file that loads nothing and runs nothing. Every picture is in it once, as a symbol
that is shown wherever it is named.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from handful.runtime.arrays import Array
from handful.runtime.errors import TaskFileError
from handful.runtime.inputs.examples import KINDS, to_batch
from handful.runtime.inputs.folders import make_printable
from handful.runtime.inputs.pictures import jpeg
from handful.runtime.package.files import check_free, write_atomic
from handful.runtime.package.manifest import InputSpec
from handful.runtime.support import gather, number_examples
from handful.runtime.task import Task

from .near import near_pairs
from .on_files import folder_examples, folder_origins, open_task
from .tested import NONE, Checked, Outcome, measure
from .text import probability

MOST_ANSWERS = 200  # on the page, the wrong ones first
FEW = 5  # examples of a class, below which more of them are worth the most
MOST_ADVICE = 10  # lines of one kind
SIDE = 96  # pixels of a picture's longer side, and units of a drawing's
SMALL = 48  # pixels of a side below which a picture is enlarged, its pixels sharp
STYLE = """
:root { color-scheme: light dark; --text: #222; --page: #fff; --rule: #ddd; --wrong: #fde8e4;
  --paper: #f6f6f6; --line0: #0072b2; --line1: #d55e00; --line2: #009e73; --line3: #b8569a }
@media (prefers-color-scheme: dark) {
  :root { --text: #ddd; --page: #16181b; --rule: #3a3d42; --wrong: #4a241f; --paper: #23262b;
    --line0: #6db8ec; --line1: #f2904d; --line2: #46cf9f; --line3: #e39ccb } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; color: var(--text); background: var(--page) }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; display: block; overflow-x: auto }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: middle }
.symbols { position: absolute; width: 0; height: 0 }
.picture { width: 72px; height: 72px; margin: 2px; background: var(--paper) }
.small { image-rendering: pixelated }
polyline { fill: none; stroke: var(--line0); stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round }
.line1 { stroke: var(--line1) }
.line2 { stroke: var(--line2) }
.line3 { stroke: var(--line3) }
.wrong { background: var(--wrong) }
"""
# no address of any kind is opened, whatever a label says
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(
    task: Path,
    out: Path,
    *,
    examples: Path | None = None,
    test: Path | None = None,
    package: str | Path | None = None,
    unknown: float | None = None,
    force: bool = False,
) -> Outcome | None:
    """Write the page to `out`, whole or not at all; returns what the test found.

    A task holds embeddings alone: the folder `examples` it was adapted to gives the names and the
    pictures. `test` is a folder of other files, as for `measure_folder`.
    """
    check_free(out, TaskFileError, force=force)
    loaded = open_task(task, package)
    loaded._of("classification", "report")
    pictures = Pictures()
    shown = _support(loaded, examples, pictures)
    listing = Listing()
    found = None if test is None else measure(loaded, test, unknown, listing.add)
    try:
        write_atomic(out, _page(task.name, loaded, shown, found, listing, pictures).encode())
    except OSError as cause:
        raise TaskFileError(f"cannot write {out}: {cause.strerror}") from cause
    return found


class Pictures:
    """The pictures of the page, each kept once whatever shows it."""

    def __init__(self) -> None:
        """None yet."""
        self._symbols: dict[str, str] = {}  # what is drawn → its id

    def add(self, task: Task, example: Array, file: str) -> str:
        """HTML that shows an example as the package sees it; empty where it cannot be drawn."""
        drawing = drawing_of(example, task.learner.input)
        if not drawing:
            return ""
        name = self._symbols.setdefault(drawing, f"p{len(self._symbols)}")
        title = html_text(file)
        shown = f'<title>{title}</title><use href="#{name}"></use>'
        return f'<svg class="picture" role="img">{shown}</svg>'

    def symbols(self) -> str:
        """All of them, for the beginning of the page, where they take no room."""
        parts = [
            f'<symbol id="{name}" viewBox="0 0 {SIDE} {SIDE}">{drawing}</symbol>'
            for drawing, name in self._symbols.items()
        ]
        return f'<svg class="symbols">{"".join(parts)}</svg>' if parts else ""


def drawing_of(example: Array, spec: InputSpec) -> str:
    """SVG of an example in a square of SIDE units: a small JPEG, or lines; empty for neither."""
    kind = KINDS[spec.kind]
    if kind.pixels is not None:
        pixels = kind.pixels(example, spec)
        look = ' class="small"' if max(pixels.shape[:2]) <= SMALL else ""
        data = base64.b64encode(jpeg(pixels, SIDE)).decode()
        size = f'width="{SIDE}" height="{SIDE}"'
        return f'<image{look} {size} href="data:image/jpeg;base64,{data}"></image>'
    drawn = [] if kind.lines is None else kind.lines(example, spec)
    inner = SIDE - 12  # so that no line is cut at the edge
    lines = []
    for at, line in enumerate(drawn):
        points = " ".join(f"{6 + inner * x:.1f},{6 + inner * y:.1f}" for x, y in line)
        lines.append(f'<polyline class="line{at % 4}" points="{points}"></polyline>')
    return "".join(lines)


def html_text(value: object) -> str:
    """Anybody's text as it stands: nothing in it is markup, and nothing turns the writing round."""
    marks = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    plain = "".join(f"\\u{ord(c):04x}" if c in marks else c for c in str(value))
    return escape(make_printable(plain))


@dataclass(frozen=True)
class Shown:
    """A support example as the page shows it."""

    name: str
    picture: str  # HTML; empty where there is none


def _support(task: Task, folder: Path | None, pictures: Pictures) -> list[Shown]:
    """Names and pictures of the support examples: those in the folder with the same embedding."""
    shown = [Shown(name, "") for name in number_examples(task._support.labels)]
    if folder is None:
        return shown
    learner = task.learner
    examples = folder_examples(folder, learner.manifest)
    origins = folder_origins(folder, learner.input, examples)
    given = gather(learner._engine, examples, None)
    read = [example for of_class in examples.values() for example in of_class]
    rows = zip(given.x, given.labels, origins, read, strict=True)
    # an example's embedding has the same bits in any support set
    known = {(label, row.tobytes()): (origin.source, x) for row, label, origin, x in rows}
    for i, (row, label) in enumerate(zip(task._support.x, task._support.labels, strict=True)):
        file, example = known.get((label, row.tobytes()), (label, row))
        if file != label:  # windows of recordings keep their numbers
            shown[i] = Shown(file, pictures.add(task, example, file))
    return shown


class Listing:
    """The answers on the page with their examples, taken as the files are read: each once."""

    def __init__(self) -> None:
        """Nothing is listed yet."""
        self._kept: list[tuple[Checked, Array]] = []

    def add(self, checked: Checked, example: Array) -> None:
        """One answer more; of many only those are kept that will be listed."""
        self._kept.append((checked, example))
        if len(self._kept) > 2 * MOST_ANSWERS:
            self._kept = self.answers()

    def answers(self) -> list[tuple[Checked, Array]]:
        """The wrong ones, the most confident first; then the right ones, the least so first."""

        def place(kept: tuple[Checked, Array]) -> tuple[bool, float, str]:
            checked, answer = kept[0], kept[0].answer
            return (
                (True, answer.score or 0, "")
                if checked.right
                else (False, -(answer.score or 0), answer.file)
            )

        return sorted(self._kept, key=place)[:MOST_ANSWERS]


def _page(
    name: str,
    task: Task,
    shown: list[Shown],
    found: Outcome | None,
    listing: Listing,
    pictures: Pictures,
) -> str:
    manifest = task.learner.manifest
    parts = [
        f"<p>Package {html_text(manifest.name)}, learner {html_text(manifest.learner)}:"
        f" {len(task.classes)} classes, {len(shown)} examples.</p>",
        "<h2>What to add next</h2>",
        "<ul>" + "".join(f"<li>{line}</li>" for line in _advice(task, shown, found)) + "</ul>",
        "<h2>Support examples</h2>",
        _classes(task, shown, found),
    ]
    if found is not None:
        right = sum(c.right for c in found.checked)
        parts += [
            f"<h2>Answers: {100 * found.accuracy:.1f} % right</h2>",
            f"<p>{right} of {len(found.checked)}. A row for each class, a column for each"
            " answer:</p>",
            _confusion(found),
            *(f"<p>Cannot be read: {html_text(file.error)}</p>" for file in found.unread),
            _answers(task, shown, found, listing.answers(), pictures),
        ]
    return html_page(f"handful: {name}", [pictures.symbols(), *parts])


def _advice(task: Task, shown: list[Shown], found: Outcome | None) -> list[str]:
    """What is worth the most: wrong labels first, then confused classes, then small ones."""
    labels = task._support.labels
    lines = [
        f"Look at {html_text(shown[pair.first].name)} ({html_text(labels[pair.first])}) and"
        f" {html_text(shown[pair.second].name)} ({html_text(labels[pair.second])}): they are nearly"
        " the same, in two classes."
        for pair in near_pairs(task._support.x, labels)
        if labels[pair.first] != labels[pair.second]
    ][:MOST_ADVICE]
    for wanted, label, count in [] if found is None else found.confused[:MOST_ADVICE]:
        of = found.per_class[wanted][1] if found else 0
        lines.append(_advise_confused(wanted, label, count, of, wanted in task.classes))
    few = [(count, label) for label, count in task.counts.items() if count < FEW]
    lines += [
        f"Add examples of {html_text(label)}: it has {count}." for count, label in sorted(few)
    ][:MOST_ADVICE]
    if found is None:
        lines.append("Test the task on other files: <code>--test FOLDER</code> shows its answers.")
    return lines or [f"Nothing was confused, and every class has {FEW} examples or more."]


def _advise_confused(wanted: str, label: str | None, count: int, of: int, known: bool) -> str:
    times = f"{count} of its {of} answers"
    if not known:
        return (
            f"Give examples like {html_text(wanted)} as negatives, or ask with a stricter"
            f" <code>--unknown</code>: {times} were {html_text(label)}."
        )
    if label is None:
        return f"Add examples of {html_text(wanted)}: {times} were none of the classes."
    return (
        f"Add examples of {html_text(wanted)} and {html_text(label)} that show the difference:"
        f" {times} were {html_text(label)}."
    )


def _classes(task: Task, shown: list[Shown], found: Outcome | None) -> str:
    accuracy = {} if found is None else found.per_class
    rows = []
    for label, count in task.counts.items():
        own = [s for s, of in zip(shown, task._support.labels, strict=True) if of == label]
        right, tested = accuracy.get(label, (0, 0))
        share = f"{right} of {tested}" if tested else "not tested"
        rows.append((html_text(label), str(count), share, "".join(s.picture for s in own)))
    return html_table(("class", "examples", "right", "pictures"), rows)


def html_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], wrong: Sequence[bool] = ()
) -> str:
    """A table of cells that are HTML already; rows that are `wrong` are marked."""
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
    for at, row in enumerate(rows):
        mark = ' class="wrong"' if at < len(wrong) and wrong[at] else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _confusion(found: Outcome) -> str:
    names = [NONE if label is None else label for label in found.answers]
    rows = []
    for label, counts in zip(found.classes, found.confusion, strict=True):
        rows.append((html_text(label), *(str(count or "") for count in counts)))
    return html_table(("class", *map(html_text, names)), rows)


def _answers(
    task: Task,
    shown: list[Shown],
    found: Outcome,
    listed: list[tuple[Checked, Array]],
    pictures: Pictures,
) -> str:
    seen = KINDS[task.learner.input.kind].pixels is not None  # a picture says which file it is
    named = (lambda file: "") if seen else html_text
    rows = []
    for checked, example in listed:
        answer, beside = checked.answer, ("", "")
        if shown:  # a task of named classes may have no example
            nearest = _nearest(task, example)
            of = html_text(task._support.labels[nearest])
            beside = (shown[nearest].picture + named(shown[nearest].name), of)
        rows.append(
            (
                pictures.add(task, example, answer.file) + named(answer.file),
                html_text(checked.wanted),
                html_text(NONE if answer.label is None else answer.label),
                probability(answer),
                *beside,
            )
        )
    head = ("file", "class", "answer", "confidence", "nearest example", "of class")
    more = len(found.checked) - len(listed)
    note = f" {more} more are right, and surer." if more else ""
    return (
        f"<p>The wrong answers, the most confident first; then the right ones, the least confident"
        f" first.{note}</p>" + html_table(head, rows, [not c.right for c, _ in listed])
    )


def _nearest(task: Task, example: Array) -> int:
    """The support example whose embedding is nearest to this one's."""
    batch, _ = to_batch(example, task.learner.input, "query")
    query = task._engine.embed(batch).reshape(-1)
    support = task._support.x.reshape(len(task._support.x), -1)
    return int(((support - query) ** 2).sum(axis=1).argmin())


def html_page(title: str, parts: Iterable[str]) -> str:
    """The whole page, which loads nothing."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html_text(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
