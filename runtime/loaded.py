"""A package in memory with its engine: what a learner and its tasks share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

from handful.runtime.package.manifest import InputSpec, Manifest

from .engine import Engine
from .errors import AdaptError


class Shared:
    """What cannot change and is bound to sessions in this process: copies are the thing itself."""

    def __copy__(self) -> Self:
        """The same: it cannot be changed."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """The same: it cannot be changed."""
        return self


@dataclass(frozen=True, eq=False)
class Loaded(Shared):
    """A package that was read, vetted and is ready to run; immutable."""

    manifest: Manifest = field(repr=False)
    path: Path
    identity: str = field(repr=False)  # the package's hash, to which saved tasks are bound
    _engine: Engine = field(repr=False)

    def __reduce__(self) -> NoReturn:
        """Sessions belong to their process, and a pickle would run code where it is read."""
        raise AdaptError(
            "a learner cannot be pickled",
            hint="give the other process the package's path, and call handful.load(path) there",
        )

    @property
    def name(self) -> str:
        """The package's name."""
        return self.manifest.name

    @property
    def input(self) -> InputSpec:
        """What an example has to be."""
        return self.manifest.input
