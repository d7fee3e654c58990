"""Frozen backbones: layouts, preprocessing, the cache, and graphs that are no backbones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from handful.runtime.inputs.pictures import read_image
from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import InputSpec
from handful.trainer.data import (
    DataConfig,
    DataError,
    LabelledSet,
    backbone,
    load_data,
    load_pictures,
)
from handful.trainer.data.backbone import WANTED, backbone_input, embed_pictures, prepare_pictures
from handful.trainer.data.sources.download import cache_folder
from handful.trainer.data.sources.pictures import picture_spec

from ...each import each

CHW, HWC = ("n", 3, 4, 4), ("n", 4, 4, 3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "handful"


def means(
    path: Path, shape: tuple[Any, ...], out: tuple[Any, ...] = ("n", "d"), keepdims: int = 0
) -> Path:
    """A backbone whose embedding is the mean of each channel."""
    axes = [2, 3] if shape[1] in (1, 3) else [1, 2]
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["picture", "axes"], ["h"], keepdims=keepdims)],
        "means",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("h", TensorProto.FLOAT, out)],
        [helper.make_tensor("axes", TensorProto.INT64, [2], axes)],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    return path


def pictures(size: int = 4) -> LabelledSet:
    """Five pictures of two classes, random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), np.uint8)
    spec = picture_spec(size, "rgb")
    return LabelledSet(torch.from_numpy(pixels), torch.tensor([2, 3]), ("a", "b"), spec)


def config(path: Path, **changes: Any) -> DataConfig:
    return DataConfig(backbone=path, backbone_scale=0.5, backbone_offset=-3.0, **changes)


def refusal(data: LabelledSet, path: Path) -> tuple[str, str | None]:
    with pytest.raises(DataError) as error:
        embed_pictures(data, config(path))
    return str(error.value).replace(str(path.parent), "…"), error.value.hint


@each(("shape", "layout"), [(CHW, "CHW"), (HWC, "HWC")])
def test_a_picture_is_seen_as_the_graph_wants_it(tmp_path: Path, shape: Any, layout: str) -> None:
    path = means(tmp_path / "means.onnx", shape)
    assert backbone_input(path) == ("picture", 4, layout, "rgb")
    data = embed_pictures(pictures(), config(path))
    wanted = pictures().x.float().mean(dim=(1, 2)) * 0.5 - 3
    torch.testing.assert_close(data.x, wanted)
    assert (data.classes, data.counts.tolist()) == (("a", "b"), [2, 3])
    assert (data.input.kind, data.input.shape) == ("array", (3,))
    assert data.pictures is not None
    assert (data.pictures.shape, data.pictures.layout) == (shape[1:], layout)
    assert (data.pictures.scale, data.pictures.offset) == (0.5, -3.0)
    assert data.pictures.range == (-3.0, 124.5)
    assert data.pictures.resize == 4


def test_prepared_pictures_are_not_prepared_again(tmp_path: Path) -> None:
    settings = config(means(tmp_path / "means.onnx", CHW))
    once = prepare_pictures(pictures(), settings)
    assert once.x.shape == (5, 3, 4, 4)
    twice = prepare_pictures(once, settings)
    torch.testing.assert_close(once.x, twice.x)
    assert once.input == twice.input
    torch.testing.assert_close(
        embed_pictures(once, settings).x, embed_pictures(pictures(), settings).x
    )


def test_the_second_time_comes_from_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = means(tmp_path / "means.onnx", CHW)
    first = embed_pictures(pictures(), config(path))
    (kept,) = cache.iterdir()
    assert cache_folder() == cache
    np.testing.assert_array_equal(np.load(kept, allow_pickle=False), first.x)

    def never(*_: Any) -> None:
        raise AssertionError("embedded a second time")

    monkeypatch.setattr("handful.trainer.data.backbone.embed", never)
    torch.testing.assert_close(embed_pictures(pictures(), config(path)).x, first.x, rtol=0, atol=0)


def test_what_differs_is_embedded_anew(tmp_path: Path, cache: Path) -> None:
    path = means(tmp_path / "means.onnx", CHW)
    embed_pictures(pictures(), config(path))
    embed_pictures(pictures(), DataConfig(backbone=path))
    other = pictures()
    other.x[0, 0, 0, 0] ^= 1
    embed_pictures(other, config(path))
    means(path, CHW, out=("n", 3))
    embed_pictures(pictures(), config(path))
    assert len(list(cache.iterdir())) == 4


