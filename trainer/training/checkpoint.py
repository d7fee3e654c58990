"""Checkpoints: tensors as safetensors, the rest as JSON; atomic, resumed bit for bit.

A file is written whole or not at all; a full disk is an error that says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from handful.runtime.errors import HandfulError
from handful.runtime.package import files


class StorageError(HandfulError):
    """A file cannot be written: the disk is full, or the folder is not ours."""


@contextmanager
def storing(path: Path, hint: str) -> Iterator[None]:
    """What cannot be written to `path` meanwhile is a StorageError with this hint."""
    try:
        yield
    except OSError as cause:
        raise StorageError(f"cannot write {path}: {cause.strerror or cause}", hint=hint) from cause


def write(path: Path, content: bytes) -> None:
    """Replace the file atomically: it is the old one or the new one; its folder is created."""
    hint = "make room, then go on with --resume: the last checkpoint is whole"
    with storing(path, hint):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(path, content)


LAST, BEST = "last.safetensors", "best.safetensors"


class CheckpointError(HandfulError):
    """A run's files are missing, broken or belong to another run."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Tensors and facts in one file, so that they cannot come from different steps."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    write(path, save(plain, metadata={"handful": json.dumps(facts)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_checkpoint` wrote."""
    try:
        content = path.read_bytes()
        # copied to where torch puts tensors: a product of matrices that begin elsewhere in a cache
        # line may be rounded otherwise, and a resumed run would leave its track by the last bit
        tensors = {name: tensor.clone() for name, tensor in load(content).items()}
        size = int.from_bytes(content[:8], "little")
        facts = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["handful"])
    except FileNotFoundError:
        raise CheckpointError(
            f"no {path.name} in {path.parent}", hint="a run is a folder made by `handful train`"
        ) from None
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of handful: {error}") from error
    return tensors, facts
