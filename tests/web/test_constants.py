"""Constants that both runtimes have by the same name, in modules of one purpose, are equal."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from ..each import each
from .node import WEB

# a module of web/src, and those of handful.runtime whose constants it has
MODULES = {
    "advantages": ["rollout"],
    "confidence": ["confidence"],
    "engine": ["engine"],
    "inputs/arrays": ["arrays"],
    "inputs/examples": ["inputs.examples"],
    "inputs/pictures": ["inputs.resize"],
    "inputs/series": ["inputs.series"],
    "inputs/sounds": ["inputs.sounds"],
    "learner": ["task_file"],
    "manifest": ["package.decode", "package.flow", "package.manifest", "package.rules"],
    "negatives": ["negatives"],
    "npz": ["package.npz"],
    "package": ["package.archive"],
    "task_file": ["task_file"],
    "unlike": ["unlike"],
    "verify": ["tools.golden"],
    "vetting/kernels": ["vetting.kernels"],
    "vetting/operators": ["vetting.operators"],
    "vetting/protobuf": ["vetting.protobuf"],
    "vetting/sizes": ["vetting.numbers"],
    "vetting/vet": ["vetting.vet"],
}
NUMBERS = re.compile(r"^(?:export )?const ([A-Z][A-Z_]*) = ([-\[\]\d., _*en]+?)(?: //.*)?$", re.M)
# too few to be found would mean that none is compared
LEAST = 50


def numbers_of(module: str) -> dict[str, Any]:
    """The constants of a module in JavaScript that are numbers, or lists of them."""
    text = (WEB / "src" / f"{module}.js").read_text(encoding="utf-8")
    return {
        name: eval(re.sub(r"(?<=\d)n", "", value), {"__builtins__": {}})  # our own file
        for name, value in NUMBERS.findall(text)
    }


def in_both(module: str) -> dict[str, tuple[Any, Any]]:
    """The constants that its counterparts have as well: there, and here."""
    found = {}
    for name, value in numbers_of(module).items():
        for counterpart in MODULES[module]:
            here = vars(import_module(f"handful.runtime.{counterpart}")).get(name)
            if isinstance(here, int | float | tuple):
                found[name] = (value, list(here) if isinstance(here, tuple) else here)
    return found


@each("module", MODULES)
def test_they_are_equal(module: str) -> None:
    for name, (there, here) in in_both(module).items():
        assert there == here, f"{module}.js: {name}"


def test_enough_of_them_are_compared() -> None:
    assert sum(len(in_both(module)) for module in MODULES) >= LEAST