@each("spoiled", [b"", b"\x93NUMPY\x01\x00", b"no array"])
def test_a_broken_cache_is_made_anew(tmp_path: Path, cache: Path, spoiled: bytes) -> None:
    path = means(tmp_path / "means.onnx", CHW)
    first = embed_pictures(pictures(), config(path))
    (kept,) = cache.iterdir()
    kept.write_bytes(spoiled)
    torch.testing.assert_close(embed_pictures(pictures(), config(path)).x, first.x)
    np.testing.assert_array_equal(np.load(kept, allow_pickle=False), first.x)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError) as error:
        embed_pictures(pictures(), config(means(tmp_path / "means.onnx", CHW)))
    message = str(error.value)
    assert message.startswith(f"cannot write the cache {tmp_path / 'file' / 'handful'}")
    assert message.endswith(".npy: Not a directory")
    assert error.value.hint == "set XDG_CACHE_HOME to a folder that can be written"


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    path = tmp_path / "means.onnx"
    assert refusal(pictures(), path) == (
        "no backbone …/means.onnx",
        "data.backbone is an ONNX file, or one of efficientnet-lite0",
    )
    path.write_bytes(b"not a graph")
    message, _ = refusal(pictures(), path)
    assert message.startswith("backbone …/means.onnx is not an ONNX graph that runs: ")


@each("shape", [(1, 3, 4, 4), ("n", 3, 4, 5), ("n", 3, "h", "w"), ("n", 2, 4, 4)])
def test_graphs_that_read_something_else(tmp_path: Path, shape: Any) -> None:
    path = means(tmp_path / "means.onnx", shape, out=("m", "d"))
    message = f"backbone …/means.onnx reads tensor(float) {list(shape)}"
    assert refusal(pictures(), path) == (message, WANTED)


def test_pictures_of_another_size_and_colour(tmp_path: Path) -> None:
    grey = LabelledSet(
        torch.full((2, 6, 9, 1), 40, dtype=torch.uint8),
        torch.tensor([2]),
        ("a",),
        replace(picture_spec(6, "grey"), shape=(6, 9, 1), resize=9),
    )
    data = embed_pictures(grey, config(means(tmp_path / "means.onnx", CHW)))
    torch.testing.assert_close(data.x, torch.full((2, 3), 40 * 0.5 - 3))
    assert data.pictures is not None
    assert (data.pictures.shape, data.pictures.colour) == ((3, 4, 4), "rgb")
    assert (data.pictures.resize, data.pictures.interpolation) == (4, "lanczos")
    data = embed_pictures(pictures(), config(means(tmp_path / "one.onnx", ("n", 1, 4, 4))))
    weights = torch.tensor([0.299, 0.587, 0.114])  # of ITU-R 601-2, as Pillow
    wanted = (pictures().x.float() @ weights).mean(dim=(1, 2))[:, None] * 0.5 - 3
    torch.testing.assert_close(data.x, wanted, rtol=0, atol=0.5)  # pixels are whole numbers


def test_larger_pictures_are_made_smaller_and_cut(tmp_path: Path) -> None:
    x = torch.zeros(1, 8, 16, 3, dtype=torch.uint8)
    x[:, :, 4:12] = 200  # the middle square; with a box filter nothing of the sides gets into it
    spec = replace(picture_spec(8, "rgb"), shape=(8, 16, 3), resize=16)
    settings = config(means(tmp_path / "means.onnx", HWC), interpolation="box")
    ready = prepare_pictures(LabelledSet(x, torch.tensor([1]), ("a",), spec), settings)
    assert ready.x.shape == (1, 4, 4, 3)
    assert bool((ready.x == 200).all())
    assert ready.input.interpolation == "box"


