"""What the trainer's tests share: small synthetic data, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handful.trainer.data.labelled import LabelledSet
from handful.trainer.export.package import export
from handful.trainer.workers import Shape, Workers, workers

from . import cases, small


@pytest.fixture(scope="session")
def pictures() -> LabelledSet:
    """60 classes of 8 pictures 20×20: a random prototype each, and noise."""
    return small.pictures()


@pytest.fixture(scope="session")
def vectors() -> LabelledSet:
    """60 classes of 8 vectors."""
    return small.vectors()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The exported package of a case, made once."""
    place = tmp_path_factory.mktemp("exported")

    def of(name: str) -> Path:
        if not (place / name).exists():
            export(cases.source(cases.case(name)), place / name)
        return place / name

    return of


@pytest.fixture(scope="session")
def pool() -> Iterator[Workers]:
    """Three processes, this one included; no test may let one die."""
    with workers(Shape(3, threads=1)) as pool:
        yield pool
