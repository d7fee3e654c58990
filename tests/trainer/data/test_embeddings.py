"""Checks of embeddings: constant ones refused, those of a wrong scale reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from handful.runtime.package.manifest import InputSpec
from handful.trainer.data import DataConfig, DataError, LabelledSet, embed
from handful.trainer.data.backbone import doubts, measure, prepare_pictures
from handful.trainer.data.sources.pictures import picture_spec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def clipped(path: Path) -> Path:
    """A backbone that tells −1 … 1 apart and no more: the mean of each channel, clipped."""
    limits = [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in (("a", -1), ("b", 1))]
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])
    graph = helper.make_graph(
        [
            helper.make_node("Clip", ["picture", "a", "b"], ["c"]),
            helper.make_node("ReduceMean", ["c", "axes"], ["h"], keepdims=0),
        ],
        "clipped",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ("n", 3, 4, 4))],
        [helper.make_tensor_value_info("h", TensorProto.FLOAT, ("n", "d"))],
        [*limits, axes],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    return path


def pictures(classes: int = 20) -> LabelledSet:
    """A colour a class, and noise on it; every level of a channel occurs."""
    rng = np.random.default_rng(0)
    colours = rng.integers(20, 236, (classes, 1, 1, 1, 3))
    pixels = (colours + rng.normal(0, 4, (classes, 4, 4, 4, 3))).clip(0, 255).astype(np.uint8)
    names = tuple(f"colour {c}" for c in range(classes))
    x = torch.from_numpy(pixels).flatten(0, 1)
    return LabelledSet(x, torch.full((classes,), 4), names, picture_spec(4, "rgb"))


def said(path: Path, **scale: Any) -> list[str]:
    config = DataConfig(backbone=path, **scale)
    ready = prepare_pictures(pictures(), config)
    return list(doubts(embed(ready, config), ready, config))


def test_numbers_by_hand() -> None:
    x = torch.tensor([[0.0, 2.0], [0.0, 4.0], [3.0, 0.0], [3.0, 0.0]])
    data = LabelledSet(x, torch.tensor([2, 2]), ("a", "b"), InputSpec(kind="array", shape=(2,)))
    measured = measure(data)
    assert (measured.lowest, measured.highest, measured.zeros) == (0.0, 4.0, 0.5)
    # deviations: of 0 0 3 3 it is 1.5, of 2 4 0 0 it is √(20/4 − 1.5²)
    assert measured.spread == pytest.approx((1.5 + np.sqrt(5 - 2.25)) / 2)
    assert measured.cosine == pytest.approx(0.0)  # the means (0, 3) and (3, 0)
    assert str(measured) == (
        "from 0 to 4, deviation 1.6, 50 % zeros, mean cosine between class means 0.000"
    )


def test_the_right_scale_is_not_doubted(tmp_path: Path) -> None:
    assert said(clipped(tmp_path / "net.onnx")) == []


def test_a_wrong_scale_is_doubted_and_a_better_one_named(tmp_path: Path) -> None:
    path = clipped(tmp_path / "net.onnx")
    alike, better = said(path, backbone_scale=1 / 16, backbone_offset=-1.0)
    assert alike.startswith("the embeddings of all classes are nearly the same (from ")
    assert alike.endswith(
        "; the backbone reads values from -1 to 14.94: is that what it was trained with?"
    )
    assert better == (
        "the backbone reads values from -1 to 14.94, and separates the classes worse than with"
        " backbone_mean = [0.485, 0.456, 0.406], backbone_std = [0.229, 0.224, 0.225]:"
        " are data.backbone_scale and data.backbone_offset those of its training?"
    )


def test_constant_embeddings_are_refused(tmp_path: Path) -> None:
    config = DataConfig(
        backbone=clipped(tmp_path / "net.onnx"), backbone_scale=1.0, backbone_offset=5.0
    )
    with pytest.raises(DataError) as caught:
        embed(prepare_pictures(pictures(), config), config)
    assert str(caught.value) == (
        f"backbone {tmp_path / 'net.onnx'} gives the same embedding for all 80 pictures"
    )
    assert caught.value.hint == (
        "it reads values from 5 to 260: data.backbone_scale and data.backbone_offset, or"
        " data.backbone_mean and data.backbone_std, must be those it was trained with"
    )
