"""`embed` in a lower precision: 8-bit convolutions, or weights of 16 bits.

int8 is static quantisation by onnxruntime's own tool, with Q(x) = round(x / s) + z:

    filters       −127 to 127, z = 0, a scale for each filter, so small that no CPU's sums overflow
    activations   0 to 255, s and z from the least and the largest value over calibration examples

in the form with QuantizeLinear and DequantizeLinear, standard operators all of them, which
onnxruntime turns into 8-bit kernels when it loads the graph. Convolutions are quantised, and the
sums, clips and maxima between them; whatever comes before the first one, such as the energies of a
sound, or after the last, is computed in float32. So is the rest of the package.

float16 stores the weights in 16 bits and casts them to float32 when the graph is loaded: half the
file, the same arithmetic.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common
from torch import Tensor

from handful.runtime.arrays import Floats
from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import Precision
from handful.runtime.sessions import setup
from handful.trainer.settings.errors import ExportError

from .graphs import Graphs
from .simplify import name_ports
from .trace import Port, silence_exporter

MOST = 127
LEAST = 1e-4  # of the largest scale: a filter that is all zeros needs one too
AFTER_CONVOLUTIONS = ("Add", "Clip", "MaxPool", "Relu")  # computed in 8 bits as well
PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")  # what the tool would warn without
FEWEST = 64  # values of a weight that is worth 16 bits less


def convert_precision(graphs: Graphs, precision: Precision, examples: Tensor | None) -> Graphs:
    """The graphs with `embed` in this precision; int8 is calibrated on examples [M, …]."""
    if precision == "float32":
        return graphs
    if graphs.embed is None:
        raise ExportError(
            f"there is no `embed` to write as {precision}: all of the learner adapts",
            hint="leave out --precision",
        )
    model = graphs.models[graphs.embed]
    (inputs, outputs) = graphs.ports[graphs.embed]
    if precision == "float16":
        model = halve(model)
    else:
        assert examples is not None  # whoever asks for int8 brings them
        model = quantise(model, examples.numpy())
    ports = [Port(tensor.name, tensor.shape) for tensor in inputs]
    model = name_ports(model, ports, {tensor.name: tensor.shape for tensor in outputs})
    return replace(graphs, models={**graphs.models, graphs.embed: model})


def run_embed(model: bytes, x: Tensor) -> Floats:
    """h [B, …] as the runtime gets it: by the same options of onnxruntime."""
    session = ort.InferenceSession(model, setup().options, providers=["CPUExecutionProvider"])
    h: Floats = session.run(None, {"x": x.numpy()})[0]
    return h


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights rounded to 16 bits, each with a Cast behind it that makes float32 of it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < FEWEST:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue  # a bound, not a weight
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}/half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def quantise(model: onnx.ModelProto, examples: Floats) -> onnx.ModelProto:
    """The graph with 8-bit convolutions, their ranges those over the examples."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantize

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the tool has no types
        """One example at a time."""

        def __init__(self) -> None:
            self.rest = iter(examples)

        def get_next(self) -> dict[str, Floats] | None:
            x = next(self.rest, None)
            return None if x is None else {"x": x[None]}

    with tempfile.TemporaryDirectory() as folder:
        folded = _fold(model, Path(folder) / "folded.onnx")
        chosen = _choose(folded)
        if not any(node.op_type == "Conv" and node.name in chosen for node in folded.graph.node):
            raise ExportError(
                "there is no convolution in `embed` to write as int8",
                hint="export it with --precision float16, or without",
            )
        helper.set_model_props(folded, dict([PREPARED]))
        file = Path(folder) / "quantised.onnx"
        quantize(
            folded,
            str(file),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *AFTER_CONVOLUTIONS],
            nodes_to_quantize=sorted(chosen),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"TensorQuantOverrides": _filters(folded, chosen, QuantType.QInt8)},
        )
        model = onnx.load(str(file))
    with silence_exporter():  # several views of an example share their filters
        graph = ir.from_proto(model)
        common.DeduplicateInitializersPass(size_limit=2**62)(graph)
        common.CommonSubexpressionEliminationPass()(graph)
        common.RemoveUnusedNodesPass()(graph)
        return ir.to_proto(graph)


