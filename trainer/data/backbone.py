"""A frozen ONNX backbone: pictures become embeddings once, kept in the user's cache folder.

What it subtracts from each channel of its pictures and divides it by is checked against the graph.
Embeddings that are all alike are refused, those of a doubtful scale reported.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Floats
from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import InputSpec
from handful.trainer.data.backbones.named import BACKBONES, find_known
from handful.trainer.data.sources.download import cache_folder, keep
from handful.trainer.data.sources.pictures import convert
from handful.trainer.settings.errors import DataError

from .config import DataConfig
from .labelled import LabelledSet

SHAPED = 16  # examples that are embedded where only the form of embeddings is asked for
BATCH = 16  # pictures at a time: EfficientNet-Lite0 at 224 then stays below 300 MiB
WANTED = "a backbone reads float32 [n, C, S, S] or [n, S, S, C], C 1 or 3, n free, and gives [n, D]"
COLOURS: dict[int, Literal["grey", "rgb"]] = {1: "grey", 3: "rgb"}
ALIKE = 0.95  # a mean cosine between class means above this separates nothing
MOSTLY_ZERO = 0.95
CONSTANT = 1e-6  # of the largest value
# On 20 classes of Caltech-101 with MobileNetV1 0.25 and EfficientNet-Lite0, 1 − cosine under the
# right scale was 1.7 to 3.4 times that under 0..255 or −128..127, and 1.0 to 1.1 times under 0..1.
CLEARLY = 1.5
CLASSES, EXAMPLES = 16, 6  # on which other scales are tried


def embed_pictures(pictures: LabelledSet, config: DataConfig) -> LabelledSet:
    """The backbone's embeddings [M, D] of uint8 pictures, from the cache where they were kept."""
    path, channels = backbone_file(config), Channels.of(config)
    pictures = prepare_pictures(pictures, config)
    file = cache_folder() / f"{_key(path, pictures, channels)}.npy"
    x = _read_cached(file, len(pictures.x))
    if x is None:
        x = embed(path, pictures, channels)
        _check_finite(x, path)
        _keep(file, x)
    return replace(
        pictures,
        x=torch.from_numpy(x),
        input=InputSpec(kind="array", shape=x.shape[1:]),
        pictures=pictures.input,
    )


