"""Spoiling a package: its manifest, or one of its graphs with a manifest that agrees."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from handful.runtime.package.npz import pack_npz


def manifest(folder: Path, change: Callable[[Any], object]) -> None:
    """Alter the manifest as a tree of JSON."""
    file = folder / "manifest.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def put(folder: Path, graph: str, data: bytes) -> None:
    """Give a graph other bytes, and the manifest their hash."""
    (folder / f"{graph}.onnx").write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest(folder, lambda content: content["graphs"][graph].update(entry))


def model(folder: Path, graph: str, change: Callable[[Any], object]) -> None:
    """Alter a graph as an onnx.ModelProto."""
    proto = onnx.load(folder / f"{graph}.onnx")
    change(proto)
    put(folder, graph, proto.SerializeToString())


def golden(folder: Path, **changes: Any) -> None:
    """Alter conformance.npz; `head__1__w` is `head/1/w`, None removes an array."""
    with np.load(folder / "conformance.npz") as archive:
        arrays: dict[str, Any] = dict(archive)
    for name, value in changes.items():
        key = name.replace("__", "/")
        if value is None:
            del arrays[key]
        else:
            arrays[key] = value
    (folder / "conformance.npz").write_bytes(pack_npz(arrays))


def archive(folder: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> None:
    """conformance.npz with these very members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    (folder / "conformance.npz").write_bytes(stream.getvalue())
