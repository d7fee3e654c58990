"""A frozen ONNX backbone: pictures become embeddings once, kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Floats
from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import InputSpec

from .backbones import BACKBONES, known
from .cache import cache_folder, keep
from .channels import Channels
from .config import DataConfig
from .errors import DataError
from .labelled import LabelledSet
from .pictures import converted

BATCH = 16  # pictures at a time: EfficientNet-Lite0 at 224 then stays below 300 MiB
WANTED = "a backbone reads float32 [n, C, S, S] or [n, S, S, C], C 1 or 3, n free, and gives [n, D]"
COLOURS: dict[int, Literal["grey", "rgb"]] = {1: "grey", 3: "rgb"}


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
    if named := known(config.backbone):
        return BackboneInput(named.input, named.size, named.layout, named.colour)
    return backbone_input(backbone_file(config))


def backbone_file(config: DataConfig) -> Path:
    """The backbone's ONNX file; one that is known by name is made once, and kept in the cache."""
    if config.backbone is None:
        raise DataError("no backbone is given", hint="set data.backbone to an ONNX file")
    named = known(config.backbone)
    if named is None:
        return config.backbone
    file = cache_folder() / "backbones" / f"{config.backbone}-{named.revision}.onnx"
    if not file.is_file():
        keep(file, named.convert())
    return file


def packaged_input(spec: InputSpec) -> BackboneInput:
    """What the backbone in an exported package reads, by the package's `input`."""
    if spec.kind != "image" or spec.layout is None or spec.colour is None:
        raise DataError("the package was trained on a backbone, and does not read pictures")
    return BackboneInput("x", spec.shape[1], spec.layout, spec.colour)


def for_backbone(
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
    x = converted(x, spec)
    x = x.permute(0, 3, 1, 2) if wanted.layout == "CHW" else x
    return replace(pictures, x=x.contiguous(), input=spec)


def _check_channels(wanted: BackboneInput, config: DataConfig) -> None:
    mean, channels = config.preprocessing.mean, 1 if wanted.colour == "grey" else 3
    if mean is not None and len(mean) != channels:
        raise DataError(
            f"data.backbone_mean has {len(mean)} numbers,"
            f" backbone {config.backbone} reads {channels} channels"
        )


def embed_pictures(pictures: LabelledSet, config: DataConfig) -> LabelledSet:
    """The backbone's embeddings [M, D] of uint8 pictures, from the cache where they were kept."""
    path, channels = backbone_file(config), Channels.of(config)
    pictures = for_backbone(pictures, config)
    file = cache_folder() / f"{_key(path, pictures, channels)}.npy"
    x = _cached(file, len(pictures.x))
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
        interpolation=wanted_pixels.interpolation,
    )


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


def _check_finite(x: Floats, path: Path) -> None:
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise DataError(
            f"backbone {path} gives values that are not finite for picture {finite.argmin()}",
            hint="data.backbone_scale and data.backbone_offset must be those it was trained with",
        )


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


def _key(path: Path, pictures: LabelledSet, channels: Channels | None) -> str:
    """The hash of everything that the embeddings depend on."""
    facts = [asdict(pictures.input), list(pictures.x.shape)]
    facts += [asdict(channels)] if channels else []
    digest = hashlib.sha256(json.dumps(facts).encode())
    with path.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    digest.update(pictures.x.contiguous().numpy().data)
    return digest.hexdigest()


def _cached(file: Path, count: int) -> Floats | None:
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
