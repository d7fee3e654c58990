"""Sounds made up to check a package on, where the data are energies and no sound is at hand.

A class is a melody of three tones, each with overtones of its own; an example has its own pitch,
loudness, start and noise.
"""

from __future__ import annotations

import numpy as np
import torch

from handful.runtime.arrays import Array
from handful.runtime.package.sound import sound_spec
from handful.trainer.data.labelled import LabelledSet, labelled

CLASSES, EXAMPLES = 24, 8  # as many as parity asks for
TONES, OVERTONES = 3, 4


def made_sounds(rate: int, samples: int) -> LabelledSet:
    """CLASSES × EXAMPLES sounds [L], the same at each call."""
    rng = np.random.default_rng(0)
    classes = {}
    for number in range(CLASSES):
        pitches = rng.uniform(100, min(800, rate / (2 * OVERTONES + 2)), TONES)
        loudness = rng.uniform(0.05, 1, (TONES, OVERTONES))
        examples = [_sound(rng, pitches, loudness, rate, samples) for _ in range(EXAMPLES)]
        classes[f"melody-{number}"] = torch.from_numpy(np.stack(examples).astype(np.float32))
    return labelled(classes, sound_spec(rate, samples), where="made sounds")


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
