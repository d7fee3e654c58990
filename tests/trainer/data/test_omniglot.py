"""Omniglot: every form gives the same drawings, and the parts are the published ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from handful.trainer.data import DataConfig, load_data
from handful.trainer.data.sources import omniglot
from handful.trainer.data.sources.download import Archive
from handful.trainer.data.sources.omniglot import (
    ARCHIVES,
    INDEX,
    PACKED,
    PACKED_BITS,
    VINYALS,
    characters,
    find_omniglot,
)
from handful.trainer.data.splits import PARTS

from ...each import each
from .drawings import drawing, folders, packed, png, zips


def lake(where: Path, **changes: Any) -> DataConfig:
    return DataConfig(path=where, split="lake", rotations=False, **changes)


@each("form", [folders, zips, packed])
@each("size", [28, 40, 105])
def test_every_form_gives_the_same_drawings(tmp_path: Path, form: Any, size: int) -> None:
    config = lake(form(tmp_path), image_size=size)
    parts = {part: load_data(config, part) for part in PARTS}
    train, val, test = parts["meta_train"], parts["meta_val"], parts["meta_test"]
    assert train.classes == tuple(f"Back{a}/character01" for a in range(5))
    assert val.classes == ("Back5/character01", "Back6/character01")
    assert test.classes == tuple(f"Eval{a}/character{c:02}" for a in range(2) for c in (1, 2))
    assert train.counts.tolist() == [2] * 5
    assert train.x.shape == (10, size, size, 1)
    paper = Image.fromarray((1 - drawing(13)) * np.uint8(255))  # the second of Back3
    resized = paper.resize((size, size), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(train.x[7, ..., 0], 255 - np.asarray(resized))


def test_what_a_drawing_is(tmp_path: Path) -> None:
    data = load_data(lake(zips(tmp_path), image_size=105), "meta_train")
    np.testing.assert_array_equal(data.x[0, ..., 0], drawing(0) * 255)  # ink is bright
    assert data.input.invert is True  # files are dark on light
    assert (data.input.shape, data.input.resize) == ((105, 105, 1), 105)
    assert (data.input.colour, data.input.interpolation) == ("grey", "lanczos")


def test_other_splits_and_rotations(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(
        json.dumps({"train": ["Eval0/character02"], "val": [0], "test": []})
    )
    config = DataConfig(path=zips(tmp_path), split=str(tmp_path / "split.json"))
    data = load_data(config, "meta_train")
    assert data.classes == tuple(f"Eval0/character02@{turn}" for turn in (0, 90, 180, 270))
    torch.testing.assert_close(data.x[2:4], data.x[:2].rot90(1, (1, 2)))
    assert load_data(config, "meta_val").classes[0] == "Back0/character01@0"
    random = DataConfig(path=tmp_path, split="random", rotations=False)
    assert [len(load_data(random, part).classes) for part in ("meta_train", "meta_val")] == [7, 2]


def test_the_usual_places_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HANDFUL_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = [Path("cache/handful/omniglot"), Path("data/omniglot"), Path("given/omniglot")]
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        packed(tmp_path / place)
        assert find_omniglot(None).resolve() == tmp_path / place


def test_what_is_nowhere_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = zips(tmp_path / "served")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HANDFUL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(omniglot, "BASE", f"{served.as_uri()}/")
    monkeypatch.setattr(
        omniglot,
        "ARCHIVES",
        [
            Archive(a.name, hashlib.md5((served / a.name).read_bytes()).hexdigest())
            for a in ARCHIVES
        ],
    )
    told: list[int] = []
    config = DataConfig(split="lake", rotations=False)
    data = load_data(config, "meta_train", progress=lambda done, total: told.append(done))
    assert len(data.classes) == 5
    assert told == [(served / a.name).stat().st_size for a in ARCHIVES]
    assert load_data(config, "meta_train", progress=lambda done, total: told.append(done)).x.equal(
        data.x
    )
    assert len(told) == 2


def test_the_real_packed_files(shared_data: Path) -> None:
    where = shared_data / "omniglot"
    index = json.loads((where / INDEX).read_text())
    parts = {part: load_data(DataConfig(path=where), part) for part in PARTS}
    assert [len(parts[part].classes) for part in PARTS] == [4 * 1028, 4 * 172, 4 * 423]
    assert all(set(data.counts.tolist()) == {20} for data in parts.values())
    images = np.load(where / PACKED, allow_pickle=False)["images"]
    row = index["vinyals_split"]["test"][0]
    name = "/".join(index["classes"][row][1:])
    at = parts["meta_test"].classes.index(f"{name}@0")
    np.testing.assert_array_equal(parts["meta_test"].x[20 * at : 20 * at + 20, ..., 0], images[row])
    sizes = [len(load_data(lake(where), part).classes) for part in PARTS]
    assert sizes[0] + sizes[1] == 964
    assert sizes[2] == 659


def test_our_lists_are_the_published_split(shared_data: Path) -> None:
    index = json.loads((shared_data / "omniglot" / INDEX).read_text())
    listed = json.loads(VINYALS.read_text(encoding="utf-8"))
    for part in PARTS:
        names = {f"{alphabet}/character{n:02}" for alphabet, ns in listed[part].items() for n in ns}
        rows = index["vinyals_split"][part.removeprefix("meta_")]
        assert names == {"/".join(index["classes"][row][1:]) for row in rows}
        assert sum(map(len, listed[part].values())) == len(rows)


def test_the_official_form_gives_the_packed_pixels(shared_data: Path, tmp_path: Path) -> None:
    where = shared_data / "omniglot"
    classes = json.loads((where / INDEX).read_text())["classes"]
    bits = np.load(where / PACKED_BITS, allow_pickle=False)["images"]
    rows = [0, 500, 963, 964, 1300, 1622]
    for row in rows:
        half, alphabet, character = classes[row]
        folder = tmp_path / f"images_{half}" / alphabet / character
        folder.mkdir(parents=True)
        for number, ink in enumerate(np.unpackbits(bits[row], axis=-1, count=105)):
            (folder / f"0001_{number:02}.png").write_bytes(png(ink))
    official, packed_form = characters(tmp_path), characters(where)
    assert len(official.names) == len(rows)
    assert official.background == {
        name for name in official.names if name in packed_form.background
    }
    for size in (28, 64):
        for ours, theirs in zip(
            official.read(official.names, size), packed_form.read(official.names, size), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
