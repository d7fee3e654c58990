"""`handful check`: what data hold, what is wrong with them, and what can be trained on them.

For each recipe it says which settings have to be lowered, and to what.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from handful.runtime.errors import HandfulError
from handful.runtime.tools.text import pairs, table
from handful.trainer.data import DataConfig, DataError, LabelledSet, embed
from handful.trainer.data.backbone import embed_few
from handful.trainer.data.backbones.named import BACKBONES
from handful.trainer.data.config import DRAWN
from handful.trainer.data.domains import DomainSet, describe_domains, list_doubts
from handful.trainer.data.functions import is_functions
from handful.trainer.data.layout import pattern_of
from handful.trainer.data.record import is_name
from handful.trainer.data.sources.download import Progress, silent
from handful.trainer.data.splits import PARTS
from handful.trainer.data.survey import Survey, badness, spread, survey
from handful.trainer.evaluation import check_fits
from handful.trainer.form.learner import Learner
from handful.trainer.listing import recipes
from handful.trainer.training.config import MetaConfig, RunConfig, data_changes, data_from_dict
from handful.trainer.training.data import check_suffices, drop_small, needs, warn_uncheckable
from handful.trainer.training.folder import build_learner
from handful.trainer.training.recipes import read_recipe

AXES = {1: "vectors", 2: "series", 3: "energies"}  # of an example that is no picture
NETWORKS = {"conv1d": "series", "trace": "series", "conv4": "energies", "residual": "energies"}
SKIP_SMALL = "--skip-small"
WITHIN: Mapping[str, Any] = {"within": 0.0, "validation_within": False}
TITLES = (  # of the commands: for photographs or not, with settings lowered or not
    ("photographs, can be trained by", True, False),
    ("photographs, with settings lowered, by", True, True),
    ("can be trained by", False, False),
    ("with settings lowered, by", False, True),
)
MOST_LISTED = 10  # of each kind of fault in the text; the JSON has all
MOST_VALUES = 5  # of sizes, modes, rates
HEAD = ("part", "classes", "examples", "least", "median", "most", "largest task")
BADNESS = ("within a class", "in two classes", "in two parts")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of `handful check`."""

    changes: Sequence[str] = ()  # settings of the data, as data.image_size=32
    skip_bad: bool = False  # as training would be asked to
    skip_small: bool = False
    backbone: str | None = None  # short for data.backbone

    def config(self, source: str) -> DataConfig:
        """The settings of the data."""
        if is_functions(source):
            raise DataError(
                f"tasks of {source} are made by a program, which has no examples to check",
                hint="what can be checked: a folder, an .npz file, omniglot, glyphs",
            )
        changed = data_changes(
            self.changes,
            why="data are checked by the settings of data alone",
            such_as="data.image_size=32 or data.window=64",
        )
        data = {"source": source} | ({} if is_name(source) else {"split": "random"})
        data |= {"backbone": self.backbone} if self.backbone else {}
        return data_from_dict({"data": data | changed}, where="--set")

    @property
    def settings(self) -> list[str]:
        """The changes, the backbone's among them."""
        named = [f"data.backbone={json.dumps(self.backbone)}"] if self.backbone else []
        return [*self.changes, *named]


