"""Forms that a step's costly parts can take in onnxruntime, timed alone on one thread.

The gradient of a batch of sixteen matrices, as Winograd's convolution has it, and the gradient of a
rectifier, each written in several ways; what `handful export` writes is the first of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper
from results import section
from timing import medians

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.providers import setup
from handful.trainer.export.trace import IR_VERSION, OPSET

POINTS, CHANNELS, TILES = 16, 64, 49  # of Winograd's F(2×2, 3×3) on a map of 14×14 pixels
PIXELS = 196
BATCHES = (5, 25)
Feeds = dict[str, np.ndarray]


def session(nodes: Sequence[onnx.NodeProto], feeds: Feeds, sizes: Feeds) -> ort.InferenceSession:
    """A graph of these nodes with the output `o`; `sizes` are its constants."""
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n, x in feeds.items()
    ]
    output = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    constants = [onnx.numpy_helper.from_array(x, name) for name, x in sizes.items()]
    graph = helper.make_graph(nodes, "form", inputs, [output], constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return ort.InferenceSession(model.SerializeToString(), setup().options)


def node(kind: str, inputs: str, output: str = "o", **attributes: object) -> onnx.NodeProto:
    """A node whose inputs are named in one word each."""
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def batched(batch: int) -> dict[str, tuple[list[onnx.NodeProto], Feeds, Feeds]]:
    """vᵀ m of each of 16 pairs of [rows, 64] matrices: [16, 64, 64]."""
    rows = TILES * batch
    draw = np.random.default_rng(0).standard_normal
    v, m = (draw((POINTS, rows, CHANNELS), dtype=np.float32) for _ in range(2))
    by_tile = v.reshape(POINTS, TILES, batch, CHANNELS)
    flat = {"flat": np.array([POINTS, CHANNELS, rows])}
    split = {"matrix": np.array([rows, CHANNELS]), "one": np.array([1, CHANNELS, CHANNELS])}
    gemms = [
        helper.make_node("Split", [x], [f"{x}{i}" for i in range(POINTS)], axis=0, num_outputs=16)
        for x in "vm"
    ]
    for i in range(POINTS):
        gemms += [node("Reshape", f"{x}{i} matrix", f"{x}_{i}") for x in "vm"]
        gemms.append(node("Gemm", f"v_{i} m_{i}", f"g{i}", transA=1))
        gemms.append(node("Reshape", f"g{i} one", f"o{i}"))
    gemms.append(node("Concat", " ".join(f"o{i}" for i in range(POINTS)), axis=0))
    return {
        "Transpose, Reshape, MatMul": (
            [
                node("Transpose", "v", "t", perm=[0, 3, 1, 2]),
                node("Reshape", "t flat", "r"),
                node("MatMul", "r m"),
            ],
            {"v": by_tile, "m": m},
            flat,
        ),
        "fused by onnxruntime": (
            [node("FusedMatMul", "v m", domain="com.microsoft", transA=1)],
            {"v": v, "m": m},
            {},
        ),
        "sixteen Gemm": (gemms, {"v": v, "m": m}, split),
        "Einsum": ([node("Einsum", "v m", equation="bkc,bko->bco")], {"v": v, "m": m}, {}),
    }


def masked(batch: int) -> dict[str, tuple[list[onnx.NodeProto], Feeds, Feeds]]:
    """The gradient where the rectified value z is above zero."""
    draw = np.random.default_rng(0).standard_normal
    z, g = (draw((PIXELS * batch, CHANNELS), dtype=np.float32) for _ in range(2))
    feeds, zero = {"z": np.maximum(z, 0), "g": g}, {"zero": np.zeros((), np.float32)}
    above = node("Greater", "z zero", "b")
    return {
        "Greater, Cast, Mul": (
            [above, node("Cast", "b", "c", to=TensorProto.FLOAT), node("Mul", "c g")],
            feeds,
            zero,
        ),
        "Greater, Where": ([above, node("Where", "b g zero")], feeds, zero),
        "Sign, Mul": ([node("Sign", "z", "s"), node("Mul", "s g")], feeds, {}),
    }


def main() -> None:
    """Print the table and put it into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--dry", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    rows = [
        f"| what | form | {' | '.join(f'{batch} images, µs' for batch in BATCHES)} |",
        "| --- | --- |" + " --- |" * len(BATCHES),
    ]
    for what, forms in (("products", batched), ("mask", masked)):
        by_batch = []
        for batch in BATCHES:
            work = [partial(session(*form).run, None, form[1]) for form in forms(batch).values()]
            by_batch.append(medians(work, options.rounds))
        for name, *seconds in zip(forms(1), *by_batch, strict=True):
            rows.append(f"| {what} | {name} | {' | '.join(f'{1e6 * s:.0f}' for s in seconds)} |")
    note = f"One thread; medians of {options.rounds} rounds in turns."
    text = "\n".join([note, "", *rows])
    print(text)
    if not options.dry:
        section("forms", "python benchmarks/forms.py", text)


if __name__ == "__main__":
    main()
