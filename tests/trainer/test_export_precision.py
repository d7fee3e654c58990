"""`embed` in 8 bits or with weights of 16: what the graph computes, what a package says of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from handful.runtime.learner import load
from handful.runtime.package.decode import read_manifest
from handful.runtime.tools.verify import TOLERANCES, verify
from handful.trainer.export.package import export
from handful.trainer.export.precision import filter_scales
from handful.trainer.export.source import Source
from handful.trainer.settings.errors import ExportError

from ..each import each
from .cases import case, source


def in_8_bits(name: str) -> Source:
    subject = source(case(name))
    examples = subject.test.take_some(64, seed=1)[0]
    return replace(subject, precision="int8", calibration=examples)


def graph(package: Path) -> onnx.GraphProto:
    return onnx.load(package / "embed.onnx").graph


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prototypical network on pictures, its convolutions in 8 bits."""
    folder = tmp_path_factory.mktemp("eight") / "package"
    export(in_8_bits("prototypical"), folder)
    return folder


def test_filters_are_as_fine_as_they_may_be_without_an_overflow() -> None:
    # by hand: the largest weight over 127, or the largest pair of one sign over 127
    pixel = np.array([[1.27, -1.27, 0.1, 0.2], [1.0, 0.27, 0, 0], [-1.0, -1.54, 1, 1]], np.float32)
    np.testing.assert_allclose(filter_scales(pixel[:, :, None, None]), [0.01, 0.01, 0.02])
    # of three by one pixels any two may meet: 1.27 and 0.2; then 1.0 and 0.27
    wide = np.array([[1.27, -1.27, 0.1, 0.2], [1.0, 0, 0, 0.27]], np.float32).reshape(2, 2, 2, 1)
    np.testing.assert_allclose(filter_scales(wide), [0.0115748, 0.01], rtol=1e-5)
    # a filter of one channel is added up in 32 bits; one that is all zeros has a scale too
    deep = np.array([[1.27, 1.27], [0, 0]], np.float32).reshape(2, 1, 2, 1)
    np.testing.assert_allclose(filter_scales(deep), [0.01, 1e-6], rtol=1e-5)


@each("shape", [(9, 7, 1, 1), (9, 8, 1, 1), (9, 4, 3, 3)])
def test_no_pair_of_products_overflows_16_bits(shape: tuple[int, ...]) -> None:
    w = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    levels = np.round(w / filter_scales(w)[:, None, None, None])
    assert np.abs(levels).max() <= 127
    rows = levels.reshape(len(w), -1)
    if shape[2:] != (1, 1):  # any order: the largest of a sign are neighbours in one of these
        rows = np.concatenate([np.sort(rows)[:, ::-1], np.sort(rows)])
    padded = np.pad(rows, [(0, 0), (0, rows.shape[1] % 2)])
    products = 255 * padded.reshape(len(rows), -1, 2)
    worst = np.maximum(np.maximum(products, 0).sum(axis=2), -np.minimum(products, 0).sum(axis=2))
    assert worst.max() <= 2**15 - 1
    assert worst.max() > 2**15 - 1 - 3 * 255  # as fine as they may be


def test_convolutions_are_8_bit_and_everything_else_is_not(eight: Path) -> None:
    operators = Counter(node.op_type for node in graph(eight).node)
    whole = case("prototypical")
    assert operators["Conv"] == 4
    assert operators["QuantizeLinear"] >= 4
    assert not {"Mul", "Relu"} & operators.keys()  # multiplied into filters; a level of 0
    types = {tensor.data_type for tensor in graph(eight).initializer if len(tensor.dims) == 4}
    assert types == {onnx.TensorProto.INT8}
    for name in ("prototypes", "predict"):
        nodes = {node.op_type for node in onnx.load(eight / f"{name}.onnx").graph.node}
        assert not nodes & {"QuantizeLinear", "DequantizeLinear", "Cast"}
    manifest = read_manifest(eight)
    assert manifest.precision == "int8"
    assert json.loads((eight / "manifest.json").read_text())["precision"] == "int8"
    assert manifest.learner == whole.learner.name
    assert "The convolutions of `embed` are computed in 8 bits" in (eight / "README.md").read_text()


