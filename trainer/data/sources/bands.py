"""Bands: made-up wrist bands that hear six gestures, worn by made-up persons; needs no files.

A band has eight electrodes round the wrist and hears muscles through the skin. Gesture n is a
pattern over the wrist, the sum of two bumps at places of its own, with a course over time of its
own: a burst, a swell, a beat. An example is [T, 8], what each electrode hears in T steps. Persons
differ in

    placement   the band is turned round the wrist by up to TURN electrodes
    gain        of each electrode, skin and fat: e^(GAIN z), z normal, and of all of them
    habit       each gesture's bumps are moved by HABIT electrodes and swell by e^(HABIT z)

and every example in strength (e^(EFFORT z)), in time (by up to SHIFT steps) and by noise. A person
wears the band in TAKES takes, in each of which it sits a little differently (SLIP electrodes).

What everybody's classifier cannot know is how the band sits on this arm: one example of a gesture
says it. Values are round 1, as muscle signals are after rectifying and smoothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import InputSpec
from handful.trainer.data.config import DataConfig
from handful.trainer.data.domains import DomainSet, add_domains, fingerprint_domains
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.record import RecordedPart
from handful.trainer.data.splits import Part, known_classes

GESTURES = ("fist", "open", "pinch", "point", "left", "right")
ELECTRODES, STEPS = 8, 24  # of an example
TAKES, EACH = 4, 3  # of a person, and examples of a gesture in each
SEED = 2018  # of the gestures and of all persons, the same for every run
# First person and persons of each part.
PARTS: dict[Part, tuple[int, int]] = {
    "meta_train": (0, 60),
    "meta_val": (60, 20),
    "meta_test": (80, 40),
}
TURN = 4.0  # electrodes to either side: half a turn
GAIN = 0.4  # of each electrode; of all of them as much
HABIT = 0.5
SLIP = 0.1  # electrodes, between takes
EFFORT = 0.15
SHIFT = 1.0  # steps
NOISE = 0.08
COURSE = 6.0  # how alike the courses of gestures are
WIDTH = 1.1  # of a bump, in electrodes
SPEC = InputSpec(kind="array", shape=(STEPS, ELECTRODES))


def load_bands(
    config: DataConfig, part: Part, *, recorded: RecordedPart | None = None
) -> DomainSet:
    """The part's persons, always the same; `recorded` names those that a run was made with."""
    first, count = PARTS["meta_test" if part == "all" else part]
    persons = [f"person {number}" for number in range(first, first + count)]
    if recorded is not None:
        persons = [persons[at] for at in known_classes(persons, part, list(recorded.classes))]
    x = np.stack([wear(int(name.split()[1])) for name in persons])  # [P, TAKES, N, EACH, T, C]
    x = x.transpose(2, 0, 1, 3, 4, 5).reshape(-1, STEPS, ELECTRODES).astype(np.float32)
    each = TAKES * EACH
    counts = torch.full((len(GESTURES),), len(persons) * each)
    domain = [name for name in persons for _ in range(each)] * len(GESTURES)
    takes = [take for take in range(TAKES) for _ in range(EACH)] * len(persons) * len(GESTURES)
    data = add_domains(LabelledSet(torch.from_numpy(x), counts, GESTURES, SPEC), domain, takes)
    return replace(data, facts=fingerprint_domains(data))


def wear(person: int) -> Array:
    """What the band hears of one person: [TAKES, N, EACH, T, ELECTRODES]."""
    rng = np.random.default_rng([SEED, 1, person])
    places, sizes, courses = gestures()
    turn = rng.uniform(-TURN, TURN)
    gain = np.exp(GAIN * (rng.standard_normal(ELECTRODES) + rng.standard_normal()))
    places = places + turn + HABIT * rng.standard_normal(places.shape)
    sizes = sizes * np.exp(HABIT * rng.standard_normal(sizes.shape))
    takes = []
    for _ in range(TAKES):
        away = places + SLIP * rng.standard_normal()
        pattern = gain * (bumps(away) * sizes[..., None]).sum(axis=1)  # [N, ELECTRODES]
        effort = np.exp(EFFORT * rng.standard_normal((len(GESTURES), EACH, 1, 1)))
        times = np.arange(STEPS) + rng.uniform(-SHIFT, SHIFT, (len(GESTURES), EACH, 1))
        course = courses[:, None, None, :] @ waves(times)  # [N, EACH, 1, T]
        heard = effort * course.swapaxes(2, 3) * pattern[:, None, None, :]
        noise = NOISE * rng.standard_normal(heard.shape)
        takes.append(np.abs(heard + noise))
    found: Array = np.stack(takes)
    return found


def gestures() -> tuple[Array, Array, Array]:
    """Places [N, 2] and sizes [N, 2] of the bumps, and the courses [N, 3] of all gestures."""
    rng = np.random.default_rng([SEED, 0])
    count = len(GESTURES)
    places = rng.permutation(np.linspace(0, ELECTRODES, count, endpoint=False))[:, None]
    places = places + np.array([0.0, 1.0]) * rng.uniform(2, 4, (count, 1))
    sizes = np.stack([rng.uniform(1.0, 1.6, count), rng.uniform(0.4, 1.0, count)], axis=1)
    return places, sizes, rng.dirichlet(np.full(3, COURSE), count)


def bumps(places: Array) -> Array:
    """How much each electrode hears of a place round the wrist: [..., ELECTRODES]."""
    away = np.abs(places[..., None] - np.arange(ELECTRODES)) % ELECTRODES
    away = np.minimum(away, ELECTRODES - away)
    heard: Array = np.exp(-0.5 * (away / WIDTH) ** 2)
    return heard


def waves(times: Array) -> Array:
    """The three courses over time that gestures are mixed of, [..., 3, T]."""
    t = times / STEPS
    burst = np.exp(-0.5 * ((t - 0.3) / 0.1) ** 2) * 1.5
    swell = np.clip(t, 0, 1)
    beat = 0.6 + 0.6 * np.sin(2 * np.pi * 3 * t)
    mixed: Array = np.stack([burst, swell, beat], axis=-2)
    return mixed