def _fold(model: onnx.ModelProto, file: Path) -> onnx.ModelProto:
    """Scales and shifts multiplied into the convolutions before them, in standard operators."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(str(file))
    for i, node in enumerate(folded.graph.node):
        node.name = f"{node.op_type}_{i}"  # the tool chooses by name
    return folded


def _choose(model: onnx.ModelProto) -> set[str]:
    """Convolutions with constant filters, and what may be 8 bits among the nodes behind one."""
    constants = {tensor.name for tensor in model.graph.initializer}
    behind: set[str] = set()
    chosen = set()
    for node in model.graph.node:
        if node.op_type == "Conv" and constants.issuperset(node.input[1:]):
            chosen.add(node.name)
            behind.update(node.output)
        elif behind.intersection(node.input):
            behind.update(node.output)
            if node.op_type in AFTER_CONVOLUTIONS:
                chosen.add(node.name)
    return chosen


def _filters(model: onnx.ModelProto, chosen: set[str], int8: Any) -> dict[str, list[Any]]:
    """What the tool is told of each filter of the convolutions: its scale."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    told = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.name in chosen:
            scales = filter_scales(numpy_helper.to_array(weights[node.input[1]]))
            each = [{"quant_type": int8, "scale": s, "zero_point": np.int8(0)} for s in scales]
            told[node.input[1]] = [{"axis": 0, **each[0]}, *each[1:]]
    return told


def filter_scales(weight: Floats) -> Floats:
    """A scale for each filter of weight [M, C, …], [M].

    CPUs with AVX2 but no VNNI multiply 8-bit activations a, 0 to 255, by filters w, −127 to 127,
    and add neighbouring products in pairs of 16 bits before they go on in 32. a₁w₁ + a₂w₂ may be
    64,770 there, and becomes 32,767. A filter's scale is therefore the least at which

        |w| ≤ 127    and    |w₁ + w₂| ≤ 127 for each pair of one sign

    so that a pair is at most 255 · 128 (1 for rounding), and every CPU gets the same levels.
    Filters of one pixel are read channel after channel, in pairs; in wider ones any two may meet.
    Those of one channel are never multiplied in this way.

    The usual remedy, filters of 7 bits throughout, is twice as coarse; this is 1.2 times as coarse
    in EfficientNet-Lite0, and equally fast (docs/photos.md).
    """
    rows = weight.reshape(len(weight), -1)
    largest = np.abs(rows).max(axis=1)
    if weight.shape[1] > 1:
        one_pixel = rows.shape[1] == weight.shape[1]
        largest = np.maximum(largest, _neighbours(rows) if one_pixel else _any_two(rows))
    scales: Floats = np.maximum(largest, max(LEAST * largest.max(), 1e-30)) / np.float32(MOST)
    return scales


def _neighbours(rows: Floats) -> Floats:
    """The largest |w₁ + w₂| of a filter's pairs of one sign, the first with the second, …: [M]."""
    pairs = np.pad(rows, [(0, 0), (0, rows.shape[1] % 2)]).reshape(len(rows), -1, 2)
    same = pairs[..., 0] * pairs[..., 1] > 0
    sums: Floats = np.abs(pairs.sum(axis=2) * same).max(axis=1)
    return sums


def _any_two(rows: Floats) -> Floats:
    """The largest |w₁ + w₂| of any two weights of one sign in a filter: [M]."""
    signs = [np.sort(np.maximum(side, 0), axis=1)[:, -2:].sum(axis=1) for side in (rows, -rows)]
    sums: Floats = np.maximum(*signs)
    return sums
