"""An exported package of pictures proves its preprocessing, an exported one of arrays has none."""

from pathlib import Path

import numpy as np

from handful.runtime.tools.golden_pictures import draw_pictures
from handful.runtime.tools.verify import verify
from handful.trainer.export.package import export

from .cases import case, source


def test_golden_pictures_are_exported_with_pictures(tmp_path: Path) -> None:
    manifest = export(source(case("nearest-network")), tmp_path / "package")
    with np.load(tmp_path / "package" / "conformance.npz") as golden:
        for name, value in draw_pictures(manifest.input).items():
            np.testing.assert_array_equal(golden[name], value)
            assert golden[name].dtype == value.dtype
    assert verify(tmp_path / "package").pictures == {"picture/0/x": 0.0, "picture/1/x": 0.0}


def test_a_package_of_arrays_has_no_pictures(tmp_path: Path) -> None:
    export(source(case("nearest")), tmp_path / "package")
    with np.load(tmp_path / "package" / "conformance.npz") as golden:
        assert not [name for name in golden if name.startswith("picture")]
    assert verify(tmp_path / "package").pictures == {}
