"""What reading a package costs: linear in its size, and little more memory than the file itself."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from handful.runtime.errors import ManifestError
from handful.runtime.package.decode import decode
from handful.runtime.package.files import read_regular
from handful.runtime.vetting.vet import vet

from ..each import each

MIB = 2**20


def peak(action: Callable[[], object]) -> int:
    """The bytes that Python takes at most while it runs `action`."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def model(constant: Any) -> bytes:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xz"]
    node = helper.make_node("Neg", ["x"], ["z"])
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], [constant])
    opset = helper.make_opsetid("", 18)
    content: bytes = helper.make_model(
        graph, ir_version=8, opset_imports=[opset]
    ).SerializeToString()
    return content


@each(
    ("kind", "values"),
    [
        (TensorProto.INT64, [1]),  # a byte each, packed: 27 times the file as Python's integers
        (TensorProto.INT32, [-1]),  # ten bytes each
        (TensorProto.FLOAT, [1.0]),
        (TensorProto.DOUBLE, [1.0]),
    ],
)
def test_a_large_constant_is_counted_not_read(kind: int, values: list[Any]) -> None:
    count = MIB
    data = model(helper.make_tensor("c", kind, [count], values * count))
    assert len(data) >= count
    began = time.process_time()
    vetted = vet(data, "g")
    assert time.process_time() - began < 0.5
    assert vetted.parameters == (count if kind == TensorProto.FLOAT else 0)
    assert peak(lambda: vet(data, "g")) < 4 * MIB


def test_raw_data_takes_no_memory_at_all() -> None:
    data = model(helper.make_tensor("c", TensorProto.FLOAT, [4 * MIB], bytes(16 * MIB), raw=True))
    assert peak(lambda: vet(data, "g")) < MIB // 4


def test_a_file_is_read_into_memory_once(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(40 * MIB))
    assert peak(lambda: read_regular(file, limit=64 * MIB)) < 41 * MIB


def test_the_search_for_a_key_given_twice_is_linear() -> None:
    fields = [f'"{i}":0' for i in range(80_000)]
    data = ("{" + ",".join([*fields, '"7":1']) + "}").encode()
    assert len(data) < MIB
    began = time.process_time()
    with pytest.raises(ManifestError, match="field given twice in manifest: `7`"):
        decode(data)
    assert time.process_time() - began < 1  # 20 000 took 7 s


def test_numbers_are_those_that_every_language_reads() -> None:
    for number in (2**53, -(2**53)):
        with pytest.raises(ManifestError, match="missing field in manifest: `name`"):
            decode(json.dumps({"format": 1, "training": {"n": number}}).encode())
        larger = number + (1 if number > 0 else -1)
        with pytest.raises(ManifestError, match=f"{larger} in manifest, integers are at most"):
            decode(json.dumps({"format": 1, "training": {"n": larger}}).encode())
