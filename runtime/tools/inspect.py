"""What a package is made of, as data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful.runtime.package.manifest import Manifest, StageSpec, TensorSpec
from handful.runtime.package.read import Package, find, read_package
from handful.runtime.package.strict import to_plain


@dataclass(frozen=True)
class GraphDescription:
    """One graph: how large it is and what it computes with."""

    name: str
    file: str
    bytes: int
    nodes: int
    parameters: int  # float32 values stored in the graph
    operators: dict[str, int]  # operator → how often, the most frequent first
    inputs: dict[str, str]  # name → "float32 [S, 28, 28, 1]"
    outputs: dict[str, str]


@dataclass(frozen=True)
class Description:
    """One package."""

    path: str
    identity: str
    bytes: int  # graphs and manifest
    graphs: tuple[GraphDescription, ...]
    order: tuple[str, ...]  # "embed", "encoder", "latent_step × 5", …
    manifest: Manifest

    def as_json(self) -> dict[str, Any]:
        """The same as plain dicts and lists."""
        fields: dict[str, Any] = to_plain(self)
        return fields


def describe(path: str | Path) -> Description:
    """The description of the package in the folder `path`; every file is read and vetted."""
    package = read_package(find(path))
    manifest = package.manifest
    graphs = tuple(_graph(package, name) for name in manifest.graphs)
    return Description(
        package.files.name, package.identity, package.size, graphs, order(manifest), manifest
    )


def order(manifest: Manifest) -> tuple[str, ...]:
    """The graphs in the order in which they run."""
    first = [manifest.embed] if manifest.embed else []
    between = [words for stage in manifest.stages for words in _stage(stage)]
    return (*first, *between, manifest.predict)


def _stage(stage: StageSpec) -> list[str]:
    return [stage.init, *([f"{stage.step} × {stage.steps}"] if stage.step else [])]


def _graph(package: Package, name: str) -> GraphDescription:
    spec, vetted = package.manifest.graphs[name], package.vetted[name]
    return GraphDescription(
        name=name,
        file=spec.file,
        bytes=spec.bytes,
        nodes=vetted.operators.total(),
        parameters=vetted.parameters,
        operators=dict(vetted.operators.most_common()),
        inputs={tensor.name: _words(tensor) for tensor in spec.inputs},
        outputs={tensor.name: _words(tensor) for tensor in spec.outputs},
    )


def _words(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"
