"""An exported package over many episodes, through the runtime, shared among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from handful.runtime.arrays import Array, Floats
from handful.runtime.confidence import Sizes
from handful.runtime.errors import PackageError
from handful.runtime.learner import Learner, learner_of, load
from handful.runtime.package.manifest import GraphSpec, InputSpec, TensorSpec
from handful.runtime.package.read import Package, find, read_package
from handful.runtime.rollout import Rollout
from handful.runtime.sessions import setup
from handful.runtime.task import Task
from handful.runtime.tools.evaluate import (
    PER_TIME,
    Episodes,
    check,
    embed,
    evaluate_embedded,
    logits_embedded,
    outputs_by_step,
)
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.log_mel import ENERGIES
from handful.trainer.episodes import Episode, EpisodeSource, TaskSize
from handful.trainer.workers import Workers, episode_blocks

from .accuracy import draw_shares, tick_each
from .confidence import Sure, ask, promises, with_unknown


class MeasuredPackage:
    """A package loaded from a folder; a process that is sent it loads the folder itself."""

    def __init__(self, folder: Path, energies: InputSpec | None = None) -> None:
        """Load it: sessions never leave their process.

        With `energies` a package that takes sounds takes these instead.
        """
        self.folder, self.energies = folder, energies
        if energies is None:
            self.package = load(folder)
        else:
            self.package = behind_front(read_package(find(folder)), energies)

    @classmethod
    def load_for(cls, folder: Path, examples: InputSpec) -> MeasuredPackage:
        """The package as it reads such examples: behind its front end, where they are energies."""
        loaded = cls(folder)
        if loaded.package.input.kind == "audio" and examples.kind == "array":
            return cls(folder, examples)
        return loaded

    def __reduce__(self) -> Any:
        """Its class and what it was made of."""
        return MeasuredPackage, (self.folder, self.energies)


def behind_front(package: Package, energies: InputSpec) -> Learner:
    """A package that takes sounds, taking their energies instead: to measure it on these.

    The nodes before ENERGIES are left out of its `embed`; all others are those of the package.
    """
    manifest = package.manifest
    if manifest.embed is None or package.manifest.input.kind != "audio":
        raise PackageError(f"package {manifest.name} takes no sounds")
    model = onnx.load_from_string(package.graphs[manifest.embed])
    graphs = dict(package.graphs)
    specs = dict(manifest.graphs)
    embed: str | None = manifest.embed
    if any(ENERGIES in node.output for node in model.graph.node):
        graphs[manifest.embed] = _cut(model, energies)
        specs[manifest.embed] = _set_input(specs[manifest.embed], energies)
    else:  # the energies are the embedding
        del graphs[manifest.embed], specs[manifest.embed]
        embed = None
    manifest = replace(manifest, input=energies, graphs=specs, embed=embed)
    return learner_of(replace(package, manifest=manifest, graphs=graphs), setup(None, 1, None))


def _cut(model: onnx.ModelProto, energies: InputSpec) -> bytes:
    """The nodes behind ENERGIES, which is its input `x` now."""
    graph = model.graph
    wanted, kept = {graph.output[0].name}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input) - {ENERGIES}
            node.input[:] = ["x" if name == ENERGIES else name for name in node.input]
            kept.append(node)
    nodes, constants = kept[::-1], [t for t in graph.initializer if t.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    shape: list[str | int] = ["B", *energies.shape]
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    graph.input[0].CopyFrom(value)
    return bytes(model.SerializeToString(deterministic=True))


def _set_input(spec: GraphSpec, energies: InputSpec) -> GraphSpec:
    return replace(spec, inputs=(TensorSpec("x", "float32", ("B", *energies.shape)),))


def embed_shared(loaded: MeasuredPackage, x: Any, workers: Workers) -> Floats:
    """The embeddings of all examples x [M, ...], as the stages read them."""
    if loaded.package.manifest.embed is None:  # then nothing is computed
        return embed(loaded.package, x)
    batches = (x[at : at + PER_TIME] for at in range(0, len(x), PER_TIME))
    return np.concatenate(workers.map(partial(_embed, loaded), batches))


def package_accuracies(
    loaded: MeasuredPackage,
    h: Floats,
    episodes: Episodes,
    *,
    every_step: bool,
    tick: Callable[[], None],
    workers: Workers,
) -> Array:
    """Of each episode of embeddings h [M, ...]: [E, 1], or after 0 to n inner steps [E, n + 1]."""
    check(episodes, len(h), named=bool(loaded.package.classes))
    measure = partial(_measure, loaded, every_step)
    shares = _shares(h, episodes, workers)
    return np.concatenate(workers.map(measure, shares, partial(tick_each, tick)))


def package_logits(
    loaded: MeasuredPackage,
    h: Floats,
    episodes: Episodes,
    *,
    tick: Callable[[], None],
    workers: Workers,
) -> Floats:
    """What the package answers the queries of each episode of embeddings h [M, ...]: [E, Q, N]."""
    check(episodes, len(h), named=bool(loaded.package.classes))
    shares = _shares(h, episodes, workers)
    done = partial(tick_each, tick)
    return np.concatenate(workers.map(partial(_answers, loaded), shares, done))


def package_promises(
    loaded: MeasuredPackage,
    data: LabelledSet,
    h: Floats,
    size: TaskSize,
    episodes: int,
    seed: int,
    count: Callable[[int], Callable[[], None]],
    workers: Workers,
) -> Sure | None:
    """On the tasks of this seed, of examples embedded as h, with as many queries of other classes.

    None where the manifest says nothing of tasks of so many classes, or no other class is left.
    """
    manifest = loaded.package.manifest
    if not manifest.confidence or len(data.classes) <= size.way:
        return None
    sizes = Sizes(manifest)
    if not sizes.reach(size.way):
        return None
    drawn, known = with_unknown(data, size, episodes=episodes, seed=seed)
    logits = package_logits(loaded, h, drawn, tick=count(episodes), workers=workers)
    return promises(sizes, ask(logits, drawn, known), np.full(size.way, size.shot))


def package_errors(
    loaded: MeasuredPackage,
    functions: EpisodeSource,
    size: TaskSize,
    *,
    episodes: int,
    seed: int,
    every_step: bool,
    tick: Callable[[], None],
    workers: Workers,
) -> Array:
    """The squared errors on functions of this seed: [E, 1], or after each step [E, n + 1]."""
    shares = draw_shares(functions, size, episodes=episodes, seed=seed, workers=workers)
    measure = partial(_errors, loaded, every_step)
    return np.concatenate(workers.map(measure, shares, partial(tick_each, tick)))


@dataclass(frozen=True)
class PackagePlayer:
    """A package of a policy, as a device plays it: a state is a task of the runtime."""

    loaded: MeasuredPackage

    def start(self) -> Task:
        """The task before any rollout."""
        return self.loaded.package.start()

    def learn(self, state: Task, observations: Tensor, y: Tensor) -> Task:
        """The task that goes on from this one."""
        y_ = y.numpy()
        return state.add(Rollout(observations.numpy(), y_[:, :-1], y_[:, -1]))

    def act(self, states: Sequence[Task], observations: Tensor) -> Tensor:
        """Each task at its own observations."""
        seen: list[Any] = list(observations.numpy())  # each a stack [K, O]
        acts = [task.act(x) for task, x in zip(states, seen, strict=True)]
        return torch.from_numpy(np.stack([np.concatenate(act, axis=-1) for act in acts]))


def _errors(loaded: MeasuredPackage, every_step: bool, tasks: Sequence[Episode]) -> Array:
    errors = []
    for task in tasks:
        support_x, support_y, query_x, query_y = (t.numpy() for t in task[:4])
        answers = outputs_by_step(
            loaded.package, support_x, support_y, query_x, every_step=every_step
        )
        squares = np.square(answers.astype(np.float64) - query_y.astype(np.float64))
        errors.append(squares.mean(axis=(1, 2)))
    return np.stack(errors)


def _embed(loaded: MeasuredPackage, x: Any) -> Floats:
    return embed(loaded.package, x)


def _measure(loaded: MeasuredPackage, every_step: bool, share: tuple[Floats, Episodes]) -> Array:
    return evaluate_embedded(loaded.package, *share, every_step=every_step).by_step


def _answers(loaded: MeasuredPackage, share: tuple[Floats, Episodes]) -> Floats:
    return logits_embedded(loaded.package, *share)


def _shares(h: Floats, episodes: Episodes, workers: Workers) -> Iterator[tuple[Floats, Episodes]]:
    """Some episodes at a time, with the embeddings that they need and as rows of those."""
    for block in episode_blocks(workers, len(episodes.support)):
        rows = np.concatenate([episodes.support[block], episodes.query[block]], axis=1)
        used, places = np.unique(rows[rows >= 0], return_inverse=True)
        among = np.full(rows.shape, -1)
        among[rows >= 0] = places.ravel()
        support, query = np.split(among, [episodes.support.shape[1]], axis=1)
        y = episodes.support_y[block], episodes.query_y[block]
        yield h[used], Episodes(support, y[0], query, y[1])
