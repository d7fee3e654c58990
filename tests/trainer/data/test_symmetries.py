"""Symmetries: classes of series turned and mirrored, for meta-training alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.data import DataConfig, DataError, load_data
from handful.trainer.data.labelled import with_symmetries

from ..small import pictures, series


def config(folder: Path, **settings: Any) -> DataConfig:
    """Two classes for each part, three series [4, 3] each."""
    rng = np.random.default_rng(0)
    labels = [f"{alphabet}/{c}" for alphabet in "abc" for c in "xy"]
    np.savez(
        folder / "pen.npz",
        x=rng.normal(size=(18, 4, 3)).astype(np.float16),
        y=np.repeat(labels, 3),
    )
    parts = {"train": labels[:2], "val": labels[2:4], "test": labels[4:]}
    (folder / "pen.json").write_text(json.dumps(parts))
    return DataConfig(source=str(folder / "pen.npz"), split=str(folder / "pen.json"), **settings)


def test_quarter_turns_then_the_same_mirrored() -> None:
    data = series(2, each=3)
    turned = with_symmetries(data, 8)
    endings = ("@0", "@90", "@180", "@270", "@0m", "@90m", "@180m", "@270m")
    assert turned.classes == tuple(f"class {c}{e}" for c in range(2) for e in endings)
    assert turned.counts.tolist() == [3] * 16
    x, y, pen = data.x[:3].unbind(dim=-1)
    wanted = [(x, y), (y, -x), (-x, -y), (-y, x), (-x, y), (y, x), (x, -y), (-y, -x)]
    for row, (across, upright) in enumerate(wanted):
        found = turned.x[3 * row : 3 * row + 3]
        torch.testing.assert_close(found, torch.stack([across, upright, pen], dim=-1))
    assert torch.equal(with_symmetries(data, 4).x[:12], turned.x[:12])


def test_only_meta_training_classes_are_turned_and_their_record_is_of_the_file(
    tmp_path: Path,
) -> None:
    plain, eight = config(tmp_path), config(tmp_path, symmetries=8)
    train = load_data(eight, "meta_train")
    assert len(train.classes) == 16
    assert train.groups[7:9] == ("a@270m", "a@0")
    assert train.facts == load_data(plain, "meta_train").facts
    for part in ("meta_val", "meta_test"):
        assert torch.equal(load_data(eight, part).x, load_data(plain, part).x)


def test_what_is_no_series_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        with_symmetries(pictures(2), 4)
    assert f"{caught.value}\n{caught.value.hint}" == (
        "data.symmetries is 4, but the examples are not series [T, C] whose first two channels are"
        " a plane: uint8 [20, 20, 1]\n"
        "set data.symmetries = 1; drawings have data.rotations"
    )