@dataclass(frozen=True)
class Checked:
    """What was found."""

    survey: Survey
    refused: tuple[str, ...]  # why training would refuse the data
    remarks: tuple[str, ...]
    recipes: tuple[Suited, ...]

    def as_text(self) -> str:
        """Paragraphs and a table."""
        found = self.survey
        blocks = [table(HEAD, [_row(part, found) for part in PARTS if part in found.parts])]
        if named := _domains(found):
            blocks.append("\n".join(f"{part}: {words}" for part, words in named.items()))
        facts = [*_counts(found), *_ranges(found)]
        blocks += [pairs(facts)] if facts else []
        if found.bad:
            lines = [f"unreadable files: {len(found.bad)}", *_first(found.bad.values())]
            blocks.append("\n  ".join(lines))
        if found.duplicates:
            lines = [f"the same bytes more than once: {len(found.duplicates)} times"]
            said = (f"{BADNESS[badness(g)]}: {' = '.join(map(str, g))}" for g in found.duplicates)
            blocks.append("\n  ".join([*lines, *_first(list(said))]))
        fitting = [recipe for recipe in self.recipes if not recipe.refused]
        for title, photographs, lowered in TITLES:
            lines = [
                recipe.line()
                for recipe in fitting
                if (recipe.photographs, bool(recipe.lowered)) == (photographs, lowered)
            ]
            if lines:
                blocks.append("\n  ".join([f"{title}:", *lines]))
        blocks += [f"note: {remark}" for remark in self.remarks]
        return "\n\n".join(blocks)

    def as_json(self) -> dict[str, Any]:
        """The same, complete."""
        found = self.survey
        return {
            "source": found.config.source,
            "ok": not self.refused,
            "refused": list(self.refused),
            "parts": {
                part: {
                    "classes": dict(zip(data.classes, data.counts.tolist(), strict=True)),
                    "examples": spread(data.counts.tolist()),
                    "largest_way": len(data.classes),
                    "largest_shot": int(data.counts.min()) - 1,
                }
                for part, data in found.parts.items()
            },
            "domains": _domains(found),
            "recordings": {
                part: {
                    name: dict(zip(data.classes, counts, strict=True))
                    for name, counts in zip(data.domains, data.recordings(), strict=True)
                }
                for part, data in found.parts.items()
                if isinstance(data, DomainSet)
            },
            "counts": found.counts,
            "ranges": found.ranges,
            "unreadable": found.bad,
            "duplicates": [
                {"where": BADNESS[badness(group)], "places": [p._asdict() for p in group]}
                for group in found.duplicates
            ],
            "recipes": [
                {
                    "recipe": recipe.recipe,
                    "lowered": list(recipe.lowered),
                    "refused": recipe.refused,
                    "command": recipe.line(),
                }
                for recipe in self.recipes
            ],
            "remarks": list(self.remarks),
        }


def check_command(source: str, request: Request, progress: Progress = silent) -> Checked:
    """Look at a folder, an .npz file or a named source, with the settings of a recipe's [data]."""
    config = request.config(source)
    found = survey(config, progress)
    refused = [*_explain_refusal(found, request)]
    recipes: list[Suited] = []
    validated = found.parts.get("meta_val")
    alone = validated is not None and len(validated.classes) < 2
    if not refused and not alone:
        options = ["--skip-bad"] if found.bad else []
        options += [SKIP_SMALL] if request.skip_small else []
        as_learned = embed_few if config.backbone else embed
        try:
            train, validation = (
                as_learned(found.parts[part], config) for part in ("meta_train", "meta_val")
            )
            given = Given(config, request.settings, train, validation)
            if found.colour and not config.backbone:
                known = find_recipes(given.with_backbone(), options)
                recipes = [replace(recipe, photographs=True) for recipe in known]
            recipes += find_recipes(given, options)
        except DataError as error:  # a backbone or a front end that these examples do not suit
            refused.append(_join_hint(error))
    remarks = warn_uncheckable(found.parts["meta_test"]) if "meta_test" in found.parts else []
    remarks += list_doubts(found.parts)
    if any(recipe.lowered for recipe in recipes) and not request.skip_small:
        remarks += _much_smaller(found)
    remarks += [f"{r.recipe} does not fit these data: {r.refused}" for r in recipes if r.refused]
    if validated is not None and alone:  # a matter of the split, not of the files
        remarks.append(
            f"meta_val has one class, {validated.classes[0]}, training validates on two or more:"
            " add classes, or list others in a split file"
        )
    elif not refused and not recipes:
        remarks.append("no recipe reads such examples; write one, see docs/training.md")
    return Checked(found, tuple(refused), tuple(remarks), tuple(recipes))


def _explain_refusal(found: Survey, request: Request) -> Iterator[str]:
    """Why no setting of a recipe makes training accept the data."""
    if found.bad and not request.skip_bad:
        yield f"{len(found.bad)} files cannot be read: mend or remove them, or say --skip-bad"
    yield from map(_join_hint, found.faults)
    for part in ("meta_train", "meta_val"):
        if part not in found.parts:
            continue
        data = found.parts[part]
        if isinstance(data, DomainSet):
            try:
                data.check(data.size(2, 1, 1), where=part)
            except DataError as error:
                yield _join_hint(error)
            continue
        if len(data.classes) < 2 and part == "meta_train":
            yield f"{part} has one class, {data.classes[0]}, a task needs two or more"
        smallest = int(data.counts.argmin())
        if int(data.counts[smallest]) < 2 and not request.skip_small:
            yield (
                f"class {data.classes[smallest]} of {part} has one example, wanted one to adapt to"
                " and another to ask about; --skip-small leaves it out"
            )


def _domains(found: Survey) -> dict[str, str]:
    """What the persons of each part are, where the classes are named."""
    sets = found.parts.items()
    return {part: describe_domains(data) for part, data in sets if isinstance(data, DomainSet)}


