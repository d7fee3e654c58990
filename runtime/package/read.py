"""Reading a package with care: each file is opened once, hashed and vetted."""

from dataclasses import dataclass
from pathlib import Path

from handful.runtime.errors import PackageError

from .decode import decode, read_bytes
from .files import is_folder, read_regular, sha256
from .manifest import GraphSpec, Manifest, TensorSpec
from .names import NEXT
from .strict import brief
from .vet import Shape, Vetted, vet


@dataclass(frozen=True)
class Package:
    """A package in memory: nothing of it is read from disk again."""

    path: Path
    manifest: Manifest
    identity: str  # sha256 of manifest.json, which names every file by its hash
    size: int  # bytes of the manifest and the graphs
    graphs: dict[str, bytes]
    vetted: dict[str, Vetted]


def read_package(path: str | Path) -> Package:
    """The package in the folder `path`; a PackageError at the first file that is not as it says."""
    path = Path(path)
    text = read_bytes(path)
    folder = path if is_folder(path) else path.parent
    manifest = decode(text)
    graphs, vetted = {}, {}
    for name, spec in manifest.graphs.items():
        data = read_graph(folder, spec)
        vetted[name] = vet(data, spec.file)
        _as_declared(vetted[name].inputs, spec.inputs, f"{spec.file}: input")
        outputs = _as_listed(vetted[name].outputs, spec.outputs)
        _as_declared(outputs, spec.outputs, f"{spec.file}: output")
        graphs[name] = data
    size = len(text) + sum(map(len, graphs.values()))
    return Package(folder, manifest, sha256(text), size, graphs, vetted)


def read_graph(folder: Path, spec: GraphSpec) -> bytes:
    """The bytes of one graph, of the size and with the hash that the manifest gives."""
    data = read_regular(folder / spec.file, limit=spec.bytes)
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


def _as_listed(
    outputs: dict[str, tuple[str, Shape]], declared: tuple[TensorSpec, ...]
) -> dict[str, tuple[str, Shape]]:
    """The outputs by their names in the manifest, where the file calls `w` `w.next`."""
    names = [tensor.name for tensor in declared]
    listed = [name.removesuffix(NEXT) if name not in names else name for name in outputs]
    if len(set(listed)) != len(listed) or (sorted(listed) == sorted(names) and listed != names):
        raise PackageError(
            f"outputs are {brief(', '.join(listed))}, the manifest lists {brief(', '.join(names))}"
        )
    return dict(zip(listed, outputs.values(), strict=True))


def _as_declared(
    ports: dict[str, tuple[str, Shape]], declared: tuple[TensorSpec, ...], place: str
) -> None:
    """The graph's own inputs or outputs against what the manifest lists."""
    names = {tensor.name for tensor in declared}
    for name in ports:
        if name not in names:
            raise PackageError(f"{place} {brief(name)!r} is not in the manifest")
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
                f"{place} {tensor.name!r} is {dtype} {_shown(shape)}, "
                f"the manifest says {tensor.dtype} {list(tensor.shape)}"
            )


def _shown(shape: Shape) -> list[int | str]:
    return [brief(size) if isinstance(size, str) else size for size in shape]
