"""An exported package of pictures proves its preprocessing, an exported one of arrays has none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from handful.runtime.package.decode import read_manifest
from handful.runtime.tools.golden import draw_pictures
from handful.runtime.tools.verify import verify


def test_golden_pictures_are_exported_with_pictures(package: Callable[[str], Path]) -> None:
    folder = package("nearest-network")
    with np.load(folder / "conformance.npz") as golden:
        for name, value in draw_pictures(read_manifest(folder).input).items():
            np.testing.assert_array_equal(golden[name], value)
            assert golden[name].dtype == value.dtype
    assert verify(folder).pictures == {"picture/0/x": 0.0, "picture/1/x": 0.0}


def test_a_package_of_arrays_has_no_pictures(package: Callable[[str], Path]) -> None:
    with np.load(package("nearest") / "conformance.npz") as golden:
        assert not [name for name in golden if name.startswith("picture")]
    assert verify(package("nearest")).pictures == {}