def _much_smaller(found: Survey) -> Iterator[str]:
    """Where the smallest class decides alone how large tasks can be."""
    for part in ("meta_train", "meta_val"):
        data = found.parts[part]
        if data.named is not None:
            continue
        smallest = int(data.counts.argmin())
        least, middle, _ = spread(data.counts.tolist())
        if 2 * least <= middle:
            yield (
                f"{data.classes[smallest]} has {least:g} examples, half of the classes of {part}"
                f" have {middle:g} or more, and settings are lowered to the smallest: --skip-small"
                " leaves such classes out"
            )


def _join_hint(error: DataError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)


def _row(part: Any, found: Survey) -> tuple[Any, ...]:
    data = found.parts[part]
    least, middle, most = spread(data.counts.tolist())
    largest = f"{len(data.classes)}-way, {least} for shot + queries"
    if data.named is not None:
        largest = f"a domain's, {len(data.classes)}-way"
    return part, len(data.classes), len(data.x), least, f"{middle:g}", most, largest


def _counts(found: Survey) -> Iterator[tuple[str, str]]:
    for what, values in found.counts.items():
        shown = [f"{value} ({count})" for value, count in list(values.items())[:MOST_VALUES]]
        if len(values) > MOST_VALUES:
            shown.append(f"and {len(values) - MOST_VALUES} others")
        yield what, ", ".join(shown)


def _ranges(found: Survey) -> Iterator[tuple[str, str]]:
    for what, (least, middle, most) in found.ranges.items():
        yield what, f"{least:.3g} to {most:.3g}, median {middle:.3g}"


def _first(lines: Any) -> list[str]:
    """So many, and how many more."""
    lines = list(lines)
    more = len(lines) - MOST_LISTED
    return [*lines[:MOST_LISTED], *([f"and {more} more"] if more > 0 else [])]


@dataclass(frozen=True)
class Suited:
    """A recipe for examples of this kind, and what has to be changed for these data."""

    recipe: str
    command: tuple[str, ...]  # that trains by it
    lowered: tuple[str, ...] = ()  # settings, as meta.way=[3]
    refused: str | None = None  # why no lower setting helps
    photographs: bool = False  # by what a frozen backbone makes of pictures in colour

    def line(self) -> str:
        """The command, as a shell reads it."""
        return shlex.join(self.command)


class Given(NamedTuple):
    """The data that recipes are looked for, as a run would read them."""

    data: DataConfig
    changes: Sequence[str]  # the settings of the data, as data.seed=1
    train: LabelledSet
    validation: LabelledSet

    def with_backbone(self) -> Given:
        """As a known backbone gives it; nothing is embedded, and nothing downloaded."""
        name, backbone = next(iter(BACKBONES.items()))
        train, validation = (
            part.with_features(torch.zeros(len(part.x), backbone.features))
            for part in (self.train, self.validation)
        )
        changes = [*self.changes, f"data.backbone={name}"]
        return Given(replace(self.data, backbone=Path(name)), changes, train, validation)


def find_recipes(given: Given, options: Sequence[str]) -> list[Suited]:
    """Every recipe for such examples.

    `options` are what else the commands begin with, as --skip-bad. With --skip-small among them
    a recipe's settings are lowered to the classes that it does not leave out.
    """
    data, changes, train, validation = given
    kinds = [AXES.get(train.x.ndim - 1)] if train.input.kind != "image" else ["pictures"]
    if data.rate is not None:
        kinds.append("sounds")
    found = []
    for name in recipes():
        recipe = read_recipe(name, ())
        if _kind(recipe) not in kinds:
            continue
        wanted = [*_list_differences(given, recipe), *changes]
        source = f"data.source={json.dumps(data.source, ensure_ascii=False)}"
        config = read_recipe(name, [source, *wanted])
        kept = train, validation
        if SKIP_SMALL in options:
            kept = _large(config, train, validation)
        lowered, settings = lower(config, *kept)
        where = [] if data.source == recipe.data.source else ["--data", data.source]
        sets = [word for change in (*wanted, *settings) for word in ("--set", change)]
        command = ("handful", "train", name, *where, *options, *sets, "--out", "RUN")
        try:
            check(lowered, *kept)
            found.append(Suited(name, command, tuple(settings)))
        except HandfulError as error:
            found.append(Suited(name, command, tuple(settings), str(error)))
    return found


def _large(
    config: RunConfig, train: LabelledSet, validation: LabelledSet
) -> tuple[LabelledSet, LabelledSet]:
    """The classes that --skip-small keeps; all where it would keep too few, as training says."""
    needed = needs(config)
    try:
        kept = (drop_small(train, needed["meta_train"], where="")[0],
                drop_small(validation, needed["meta_val"], where="")[0])  # fmt: skip
    except DataError:
        return train, validation
    return kept


