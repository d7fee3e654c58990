"""Lists of learners, data sources and recipes for the command line, without torch."""

from __future__ import annotations

import ast
import re
from itertools import takewhile
from pathlib import Path

from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import Manifest
from handful.runtime.package.read import SHIPPED, list_shipped

HERE = Path(__file__).parent
RECIPES = HERE / "recipes"
SENTENCE_ENDS = re.compile(r"\. (?=[A-Z])")

SOURCES = {
    "omniglot": "1623 handwritten characters of 50 alphabets, 20 drawings each; fetched if absent",
    "glyphs": "invented characters, drawn by a program; needs no files",
    "bands": "gestures of made-up persons with wrist bands: named classes; needs no files",
    "sinusoid": "regression: sinusoids of unknown amplitude and phase; needs no files",
    "sensor": "regression: sensors of unknown gain, offset, drift and saturation; needs no files",
    "navigation": "policies: a point that looks for a place it is not told; needs no files",
    "cart": "policies: carts of unknown mass, motor and friction; needs no files",
    "FOLDER": "pictures, sounds or readings, one sub-folder a class, or as data.files says",
    "FILE.npz": "arrays or embeddings with labels",
    "MODULE:CLASS": "an episode source of your own",
}

# downloads → the files that `handful data prepare` makes of them, each with a split of its name
COLLECTIONS = {
    "arabic_speech_commands": ("words", "keywords", "commands"),
    "pen_strokes": ("strokes", "pen"),
    "personal": ("myo", "activity"),
}


def recipes() -> list[str]:
    """The names of the recipes that come with handful."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def describe_learners() -> list[tuple[str, str]]:
    """Each learner's name, and the first line of its file: the method and its paper.

    Both are read from the source, where they stand once: `LEARNERS` names the learners, and the
    imports above it their files. Importing them would import torch.
    """
    folder = HERE / "learners"
    files: dict[str, Path] = {}
    for node in ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            files |= {alias.name: folder / f"{node.module}.py" for alias in node.names}
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "LEARNERS":
            assert isinstance(node.value, ast.Dict)
            named = zip(node.value.keys, node.value.values, strict=True)
    return [
        (ast.literal_eval(name), _first_line(files[ast.unparse(kind)]))
        for name, kind in named
        if name is not None
    ]


def _first_line(file: Path) -> str:
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0]


def describe_packages() -> list[tuple[str, str]]:
    """Each package that ships with handful, and what it is for.

    What it takes stands in its manifest, and what it was trained to do in the first sentence of its
    recipe.
    """
    return [(name, _purpose(read_manifest(SHIPPED / name))) for name in list_shipped()]


def _purpose(manifest: Manifest) -> str:
    from handful.runtime.inputs.examples import KINDS  # needs numpy

    spec, recipe = manifest.input, manifest.training.get("recipe")
    size = " × ".join(map(str, spec.shape))
    if spec.rate is not None:
        size = f"{spec.shape[0] / spec.rate:g} s at {spec.rate} Hz"
    what = KINDS[spec.kind].takes
    things = {"classification": "classes", "regression": "functions", "policy": "policies"}
    text = f"{things[manifest.task]} of {what}, {size}"
    if manifest.task == "policy":
        text = f"a policy by observations of {size}"
    if recipe not in recipes():
        return text
    lines = (RECIPES / f"{recipe}.toml").read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.removeprefix("#").strip() for line in takewhile(_is_comment, lines))
    return f"{text}: {SENTENCE_ENDS.split(comment)[0].removesuffix('.')}"


def _is_comment(line: str) -> bool:
    return line.startswith("#")
