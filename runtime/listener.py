"""A stream of samples, block by block, to the words in it: windows asked about at the right time.

The last L samples are looked at every `every` seconds. A window is asked about when it is loud
enough and the middle of its energy lies within half a step of its own middle: so the task hears a
word as `cut` gives it from a file, whole and once. Nothing is asked about samples twice over: after
an answer the next word has to begin within half a window at the earliest. A window is heard without
the constant that a microphone adds: it is no loudness, and has no middle.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful.runtime.inputs.sounds import (
    FORMS,
    MAX_CHANNELS,
    Sound,
    check_rate,
    middle,
    mix_down,
    prepare_sound,
    remove_offset,
    to_float,
)

from .arrays import Array, Floats, as_array
from .errors import InputError
from .task import Task


@dataclass(frozen=True)
class Heard:
    """A word in the stream."""

    label: str
    score: float  # its probability
    start: float  # seconds from the stream's beginning to that of its window


class Listener:
    """Hears a task's words in a stream; one for each stream, and not for several threads."""

    def __init__(
        self, task: Task, rate: int, *, every: float = 0.05, quiet: float = 0.01, sure: float = 0.5
    ) -> None:
        """`rate` is the stream's, in samples a second; windows are `every` seconds apart.

        A window with a root mean square below `quiet` is not asked about, an answer less probable
        than `sure` is none. InputError where the package takes no sound, and for numbers that make
        no sense.
        """
        spec = task.learner.manifest.input
        if spec.kind != "audio":
            raise InputError(
                f"package {task.learner.name} takes no sound", hint="one whose input is audio does"
            )
        rate = check_rate(rate, "rate is ")
        for name, value, most in (
            ("every", every, 1.0),
            ("quiet", quiet, 1.0),
            ("sure", sure, 1.0),
        ):
            if not 0 < value <= most:
                raise InputError(f"{name} is {value}, wanted more than 0, up to {most:g}")
        self._task, self._rate, self._spec = task, rate, spec
        self._window = -(-spec.shape[0] * rate // spec.hertz)
        self._step = max(1, round(every * rate))
        self._quiet, self._sure = quiet, sure
        before = self._window // 2  # silence, so that a word at the beginning has its middle
        self._buffer: Array = np.zeros(before)
        self._recorded: Array = np.zeros(before, bool)  # which samples of the buffer the stream had
        self._start = -before  # of the buffer, in samples of the stream
        self._free = -before  # no window is asked about that starts before

    def feed(self, block: Any) -> list[Heard]:
        """The words that end within this block: samples [n] or [n, C], as `Sound` has them."""
        samples = as_array(block, "block", FORMS)
        if (
            samples.ndim not in (1, 2)
            or samples.shape[1:] > (MAX_CHANNELS,)
            or 0 in samples.shape[1:]
        ):
            raise InputError(f"block has shape {list(samples.shape)}, wanted [n] or [n, channels]")
        return self._hear(mix_down(to_float(samples, "block", beyond=True)), recorded=True)

    def close(self) -> list[Heard]:
        """The words at the stream's end, as if silence came after it."""
        return self._hear(np.zeros(self._window), recorded=False)

    def _hear(self, mono: Array, *, recorded: bool) -> list[Heard]:
        self._buffer = np.concatenate([self._buffer, mono])
        self._recorded = np.concatenate([self._recorded, np.full(len(mono), recorded)])
        heard = []
        while len(self._buffer) >= self._window:
            window = self._buffer[: self._window].copy()
            own = self._recorded[: self._window]  # the silence before and after has no offset
            if own.any():
                window[own] = remove_offset(window[own])
            found = self._ask(window)
            if found is not None:
                heard.append(found)
            self._buffer = self._buffer[self._step :]
            self._recorded = self._recorded[self._step :]
            self._start += self._step
        return heard

    def _ask(self, window: Array) -> Heard | None:
        away = abs(middle(window) - (len(window) - 1) / 2)
        loud = float(np.sqrt(np.square(window).mean())) >= self._quiet
        if self._start < self._free or not loud or away > self._step / 2:
            return None
        example: Floats = prepare_sound(Sound(window, self._rate), self._spec, "block")
        scores = self._task.predict_proba(example)
        best = int(scores.argmax())
        if scores[best] < self._sure:
            return None
        self._free = self._start + self._window // 2
        start = max(0, self._start) / self._rate
        return Heard(self._task.classes[best], float(scores[best]), start)


def words(task: Task, blocks: Iterable[Any], rate: int, **how: float) -> Iterator[Heard]:
    """The words in a stream of blocks, each as soon as it was heard; `how` is a Listener's."""
    listener = Listener(task, rate, **how)
    for block in blocks:
        yield from listener.feed(block)
    yield from listener.close()