def test_golden_vectors_are_of_the_8_bit_graph(eight: Path) -> None:
    report = verify(eight)
    assert report.ok
    assert report.tolerance == TOLERANCES["int8"]
    assert report.worst < 1e-4  # on the machine that made them
    subject = source(case("prototypical"))
    x = subject.test.take_some(20, seed=3)[0]
    h, exact = load(eight)._engine.embed(x.numpy()), subject.embed(x).numpy()
    difference = np.abs(h - exact).max() / np.abs(exact).max()
    assert 1e-3 < difference < 0.3  # 8 bits, and not float32


def test_the_same_levels_one_by_one_and_together(eight: Path) -> None:
    x = case("prototypical").data.take_some(9, seed=4)[0].numpy()
    engine = load(eight)._engine
    alone = np.concatenate([engine.embed(one[None]) for one in x])
    np.testing.assert_allclose(engine.embed(x), alone, rtol=0, atol=1e-6)


def test_a_wrong_8_bit_answer_is_found(eight: Path, tmp_path: Path) -> None:
    """What sums that overflow would do, 0.3 of the largest value, is not within the tolerance."""
    with np.load(eight / "conformance.npz") as file:
        golden = dict(file)
    logits = golden["logits"]
    golden["logits"] = logits + 0.3 * np.abs(logits).max()
    copy = tmp_path / "copy"
    copy.mkdir()
    for file_ in eight.iterdir():
        (copy / file_.name).write_bytes(file_.read_bytes())
    np.savez(copy / "conformance.npz", **golden)
    assert verify(copy).failed == ("logits",)


def test_weights_of_16_bits_are_half_the_file_and_the_same_arithmetic(
    package: Callable[[str], Path], tmp_path: Path
) -> None:
    subject = source(case("prototypical"))
    export(replace(subject, precision="float16"), tmp_path / "half")
    assert verify(tmp_path / "half").worst < 1e-5
    assert verify(tmp_path / "half").tolerance == 1e-4
    whole, half = graph(package("prototypical")), graph(tmp_path / "half")
    rounded = {}
    for tensor in whole.initializer:
        values = numpy_helper.to_array(tensor)
        rounded[tensor.name] = values.astype(np.float16) if values.size >= 64 else values
    for tensor in half.initializer:
        assert any(np.array_equal(numpy_helper.to_array(tensor), v) for v in rounded.values())
    casts = [node for node in half.node if node.op_type == "Cast"]
    assert len(casts) == sum(v.dtype == np.float16 for v in rounded.values()) > 0
    x = subject.test.take_some(20, seed=3)[0]
    h = load(tmp_path / "half")._engine.embed(x.numpy())
    np.testing.assert_allclose(h, subject.embed(x).numpy(), rtol=2e-2, atol=5e-3)


def test_a_learner_without_an_embedding_says_so(tmp_path: Path) -> None:
    subject = source(case("maml-support-fixed"))
    with pytest.raises(ExportError) as caught:
        export(replace(subject, precision="float16"), tmp_path / "package")
    assert str(caught.value) == (
        "there is no `embed` to write as float16: all of the learner adapts"
    )
    assert caught.value.hint == "leave out --precision"
    assert not (tmp_path / "package").exists()


def test_an_embedding_without_convolutions_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export(in_8_bits("ridge-learned"), tmp_path / "package")
    assert str(caught.value) == "there is no convolution in `embed` to write as int8"
    assert caught.value.hint == "export it with --precision float16, or without"


def test_the_tool_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export(in_8_bits("proto-maml-pictures"), tmp_path / "package")
    assert verify(tmp_path / "package").ok
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