def embed_few(pictures: LabelledSet, config: DataConfig) -> LabelledSet:
    """As `embed_pictures`, of a few examples, and zeros for all others: what fits it is known."""
    path, channels = backbone_file(config), Channels.of(config)
    every = max(1, len(pictures.x) // SHAPED)
    x = pictures.x[::every][:SHAPED]
    few = replace(pictures, x=x, counts=torch.tensor([len(x)]), classes=("",), groups=())
    few = prepare_pictures(few, config)
    h = torch.from_numpy(embed(path, few, channels))
    _check_finite(h.numpy(), path)
    spec = InputSpec(kind="array", shape=tuple(h.shape[1:]))
    refuse_constant(replace(few, x=h, input=spec, pictures=few.input), config)
    zeros = torch.zeros(len(pictures.x), *h.shape[1:])
    return replace(pictures, x=zeros, input=spec, pictures=few.input)


def embed(path: Path, pictures: LabelledSet, channels: Channels | None) -> Floats:
    """What the backbone gives for pictures that are prepared for it, [M, D]."""
    session = _session(path)
    name = session.get_inputs()[0].name
    parts = []
    for rows in torch.split(pictures.x, BATCH):
        x = pictures.as_float(rows)
        if channels is not None:
            x = channels.apply(x, pictures.input.layout)
        parts.append(_run(session, name, x, path))
    return np.concatenate(parts)


def prepare_pictures(
    pictures: LabelledSet, config: DataConfig, wanted: BackboneInput | None = None
) -> LabelledSet:
    """Pictures [M, H, W, C] as the backbone wants them, its layout and preprocessing in `input`."""
    wanted = wanted or input_of(config)
    x = pictures.x
    if x.dtype != torch.uint8 or x.ndim != 4:
        raise DataError(
            f"backbone {config.backbone} reads pictures,"
            f" found {str(x.dtype).removeprefix('torch.')} {list(x.shape[1:])}",
            hint="give a folder of images, or uint8 pixels [M, H, W, C] in an npz file",
        )
    _check_channels(wanted, config)
    if pictures.input.layout == "CHW":
        x = x.permute(0, 2, 3, 1)
    spec = _spec(pictures.input, wanted, config)
    x = convert(x, spec)
    x = x.permute(0, 3, 1, 2) if wanted.layout == "CHW" else x
    return replace(pictures, x=x.contiguous(), input=spec)


def _run(session: Any, name: str, x: Tensor, path: Path) -> Floats:
    try:
        h = np.asarray(session.run(None, {name: x.numpy()})[0])
    except Exception as cause:  # as above
        raise DataError(f"backbone {path} fails on {list(x.shape)}: {cause}") from cause
    if h.dtype != np.float32 or h.ndim != 2 or len(h) != len(x):
        raise DataError(
            f"backbone {path} gives {h.dtype} {list(h.shape)} for {len(x)} pictures", hint=WANTED
        )
    return h


def _check_finite(x: Floats, path: Path) -> None:
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise DataError(
            f"backbone {path} gives values that are not finite for picture {finite.argmin()}",
            hint="data.backbone_scale and data.backbone_offset must be those it was trained with",
        )


def _session(path: Path) -> Any:
    if not path.is_file():
        raise DataError(
            f"no backbone {path}",
            hint=f"data.backbone is an ONNX file, or one of {', '.join(BACKBONES)}",
        )
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as cause:  # onnxruntime has a class for each status, none of them documented
        raise DataError(f"backbone {path} is not an ONNX graph that runs: {cause}") from cause


def _input(session: Any, path: Path) -> BackboneInput:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise DataError(
            f"backbone {path} has {len(inputs)} inputs and {len(outputs)} outputs,"
            " wanted one of each",
            hint=WANTED,
        )
    shape, kind = list(inputs[0].shape), inputs[0].type
    if kind == "tensor(float)" and len(shape) == 4 and not isinstance(shape[0], int):
        _, a, b, c = shape
        if a in COLOURS and b == c and isinstance(b, int):
            return BackboneInput(inputs[0].name, b, "CHW", COLOURS[a])
        if c in COLOURS and a == b and isinstance(a, int):
            return BackboneInput(inputs[0].name, a, "HWC", COLOURS[c])
    raise DataError(f"backbone {path} reads {kind} {shape}", hint=WANTED)


def _spec(source: InputSpec, wanted: BackboneInput, config: DataConfig) -> InputSpec:
    wanted_pixels = config.preprocessing
    side, scale, offset = wanted.size, wanted_pixels.scale, wanted_pixels.offset
    if wanted_pixels.mean is not None:  # the rest of it, a channel at a time, is in the graph
        scale, offset = 1 / 255, 0.0
    channels = 1 if wanted.colour == "grey" else 3
    ends = (offset, 255 * scale + offset)
    return replace(
        source,
        shape=(channels, side, side) if wanted.layout == "CHW" else (side, side, channels),
        layout=wanted.layout,
        range=(min(ends), max(ends)),
        colour=wanted.colour,
        scale=scale,
        offset=offset,
        resize=max(side, wanted_pixels.resize or side),
        fit=config.fit,
        interpolation=wanted_pixels.interpolation,
    )


def _key(path: Path, pictures: LabelledSet, channels: Channels | None) -> str:
    """The hash of everything that the embeddings depend on."""
    facts = [asdict(pictures.input), list(pictures.x.shape)]
    facts += [asdict(channels)] if channels else []
    digest = hashlib.sha256(json.dumps(facts).encode())
    with path.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    digest.update(pictures.x.contiguous().numpy().data)
    return digest.hexdigest()


def _read_cached(file: Path, count: int) -> Floats | None:
    """The cached embeddings; None where there are none, or where the file is not whole."""
    try:
        x = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return x if x.dtype == np.float32 and x.ndim == 2 and len(x) == count else None


def _keep(file: Path, x: Floats) -> None:
    stream = io.BytesIO()
    np.save(stream, x, allow_pickle=False)
    keep(file, stream.getvalue())


@dataclass(frozen=True)
class Channels:
    """The mean and the deviation of each channel, of pixels that run from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, config: DataConfig) -> Channels | None:
        """Those of the settings, which have both or none."""
        mean, std = config.preprocessing.mean, config.preprocessing.std
        return None if mean is None or std is None else cls(mean, std)

    def factors(self, layout: str | None) -> tuple[Tensor, Tensor]:
        """a and b of x · a + b, shaped for pictures [B, C, H, W] ("CHW") or [B, H, W, C]."""
        shape = (1, -1, 1, 1) if layout == "CHW" else (1, 1, 1, -1)
        mean, std = (torch.tensor(t, dtype=torch.float64) for t in (self.mean, self.std))
        return (1 / std).float().reshape(shape), (-mean / std).float().reshape(shape)

    def apply(self, x: Tensor, layout: str | None) -> Tensor:
        """Pictures [B, ...] with values from 0 to 1 as the backbone reads them."""
        scale, offset = self.factors(layout)
        return x * scale.to(x.device) + offset.to(x.device)


SCALES = {
    "backbone_scale = 1.0, backbone_offset = 0.0": (1.0, 0.0, None),
    "backbone_scale = 0.00392156862745098, backbone_offset = 0.0": (1 / 255, 0.0, None),
    "backbone_scale = 0.00784313725490196, backbone_offset = -1.0": (1 / 127.5, -1.0, None),
    "backbone_mean = [0.485, 0.456, 0.406], backbone_std = [0.229, 0.224, 0.225]": (
        1 / 255,
        0.0,
        Channels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's, as torchvision's
    ),
}


class BackboneInput(NamedTuple):
    """What the graph reads: the input's name, its pictures' side in pixels, layout and colour."""

    name: str
    size: int
    layout: Literal["HWC", "CHW"]
    colour: Literal["grey", "rgb"]


def backbone_input(path: Path) -> BackboneInput:
    """The input of the graph, from the graph itself."""
    return _input(_session(path), path)


def input_of(config: DataConfig) -> BackboneInput:
    """What the backbone of the settings reads."""
    if named := find_known(config.backbone):
        return BackboneInput(named.input, named.size, named.layout, named.colour)
    return backbone_input(backbone_file(config))


def packaged_input(spec: InputSpec) -> BackboneInput:
    """What the backbone in an exported package reads, by the package's `input`."""
    if spec.kind != "image" or spec.layout is None or spec.colour is None:
        raise DataError("the package was trained on a backbone, and does not read pictures")
    return BackboneInput("x", spec.shape[1], spec.layout, spec.colour)


def backbone_file(config: DataConfig) -> Path:
    """The backbone's ONNX file; one that is known by name is made once, and kept in the cache."""
    if config.backbone is None:
        raise DataError("no backbone is given", hint="set data.backbone to an ONNX file")
    named = find_known(config.backbone)
    if named is None:
        return config.backbone
    file = cache_folder() / "backbones" / f"{config.backbone}-{named.revision}.onnx"
    if not file.is_file():
        keep(file, named.convert())
    return file


def _check_channels(wanted: BackboneInput, config: DataConfig) -> None:
    mean, channels = config.preprocessing.mean, 1 if wanted.colour == "grey" else 3
    if mean is not None and len(mean) != channels:
        raise DataError(
            f"data.backbone_mean has {len(mean)} numbers,"
            f" backbone {config.backbone} reads {channels} channels"
        )


@dataclass(frozen=True)
class Measured:
    """Statistics of a set of embeddings."""

    lowest: float
    highest: float
    spread: float  # standard deviation of a dimension, the mean over all of them
    zeros: float  # share
    cosine: float  # between the means of two classes, the mean over all pairs

    def __str__(self) -> str:
        """As a sentence's end."""
        return (
            f"from {self.lowest:.3g} to {self.highest:.3g}, deviation {self.spread:.2g},"
            f" {100 * self.zeros:.0f} % zeros,"
            f" mean cosine between class means {self.cosine:.3f}"
        )


def measure(data: LabelledSet) -> Measured:
    """The statistics of embeddings [M, D] of two classes or more."""
    x = data.x.flatten(1).double().cpu()
    parts = torch.split(x, data.counts.tolist())
    means = torch.stack([part.mean(dim=0) for part in parts])
    unit = means / means.norm(dim=1, keepdim=True).clamp_min(1e-30)
    pairs = len(unit) * (len(unit) - 1)
    cosine = (unit.sum(dim=0).square().sum() - unit.square().sum()) / max(pairs, 1)
    return Measured(
        float(x.min()),
        float(x.max()),
        float(x.std(dim=0, correction=0).mean()),
        float((x == 0).double().mean()),
        float(cosine),
    )


def refuse_constant(data: LabelledSet, config: DataConfig) -> None:
    """Refuse embeddings [M, D] that are the same for every example of several classes."""
    x = data.x.flatten(1)
    largest = float(x.abs().max())
    if len(data.classes) > 1 and float((x.amax(0) - x.amin(0)).max()) <= CONSTANT * largest:
        raise DataError(
            f"backbone {config.backbone} gives the same embedding for all {len(x)} pictures",
            hint=f"it reads {pixel_range(config)}: data.backbone_scale and data.backbone_offset, or"
            " data.backbone_mean and data.backbone_std, must be those it was trained with",
        )


def pixel_range(config: DataConfig) -> str:
    """The range of values that the settings make of pixels."""
    channels = Channels.of(config)
    if channels is None:
        scaled = config.preprocessing
        low, high = scaled.offset, 255 * scaled.scale + scaled.offset
    else:
        scale, offset = (t.flatten() for t in channels.factors(None))
        low, high = float(offset.min()), float((scale + offset).max())
    return f"values from {min(low, high):.4g} to {max(low, high):.4g}"


def doubts(data: LabelledSet, pictures: LabelledSet, config: DataConfig) -> Iterator[str]:
    """Sentences about embeddings that look as if the backbone read pictures in a wrong scale.

    `pictures` are the examples that `data` are the embeddings of, prepared for the backbone.
    """
    measured = measure(data)
    if measured.cosine > ALIKE or measured.zeros > MOSTLY_ZERO:
        yield (
            f"the embeddings of all classes are nearly the same ({measured}); the backbone reads"
            f" {pixel_range(config)}: is that what it was trained with?"
        )
    better = None if find_known(config.backbone) else _better_scale(pictures, config)
    if better is not None:
        yield (
            f"the backbone reads {pixel_range(config)}, and separates the classes worse than with"
            f" {better}: are data.backbone_scale and data.backbone_offset those of its training?"
        )


def _better_scale(pictures: LabelledSet, config: DataConfig) -> str | None:
    """The usual scale under which a few classes lie clearly further apart, if there is one."""
    sample = _choose_few(pictures)
    path = backbone_file(config)
    x = _embed(sample, path, Channels.of(config))
    distance = 1 - measure(sample.with_features(x)).cosine
    distances: dict[str, float] = {}
    for name, (scale, offset, channels) in SCALES.items():
        if channels is not None and sample.input.colour != "rgb":
            continue
        scaled = replace(sample, input=replace(sample.input, scale=scale, offset=offset))
        x = _embed(scaled, path, channels)
        if bool(torch.isfinite(x).all()):
            distances[name] = 1 - measure(sample.with_features(x)).cosine
    best = max(distances, key=lambda name: distances[name])
    enough = max(CLEARLY * max(distance, 1e-9), 1 - ALIKE)
    return best if distances[best] > enough else None


def _embed(pictures: LabelledSet, backbone: Path, channels: Channels | None) -> Tensor:
    return torch.from_numpy(embed(backbone, pictures, channels))


def _choose_few(pictures: LabelledSet) -> LabelledSet:
    """Some examples of some classes, evenly from all of them."""
    every = max(1, len(pictures.classes) // CLASSES)
    sample = pictures.take(range(0, len(pictures.classes), every)[:CLASSES])
    parts = [part[:EXAMPLES] for part in torch.split(sample.x, sample.counts.tolist())]
    return replace(sample, x=torch.cat(parts), counts=sample.counts.clamp_max(EXAMPLES))
