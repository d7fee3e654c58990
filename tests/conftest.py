"""What tests of every part share."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets and backbones, which are not part of the repository."""
    folder = Path(os.environ.get("HANDFUL_TEST_DATA", BESIDE))
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}: HANDFUL_TEST_DATA names another folder")
    return folder