def test_pictures_from_arrays_are_prepared_as_a_device_prepares_files(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 37, 50, 3)).astype(np.uint8)
    spec = replace(picture_spec(50, "rgb"), shape=(37, 50, 3))
    settings = config(means(tmp_path / "means.onnx", HWC), resize=6)
    ready = prepare_pictures(
        LabelledSet(torch.from_numpy(pixels), torch.tensor([2]), ("a",), spec), settings
    )
    assert (ready.input.resize, ready.x.shape) == (6, (2, 4, 4, 3))
    for row, picture in zip(ready.as_float(ready.x).numpy(), pixels, strict=True):
        Image.fromarray(picture).save(tmp_path / "a.png")
        np.testing.assert_allclose(row, read_image(tmp_path / "a.png", ready.input), atol=1e-4)


def test_what_is_no_picture(tmp_path: Path) -> None:
    path = means(tmp_path / "means.onnx", CHW)
    vectors = LabelledSet(
        torch.zeros(2, 7), torch.tensor([2]), ("a",), InputSpec(kind="array", shape=(7,))
    )
    assert refusal(vectors, path) == (
        "backbone …/means.onnx reads pictures, found float32 [7]",
        "give a folder of images, or uint8 pixels [M, H, W, C] in an npz file",
    )


def test_maps_are_no_embeddings(tmp_path: Path) -> None:
    path = means(tmp_path / "means.onnx", CHW, out=("n", 3, 1, 1), keepdims=1)
    assert refusal(pictures(), path) == (
        "backbone …/means.onnx gives float32 [5, 3, 1, 1] for 5 pictures",
        WANTED,
    )


def test_the_pictures_of_a_set_are_those_that_the_graph_reads(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=pictures().x.numpy(), y=np.array(["a", "a", "b", "b", "b"]))
    (tmp_path / "split.json").write_text('{"train": ["a", "b"], "val": [], "test": []}')
    settings = config(
        means(tmp_path / "means.onnx", CHW),
        source=str(tmp_path / "data.npz"),
        split=str(tmp_path / "split.json"),
    )
    raw, embedded = load_pictures(settings, "meta_train"), load_data(settings, "meta_train")
    assert raw.x.shape == (5, 3, 4, 4)
    assert raw.input == embedded.pictures
    torch.testing.assert_close(raw.as_float(raw.x).mean(dim=(2, 3)), embedded.x)


def test_numbers_of_the_real_backbone(shared_data: Path) -> None:
    path = shared_data / "backbones" / "mobilenet_v1_025_128.onnx"
    x = torch.linspace(-1, 1, 3 * 128 * 128).reshape(1, 3, 128, 128)
    embeddings = backbone._run(backbone._session(path), "image", x, path)
    assert (round(float(embeddings.mean()), 4), round(float(embeddings.std()), 4)) == (
        0.2484,
        0.6193,
    )


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    path = means(tmp_path / "means.onnx", CHW)
    with pytest.raises(DataError) as error:
        embed_pictures(pictures(), DataConfig(backbone=path, backbone_scale=1e38))
    assert str(error.value) == f"backbone {path} gives values that are not finite for picture 0"


def test_a_real_backbone_on_a_folder(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "backbones" / "mobilenet_v1_025_128.onnx"
    rng = np.random.default_rng(0)
    for name in "abcde":
        (tmp_path / name).mkdir()
        Image.fromarray(rng.integers(0, 256, (128, 128, 3), np.uint8)).save(
            tmp_path / name / "x.png"
        )
    settings = DataConfig(source=str(tmp_path), split="random", backbone=path)
    data = load_data(settings, "meta_train")
    assert data.x.shape == (len(data.classes), 256)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for row, name in zip(data.x, data.classes, strict=True):
        pixels = np.asarray(Image.open(tmp_path / name / "x.png"), np.float32)
        seen = (pixels - 127.5) / 127.5  # as its README says
        wanted = np.asarray(session.run(None, {"image": seen.transpose(2, 0, 1)[None]})[0])
        np.testing.assert_allclose(row, wanted[0], rtol=1e-4, atol=1e-4)


def test_what_real_backbones_read(shared_data: Path) -> None:
    path = shared_data / "backbones" / "mobilenet_v1_025_128.onnx"
    assert backbone_input(path) == ("image", 128, "CHW", "rgb")
    larger = path.with_name("efficientnet_lite0_224.onnx")
    assert backbone_input(larger) == ("image", 224, "CHW", "rgb")
