"""Reading a package with care: each file is opened once, hashed and vetted.

A package is found by its folder, or by the name of one that ships with handful.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful.runtime.errors import PackageError
from handful.runtime.vetting.vet import Shape, Vetted, vet

from .archive import Files, open_files
from .decode import decode, identify, manifest_of
from .files import brief_path, is_folder, mode_of, sha256
from .manifest import CARD, FILE, GOLDEN, NEXT, GraphSpec, Manifest, TensorSpec, is_basename
from .strict import shorten


@dataclass(frozen=True)
class Package:
    """A package in memory: nothing of it is read from disk again."""

    files: Files
    manifest: Manifest
    identity: str  # of manifest.json, which names every file by its hash: see `identify`
    size: int  # bytes of the manifest and the graphs
    graphs: dict[str, bytes]
    vetted: dict[str, Vetted]


def read_package(package: Path | bytes) -> Package:
    """A package from a folder, a file or bytes; a PackageError at the first thing that is wrong."""
    files = open_files(package)
    text = manifest_of(files)
    manifest = decode(text)
    files.check_names(parts(manifest))
    graphs, vetted = {}, {}
    for name, spec in manifest.graphs.items():
        data = read_graph(files, spec)
        vetted[name] = vet(data, spec.file)
        _check_declared(vetted[name].inputs, spec.inputs, f"{spec.file}: input")
        outputs = _name_as_listed(vetted[name].outputs, spec.outputs)
        _check_declared(outputs, spec.outputs, f"{spec.file}: output")
        graphs[name] = data
    size = len(text) + sum(map(len, graphs.values()))
    return Package(files, manifest, identify(text), size, graphs, vetted)


def parts(manifest: Manifest) -> set[str]:
    """The names of the files that a package may hold: all but two of them it must."""
    return {FILE, GOLDEN, CARD, *(spec.file for spec in manifest.graphs.values())}


def read_graph(files: Files, spec: GraphSpec) -> bytes:
    """The bytes of one graph, of the size and with the hash that the manifest gives."""
    data = files.read(spec.file, limit=spec.bytes)
    if len(data) != spec.bytes:
        raise PackageError(
            f"{spec.file} has {len(data)} bytes, the manifest says {spec.bytes}",
            hint="copy the package again, as a whole",
        )
    if (digest := sha256(data)) != spec.sha256:
        raise PackageError(
            f"{spec.file} has sha256 {digest}, the manifest says {spec.sha256}",
            hint="the file was altered: copy the package again, as a whole",
        )
    return data


def _name_as_listed(
    outputs: dict[str, tuple[str, Shape]], declared: tuple[TensorSpec, ...]
) -> dict[str, tuple[str, Shape]]:
    """The outputs by their names in the manifest, where the file calls `w` `w.next`."""
    names = [tensor.name for tensor in declared]
    listed = [name.removesuffix(NEXT) if name not in names else name for name in outputs]
    if len(set(listed)) != len(listed) or (sorted(listed) == sorted(names) and listed != names):
        raise PackageError(
            f"outputs are {shorten(', '.join(listed))},"
            f" the manifest lists {shorten(', '.join(names))}"
        )
    return dict(zip(listed, outputs.values(), strict=True))


def _check_declared(
    ports: dict[str, tuple[str, Shape]], declared: tuple[TensorSpec, ...], place: str
) -> None:
    """The graph's own inputs or outputs against what the manifest lists."""
    names = {tensor.name for tensor in declared}
    for name in ports:
        if name not in names:
            raise PackageError(f"{place} {shorten(name)!r} is not in the manifest")
    for tensor in declared:
        if tensor.name not in ports:
            raise PackageError(f"{place} {tensor.name!r} is in the manifest and not in the graph")
        dtype, shape = ports[tensor.name]
        fixed = len(shape) == len(tensor.shape) and all(
            isinstance(b, str) if isinstance(a, str) else a == b or isinstance(b, str)
            for a, b in zip(tensor.shape, shape, strict=True)
        )
        if dtype != tensor.dtype or not fixed:
            raise PackageError(
                f"{place} {tensor.name!r} is {dtype} {_quote(shape)}, "
                f"the manifest says {tensor.dtype} {list(tensor.shape)}"
            )


def _quote(shape: Shape) -> list[int | str]:
    return [shorten(size) if isinstance(size, str) else size for size in shape]


SHIPPED = Path(__file__).parents[2] / "exported"


def list_shipped() -> list[str]:
    """The names of the packages that ship with handful."""
    if not SHIPPED.is_dir():
        return []
    return sorted(folder.name for folder in SHIPPED.iterdir() if (folder / FILE).is_file())


def find(path: Any) -> Path:
    """The folder or the file of the package that `path` means, a string or a path.

    A string that is a plain name means the shipped package of that name, whatever lies in the
    working directory; `./name` means what lies there. A pathlib.Path means what is there, if it is.
    """
    text = _text(path)
    if not text:
        raise PackageError("the package's path is empty", hint=_hint())
    is_shipped = is_basename(text) and stat.S_ISREG(mode_of(SHIPPED / text / FILE))
    folder = Path(text)
    if is_shipped and (isinstance(path, str) or not mode_of(folder)):
        return SHIPPED / text
    if is_folder(folder):
        return folder
    if mode_of(folder):
        return folder
    raise PackageError(
        f"no folder or file {brief_path(path)}, and no shipped package of that name",
        hint=_hint(folder.name),
    )


def _text(path: Any) -> str:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise PackageError(
            f"the package is of type {type(path).__name__}, wanted a path or a name", hint=_hint()
        )
    return text


def _hint(meant: str = "") -> str:
    import difflib  # where a name was wrong, and nowhere else

    shipped = list_shipped()
    close = difflib.get_close_matches(meant.lower(), shipped, n=1)
    listed = f"hipped packages: {', '.join(shipped) or 'none'}"
    return f"did you mean {close[0]}? S{listed}" if close else f"s{listed}"
