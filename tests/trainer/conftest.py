"""What the trainer's tests share: small synthetic data, made once."""

from __future__ import annotations

import pytest

from handful.trainer.data.labelled import LabelledSet

from . import small


@pytest.fixture(scope="session")
def pictures() -> LabelledSet:
    """60 classes of 8 pictures 16×16: a random prototype each, and noise."""
    return small.pictures()


@pytest.fixture(scope="session")
def vectors() -> LabelledSet:
    """60 classes of 8 vectors."""
    return small.vectors()
