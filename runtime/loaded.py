"""A package in memory with its engine: what a learner and its tasks share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from handful.runtime.package.manifest import InputSpec, Manifest

from .engine import Engine


@dataclass(frozen=True, eq=False)
class Loaded:
    """A package that was read, vetted and is ready to run; immutable."""

    manifest: Manifest = field(repr=False)
    path: Path
    identity: str = field(repr=False)  # the package's hash, to which saved tasks are bound
    _engine: Engine = field(repr=False)

    @property
    def name(self) -> str:
        """The package's name."""
        return self.manifest.name

    @property
    def input(self) -> InputSpec:
        """What an example has to be."""
        return self.manifest.input
