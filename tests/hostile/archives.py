"""Hostile conformance.npz of the package `head`: archives, arrays and values."""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime import edit
from .manifests import Case


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version=(1, 0))
    return stream.getvalue()


def golden(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: edit.golden(folder, **changes)


def members(count: int) -> Callable[[Path], object]:
    return lambda folder: edit.archive(folder, {f"m{i}.npy": b"" for i in range(count)})


@functools.cache
def gigabyte() -> bytes:
    """An archive of five megabytes with a gigabyte of zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("support_x.npy", "w") as member:
            member.write(npy(np.zeros(1, np.float32)))
            for _ in range(64):
                member.write(bytes(2**24))
    return stream.getvalue()


def bomb(folder: Path) -> None:
    (folder / "conformance.npz").write_bytes(gigabyte())


def lying_bomb(folder: Path) -> None:
    """The same, whose directory says that it is small."""
    content = gigabyte()
    at = content.rindex(b"PK\x01\x02")
    small = content[: at + 24] + (2000).to_bytes(4, "little") + content[at + 28 :]
    (folder / "conformance.npz").write_bytes(small)


def folder_instead(folder: Path) -> None:
    (folder / "conformance.npz").unlink()
    (folder / "conformance.npz").mkdir()


def compressed(folder: Path) -> None:
    """What a writer may do: deflated members."""
    with np.load(folder / "conformance.npz") as archive:
        arrays: dict[str, Any] = dict(archive)
    np.savez_compressed(folder / "conformance.npz", **arrays)


GOLD = "PackageError: conformance.npz"
X = np.zeros((5, 6, 6, 1), np.float32)
ONES = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 0]]
CASES: dict[str, Case] = {
    "a bomb": (bomb, GOLD + " is larger than the 67108864 bytes that are read"),
    "a bomb that lies": (lying_bomb, GOLD),
    "100 000 members": (members(100_000), GOLD + " has 100000 members, at most 20000 are read"),
    "a folder": (folder_instead, "PackageError: "),
    "a name with a way out": (
        lambda folder: edit.archive(folder, {"../x.npy": npy(X)}), GOLD + " has a member '../x.np",
    ),
    "a member that is no array": (
        lambda folder: edit.archive(folder, {"x.txt": b""}), GOLD + " has a member 'x.txt', wanted",
    ),
    "an empty member": (
        lambda folder: edit.archive(folder, {"x.npy": b""}), GOLD + " is not a whole npz archive",
    ),
    "bzip2": (
        lambda folder: edit.archive(folder, {"x.npy": npy(X)}, method=zipfile.ZIP_BZIP2),
        GOLD + ": 'x.npy' is encrypted, or not stored or deflated",
    ),
    "a pickle": (
        lambda folder: edit.archive(
            folder, {"x.npy": npy(np.zeros(1)).replace(b"'<f8'", b"'|O'") + b" "}
        ),
        GOLD,
    ),
    "deflated members": (compressed, "ok"),
    "examples of another rank": (
        golden(support_x=X[0]), GOLD + ": `support_x` is [6, 6, 1], wanted 1 to 1000 examples of",
    ),
    "examples that are a number": (golden(query_x=np.float32(1)), GOLD + ": `query_x` is []"),
    "no queries": (golden(query_x=X[:0]), GOLD + ": `query_x` is [0, 6, 6, 1], wanted 1 to 1000"),
    "examples of int64": (
        golden(support_x=X.astype(np.int64)), GOLD + ": `support_x` is int64 [5, 6, 6, 1], wanted",
    ),
    "examples that are not finite": (
        golden(query_x=X + np.nan), GOLD + ": `query_x` has values that are not finite",
    ),
    "too many queries": (
        golden(query_x=np.zeros((1001, 6, 6, 1), np.float32)), GOLD + ": `query_x` is [1001, 6, 6,",
    ),
    "labels of one axis": (golden(support_y=ONES[:, 0]), GOLD + ": `support_y` is [5], wanted a"),
    "labels for others": (golden(support_y=ONES[:3]), GOLD + ": `support_y` is [3, 3], wanted a"),
    "labels that are not one-hot": (
        golden(support_y=ONES * 2), GOLD + ": `support_y` has other values than a single 1 in",
    ),
    "a class without examples": (
        golden(support_y=np.eye(4, dtype=np.float32)[[0, 1, 1, 2, 0]]), GOLD + ": `support_y` has",
    ),
    "a state of int64": (
        golden(head__1__w=np.zeros((3, 5), np.int64)), GOLD + ": `head/1/w` is int64 [3, 5], want",
    ),
    "a thinned state of two axes": (
        golden(**{"head__1__w": None, "head__1__w[::2]": np.zeros((2, 2), np.float32)}),
        GOLD + ": `head/1/w` is float32 [2, 2], wanted float32 of one axis",
    ),
    "thinned by nothing": (
        golden(**{"head__1__w": None, "head__1__w[::0]": np.zeros(1, np.float32)}),
        GOLD + " has an unknown `head/1/w[::0]`",
    ),
    "a state twice": (
        golden(**{"head__1__w[::2]": np.zeros(8, np.float32)}), GOLD + " has an unknown `head/1/w",
    ),
    "no state": (golden(head__1__w=None), GOLD + " has no `head/1/w`"),
    "a state of the wrong shape": (golden(head__1__w=np.zeros((9, 9), np.float32)), "ok"),
}  # fmt: skip