def lower(
    config: RunConfig, train: LabelledSet, validation: LabelledSet
) -> tuple[RunConfig, list[str]]:
    """The settings with tasks that these data can fill, and the assignments that make them so."""
    settings: list[str] = []
    for section in ("meta", "pretrain"):
        meta = getattr(config, section)
        if meta is None:
            continue
        smaller = _make_smaller(meta, train, validation)
        config = replace(config, **{section: replace(meta, **smaller)})
        try:
            alone = replace(config, pretrain=None) if section == "meta" else config
            check_suffices(alone, train, validation)
        except HandfulError:  # groups that are absent, or too small
            smaller |= {n: off for n, off in WITHIN.items() if getattr(meta, n) != off}
            config = replace(config, **{section: replace(meta, **smaller)})
        settings += [f"{section}.{name}={json.dumps(value)}" for name, value in smaller.items()]
    return config, settings


def check(config: RunConfig, train: LabelledSet, validation: LabelledSet) -> None:
    """Refuse what training would refuse before its first step."""
    check_suffices(config, train, validation)
    learner, meta = build_learner(config, train), config.meta
    for way in meta.way:
        for shot in meta.shot:
            size = train.size(way, shot, meta.queries)
            check_fits(learner, train, size, where="the meta-training set", prefix="meta.")
    _fits_validation(learner, meta, validation)


def _fits_validation(learner: Learner, meta: MetaConfig, validation: LabelledSet) -> None:
    size = meta.validation_size
    check_fits(learner, validation, size, where="the validation set", prefix="meta.validation_")


def _make_smaller(meta: MetaConfig, train: LabelledSet, validation: LabelledSet) -> dict[str, Any]:
    """The settings that are too large, as large as they may be, queries before shots."""
    if train.named is not None:  # a class gives what it has, and each task has all of them
        return {}
    fewest, fewest_validated = int(train.counts.min()), int(validation.counts.min())
    shot = tuple(dict.fromkeys(max(1, min(k, fewest - 1)) for k in meta.shot))
    validation_shot = max(1, min(meta.validation_shot, fewest_validated - 1))
    way = tuple(dict.fromkeys(max(2, min(n, len(train.classes))) for n in meta.way))
    # a head of as many outputs as the largest training task has cannot be validated on more
    most = len(validation.classes) if way == meta.way else min(len(validation.classes), max(way))
    possible = {
        "way": way,
        "shot": shot,
        "queries": max(1, min(meta.queries, fewest - max(shot))),
        "validation_way": max(2, min(meta.validation_way, most)),
        "validation_shot": validation_shot,
        "validation_queries": max(
            1, min(meta.validation_queries, fewest_validated - validation_shot)
        ),
    }
    return {name: value for name, value in possible.items() if value != getattr(meta, name)}


def _list_differences(given: Given, recipe: RunConfig) -> list[str]:
    """Assignments for what the recipe says of its own data, and is not so of these."""
    data, changes, train, _ = given
    names = [] if data.source in DRAWN else ["split"]
    if data.source.endswith(".npz"):
        names += ["array", "labels"]
    if data.source not in DRAWN:
        names += ["domain", "recording"]
    if Path(data.source).is_dir() and (pattern := pattern_of(data)):
        domain, recording = pattern.roles(data)
        data = replace(data, domain=domain, recording=recording)
    own = len(recipe.data.channels or ())
    if (
        own
        and recipe.data.whole is None
        and (Path(data.source).is_dir() or train.x.shape[-1] != own)
    ):
        names += ["channels", "places", "states"]  # the recipe's are of its own data
    said = {change.partition("=")[0].strip() for change in changes}
    values = ((name, getattr(data, name), getattr(recipe.data, name)) for name in names)
    return [
        f"data.{name}={_toml(value if value is not None else type(other)())}"
        for name, value, other in values
        if (value or None) != (other or None) and f"data.{name}" not in said
    ]


def _toml(value: str | Sequence[str]) -> str:
    """A word as it is, other text in quotes, and lists of texts."""
    if isinstance(value, str) and value.isidentifier():
        return value
    return json.dumps(value, ensure_ascii=False)


def _kind(recipe: RunConfig) -> str:
    """The kind of examples that a recipe's network reads."""
    if is_functions(recipe.data.source):
        return "functions"
    if recipe.data.rate is not None:
        return "sounds"
    network = getattr(getattr(recipe.settings, "network", None), "kind", "")
    if is_name(recipe.data.source) and NETWORKS.get(network) != "series":
        return "pictures"
    return NETWORKS.get(network, "vectors")
