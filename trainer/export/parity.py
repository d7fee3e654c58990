"""The exported graphs in onnxruntime against torch, on real episodes and on extremes.

Extremes are degenerate support sets, which show whether small constants still keep quotients
finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.engine import Engine
from handful.runtime.errors import AdaptError
from handful.runtime.learner import load
from handful.runtime.package.manifest import InputSpec
from handful.runtime.package.rules import sound_spec
from handful.runtime.tools.golden import AGAIN, MOST_OF_ANSWERS
from handful.runtime.tools.verify import TOLERANCE, relative_difference
from handful.trainer.data.domains import add_domains
from handful.trainer.data.labelled import LabelledSet, label_examples
from handful.trainer.episodes import EpisodeSource
from handful.trainer.form.learner import Learner
from handful.trainer.settings.errors import ExportError

from .conditioning import run_in_torch, tolerances
from .source import Source

SHOTS = (2, 1, 1)
# (shots of each class): several ways, several shots, uneven shots; other sizes than traced with
EPISODES: tuple[tuple[int, ...], ...] = (
    (1, 1),
    (1, 1, 1, 1, 1),
    (5, 5, 5, 5, 5),
    (1, 3, 2, 5, 1),
    (2,) * 8,
    (1,) * 20,
)
UNEVEN = (5, 1, 3, 0, 2)  # shots of named classes
CLASSES, EXAMPLES = 24, 8  # as many as parity asks for
TONES, OVERTONES = 3, 4


def check_parity(source: Source, folder: Path) -> dict[str, float]:
    """The worst relative difference of every tensor; ExportError where one is too large."""
    differences = _Differences(source, load(folder)._engine)
    generator = torch.Generator().manual_seed(1)
    learner = source.learner
    for shots in episodes_of(learner, source.test):
        support, y, query = source.test.draw_uneven(shots, queries=2, generator=generator)
        differences.compare("", support, y, query, most=MOST_OF_ANSWERS)
        if learner.named_way and learner.takes_new:  # the last class becomes one beyond them
            beyond = torch.cat([y[:, :-1], torch.zeros_like(y[:, -1:]), y[:, -1:]], dim=1)
            differences.compare(" and a new class", support, beyond, query, most=MOST_OF_ANSWERS)
    example = source.test.take_some(1, seed=0)[0][0].cpu()
    for name, support, y, query in extremes(
        source.test.input,
        example,
        max_way=learner.max_way,
        targets=learner.targets,
        named_way=learner.named_way,
    ):
        differences.compare(f" {name}", support, y, query, most=math.inf)
    if differences.failed:
        name, (value, allowed) = max(differences.failed.items(), key=lambda item: item[1][0])
        raise ExportError(
            f"the exported graphs do not agree with torch: {name} differs by {value:.1e},"
            f" allowed: {allowed:.0e}",
            hint="the package was not written; a diverging inner step magnifies rounding,"
            " lower its learning rate",
        )
    return differences.worst


class _Differences:
    """The largest difference of each tensor so far."""

    def __init__(self, source: Source, engine: Engine) -> None:
        self.source, self.engine = source, engine
        self.answer = source.learner.task.outputs
        self.worst: dict[str, float] = {}
        self.failed: dict[str, tuple[float, float]] = {}  # the difference and what was allowed

    @torch.no_grad()
    def compare(
        self, where: str, support: Tensor, y: Tensor, query: Tensor, *, most: float
    ) -> None:
        """Adapt and answer in both; `where` says which support set it is, after a space.

        How each tensor is conditioned is computed where one differs by more than TOLERANCE. Answers
        may never differ by more than `most`, however they are conditioned.
        """
        engine, answer = self.engine, self.answer
        wanted = run_in_torch(self.source, support, y, query)

        @cache
        def tolerated() -> dict[str, float]:
            found = tolerances(self.source, support, y, query)
            answers = (name for name in found if name.endswith(answer))
            return {**found, **{name: min(found[name], most) for name in answers}}

        def note(name: str, value: object, in_torch: str) -> None:
            difference = relative_difference(value, wanted[in_torch].numpy(), in_torch)
            noted = name + where
            self.worst[noted] = max(self.worst.get(noted, 0.0), difference)
            if difference <= TOLERANCE:
                return
            allowed = max(TOLERANCE, tolerated()[in_torch])
            if not difference <= allowed:
                self.failed[noted] = (self.worst[noted], allowed)

        def compare(stage: str, i: int, tensors: dict[str, Array]) -> None:
            for name, value in tensors.items():
                note(f"{stage}/{i}/{name}", value, f"{stage}/{i}/{name}")

        def compare_again(stage: str, i: int, tensors: dict[str, Array]) -> None:
            compare(AGAIN + stage, i, tensors)

        try:
            h = engine.embed(support.numpy())
            note("embed", h, "embed")
            adapted = engine.adapt(h, y.numpy(), observe=compare)
            note(answer, engine.predict(adapted, engine.embed(query.numpy())), answer)
            alone = [engine.predict(adapted, engine.embed(q[None].numpy())) for q in query]
            note("one by one", np.concatenate(alone), answer)
            if AGAIN + answer in wanted:
                again = engine.adapt(h, y.numpy(), observe=compare_again, begun=adapted)
                found = engine.predict(again, engine.embed(query.numpy()))
                note(AGAIN + answer, found, AGAIN + answer)
        except AdaptError as error:
            # what the runtime refuses may well not be finite in torch either
            if all(bool(tensor.isfinite().all()) for tensor in wanted.values()):
                raise ExportError(
                    f"the exported graphs do not agree with torch:{where} {error}",
                    hint="the package was not written; in torch every value is finite",
                ) from error


def episodes_of(learner: Learner, data: EpisodeSource) -> list[tuple[int, ...]]:
    """The shots of each class, in episodes that the learner and the data allow.

    Of named classes: none at all, all alike, uneven ones, and half of the classes without any.
    """
    if learner.named_way:
        way = learner.named_way
        uneven = [tuple(UNEVEN[(n + i) % len(UNEVEN)] for n in range(way)) for i in (0, 2)]
        half = tuple(5 if 2 * n < way else 0 for n in range(way))
        return [*((shot,) * way for shot in (0, 1, 5)), *uneven, half]
    return [
        shots
        for shots in EPISODES
        if len(shots) <= (learner.max_way or len(shots))
        and data.holds(shots)
        and sum(shots) <= (learner.max_support or sum(shots))
    ]


def extremes(
    spec: InputSpec,
    example: Tensor,
    *,
    max_way: int | None,
    targets: int | None,
    named_way: int | None = None,
) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """What it is, raw support [S, ...], labels [S, N] or targets [S, O], and queries [3, ...].

    All zeros and all ones, which lie within the declared range, and one real example under every
    label, or with several targets; each is asked about all three.
    """
    shots = SHOTS[: min(way for way in (max_way, named_way, len(SHOTS)) if way)]
    labels = torch.tensor([n for n, shot in enumerate(shots) for _ in range(shot)])
    y = torch.eye(named_way or len(shots))[labels]
    if targets is not None:
        y = labels[:, None].float().expand(-1, targets) - 1
    low, high = spec.range or (0.0, 1.0)
    zeros = torch.full_like(example, min(max(0.0, low), high))
    ones = torch.full_like(example, min(max(1.0, low), high))
    query = torch.stack([zeros, ones, example])
    for name, x in (
        ("on zeros", zeros),
        ("on ones", ones),
        ("on equal examples under different labels", example),
    ):
        yield name, x.expand(len(labels), *x.shape).contiguous(), y, query


def make_sounds(rate: int, samples: int, named: Sequence[str] | None = None) -> LabelledSet:
    """CLASSES × EXAMPLES sounds [L], the same at each call; of `named` classes, one person's.

    They check a package whose data are energies, where no sound is at hand. A class is a melody of
    three tones, each with overtones of its own; an example has its own pitch, loudness, start and
    noise.
    """
    rng = np.random.default_rng(0)
    classes = {}
    for name in named or [f"melody-{number}" for number in range(CLASSES)]:
        pitches = rng.uniform(100, min(800, rate / (2 * OVERTONES + 2)), TONES)
        loudness = rng.uniform(0.05, 1, (TONES, OVERTONES))
        examples = [_sound(rng, pitches, loudness, rate, samples) for _ in range(EXAMPLES)]
        classes[name] = torch.from_numpy(np.stack(examples).astype(np.float32))
    made = label_examples(classes, sound_spec(rate, samples), where="made sounds")
    if named is None:
        return made
    takes = [str(take) for take in range(EXAMPLES)] * len(named)
    return add_domains(made, ["made"] * len(takes), takes)


def _sound(
    rng: np.random.Generator,
    pitches: Array,
    loudness: Array,
    rate: int,
    samples: int,
) -> Array:
    x = rng.uniform(1e-4, 3e-3) * rng.standard_normal(samples)
    length = samples // (TONES + 1)
    start = rng.integers(0, length)
    for i, pitch in enumerate(pitches * rng.uniform(0.9, 1.1)):
        turns = np.outer(np.arange(1, OVERTONES + 1) * pitch, np.arange(length) / rate)
        tone = loudness[i] @ np.sin(2 * np.pi * turns)
        fade = np.sin(np.pi * np.arange(length) / length)
        x[start + i * length : start + (i + 1) * length] += tone * fade
    made: Array = x * rng.uniform(0.1, 0.9) / np.abs(x).max()
    return made
