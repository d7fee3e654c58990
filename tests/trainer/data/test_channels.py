"""A backbone's mean and deviation of each channel: by hand, in the exported graph, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.runtime.learner import load
from handful.runtime.ort import onnxruntime as ort
from handful.trainer.data import DataConfig, DataError, LabelledSet, embed
from handful.trainer.data.backbone import Channels, prepare_pictures
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.learners.nearest import Nearest, NearestConfig

from ...each import each
from .test_backbone import CHW, HWC, means, pictures

MEAN, STD = (0.5, 0.25, 0.125), (0.5, 2.0, 0.25)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "handful"


def by_hand(data: LabelledSet) -> torch.Tensor:
    """The means [M, 3] over the pixels of (pixel / 255 − mean) / std."""
    x = data.x.double() / 255
    return ((x - torch.tensor(MEAN)) / torch.tensor(STD)).mean(dim=(1, 2)).float()


@pytest.mark.parametrize("shape", [CHW, HWC], ids=["CHW", "HWC"])
def test_each_channel_has_its_own(shape: Any, tmp_path: Path, cache: Path) -> None:
    path = means(tmp_path / "means.onnx", shape)
    config = DataConfig(backbone=path, backbone_mean=MEAN, backbone_std=STD)
    ready = prepare_pictures(pictures(), config)
    torch.testing.assert_close(embed(ready, config).x, by_hand(pictures()))
    assert (ready.input.scale, ready.input.offset, ready.input.range) == (1 / 255, 0.0, (0.0, 1.0))
    embed(ready, DataConfig(backbone=path, backbone_mean=MEAN, backbone_std=(1.0, 1.0, 1.0)))
    assert len(list(cache.iterdir())) == 2  # other numbers are other embeddings


@each("shape", [CHW, HWC])
def test_they_are_in_the_exported_graph(shape: Any, tmp_path: Path) -> None:
    path = means(tmp_path / "means.onnx", shape)
    config = DataConfig(backbone=path, backbone_mean=MEAN, backbone_std=STD)
    many = pictures()
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.integers(0, 256, (15, 4, 4, 3), np.uint8))
    many = LabelledSet(x, torch.tensor([5, 5, 5]), ("a", "b", "c"), many.input)
    ready = prepare_pictures(many, config)
    features = embed(ready, config)
    source = Source(
        learner=Nearest(NearestConfig(), features.input, 3),
        params={},
        test=ready,
        training={},
        backbone=path,
        channels=Channels.of(config),
    )
    export(source, tmp_path / "package")  # parity is checked here as well
    session = ort.InferenceSession(
        tmp_path / "package" / "embed.onnx", providers=["CPUExecutionProvider"]
    )
    unit = by_hand(many) / by_hand(many).norm(dim=1, keepdim=True)
    output = np.asarray(session.run(None, {"x": ready.as_float(ready.x).numpy()})[0])
    np.testing.assert_allclose(output, unit, rtol=1e-4, atol=1e-5)
    learner = load(tmp_path / "package")
    task = learner.adapt(many.x.numpy()[:5] if shape is HWC else ready.x.numpy()[:5], list("vwxyz"))
    assert task.predict(ready.x.numpy()[3]) == "y"


REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    (
        {"backbone_scale": 0.0},
        "data.backbone_scale is 0.0 and data.backbone_offset -1.0, wanted finite numbers,"
        " and a scale that is not 0",
        "at a scale of 0 the backbone would see the same in every picture",
    ),
    (
        {"backbone_offset": float("nan")},
        "data.backbone_scale is 0.00784313725490196 and data.backbone_offset nan,"
        " wanted finite numbers, and a scale that is not 0",
        "at a scale of 0 the backbone would see the same in every picture",
    ),
    (
        {"backbone_mean": (0.5,)},
        "data.backbone_mean is (0.5,) and data.backbone_std None,"
        " wanted a number for each channel in both",
        "three for pictures in colour, one for grey ones",
    ),
    (
        {"backbone_mean": (0.5, 0.5), "backbone_std": (1.0, 1.0)},
        "data.backbone_mean is (0.5, 0.5) and data.backbone_std (1.0, 1.0),"
        " wanted a number for each channel in both",
        "three for pictures in colour, one for grey ones",
    ),
    (
        {"backbone_mean": (0.5,), "backbone_std": (0.0,)},
        "data.backbone_mean is (0.5,) and data.backbone_std (0.0,),"
        " wanted finite numbers, and deviations above 0",
        None,
    ),
    (
        {"backbone_mean": (0.5,), "backbone_std": (1.0,), "backbone_scale": 1.0},
        "data.backbone_mean and data.backbone_scale are both set",
        "either scale and offset of a pixel in 0..255, or mean and deviation of each channel in"
        " 0..1",
    ),
]


@each(("settings", "message", "hint"), REFUSED)
def test_what_is_refused(settings: dict[str, Any], message: str, hint: str | None) -> None:
    with pytest.raises(DataError) as caught:
        DataConfig(**settings)
    assert str(caught.value) == message
    assert caught.value.hint == hint


def test_as_many_numbers_as_channels(tmp_path: Path) -> None:
    path = means(tmp_path / "means.onnx", CHW)
    config = DataConfig(backbone=path, backbone_mean=(0.5,), backbone_std=(0.5,))
    with pytest.raises(DataError) as caught:
        prepare_pictures(pictures(), config)
    assert str(caught.value) == (
        f"data.backbone_mean has 1 numbers, backbone {path} reads 3 channels"
    )
