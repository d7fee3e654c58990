"""Sounds: folders of WAV files and arrays of samples, as a device hears them; their energies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError
from handful.runtime.inputs.examples import KINDS
from handful.runtime.inputs.sounds import batch, read_sound
from handful.runtime.package.manifest import InputSpec
from handful.runtime.package.rules import MAX_RATE, MAX_SAMPLES, MIN_RATE, sound_spec
from handful.trainer.data.config import DataConfig
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.log_mel import LogMel
from handful.trainer.data.record import RecordedPart
from handful.trainer.data.splits import Part
from handful.trainer.settings.errors import DataError

from .folder import choose_files

BATCH = 64  # sounds whose energies are computed at a time
FORM = "samples [M, n], or log-mel energies [M, frames, bands, 1] as data.log_mel defines them"


def hears(config: DataConfig) -> InputSpec:
    """What a device's sounds are, by the settings."""
    rate = config.rate or 0
    samples = round(rate * config.seconds)
    if not MIN_RATE <= rate <= MAX_RATE or not 1 <= samples <= MAX_SAMPLES:
        raise DataError(
            f"data.rate is {config.rate} and data.seconds {config.seconds:g}, wanted {MIN_RATE} to"
            f" {MAX_RATE} samples a second and {MAX_SAMPLES} in all at most"
        )
    return sound_spec(rate, samples)


def front_of(config: DataConfig) -> LogMel:
    """What comes before the learner in an exported package."""
    spec = hears(config)
    return LogMel(config.log_mel, spec.hertz, spec.shape[0])


def energies(sounds: LabelledSet, config: DataConfig) -> LabelledSet:
    """Sounds [M, L] as log-mel energies [M, F, bands, 1]; energies as they are."""
    if sounds.input.kind == "audio":
        x = sounds.map_batches(front_of(config), BATCH)
        spec = InputSpec(kind="array", shape=tuple(x.shape[1:]))
        sounds = replace(sounds, x=x, input=spec, pictures=sounds.input)
    return replace(sounds, log_mel=config.log_mel)


def examples(x: Array, config: DataConfig, where: str) -> tuple[Array, InputSpec]:
    """An array of samples as sounds; one of energies stays as it is."""
    spec = hears(config)
    shape = front_of(config).shape
    if x.shape[1:] == shape and x.dtype.kind == "f":
        if not np.isfinite(x).all():
            raise DataError(f"{where} has values that are not finite")
        return x.astype(np.float32), InputSpec(kind="array", shape=shape)
    if x.ndim != 2:
        raise DataError(
            f"{where} is {x.dtype} {list(x.shape)}, wanted sounds, or energies {list(shape)}",
            hint=FORM,
        )
    try:
        return batch(x, spec, where)[0], spec
    except InputError as error:
        raise DataError(str(error), hint=error.hint) from error


def load_sounds(
    config: DataConfig,
    part: Part,
    *,
    recorded: RecordedPart | None = None,
    skip_bad: bool = False,
) -> LabelledSet:
    """The part's classes, sorted; only their files are read.

    Bad files are refused together, or with `skip_bad` left out, as those of pictures are.
    """
    spec = hears(config)
    chosen = choose_files(config, KINDS[spec.kind].files, part, recorded)
    bad: dict[Path, InputError] = {}
    x = list(_read(chosen.files, spec, bad))
    array = np.stack(x) if x else np.empty((0, *spec.shape), np.float32)
    return chosen.gather(torch.from_numpy(array), spec, bad, skip_bad=skip_bad)


def _read(files: list[Path], spec: InputSpec, bad: dict[Path, InputError]) -> Iterator[Array]:
    for file in files:
        try:
            yield read_sound(file, spec)
        except InputError as error:
            bad[file] = error
