"""Sounds: folders of WAV files and arrays of samples, as a device hears them; their energies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError, SupportSetError
from handful.runtime.inputs.examples import KINDS, files_of
from handful.runtime.inputs.sounds import batch, read_sound
from handful.runtime.package.manifest import InputSpec
from handful.runtime.package.rules import MAX_RATE, MAX_SAMPLES, MIN_RATE, sound_spec
from handful.trainer.data.config import DataConfig
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.log_mel import LogMel
from handful.trainer.data.record import RecordedPart, of_files
from handful.trainer.data.splits import Part, choose
from handful.trainer.settings.errors import BadFilesError, DataError

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
    """The part's classes, named as their sub-folders and sorted; only their files are read.

    Bad files are refused together, or with `skip_bad` left out, as those of pictures are.
    """
    folder, spec = Path(config.source), hears(config)
    try:
        files = files_of(folder, spec)
    except SupportSetError as error:
        raise DataError(str(error), hint=error.hint) from error
    classes = list(files)
    names = list(recorded.classes) if recorded else None
    chosen = [classes[i] for i in choose(classes, config.split, part, config.seed, names)]
    skipped = set(recorded.left_out) if recorded else set()

    def place(file: Path) -> str:
        return file.relative_to(folder).as_posix()

    wanted = {name: [f for f in files[name] if place(f) not in skipped] for name in chosen}
    bad: dict[Path, InputError] = {}
    x = [sound for name in chosen for sound in _read(wanted[name], spec, bad)]
    if bad and not skip_bad:
        raise BadFilesError(bad, sum(map(len, wanted.values())), KINDS[spec.kind].files.words)
    kept = {name: [file for file in wanted[name] if file not in bad] for name in chosen}
    if empty := [name for name in chosen if not kept[name]]:
        raise DataError(f"class {empty[0]} in {folder} has no examples that can be read")
    return LabelledSet(
        torch.from_numpy(np.stack(x)),
        torch.tensor([len(kept[name]) for name in chosen]),
        tuple(chosen),
        spec,
        facts={name: of_files(kept[name]) for name in chosen},
        left_out=tuple(sorted(skipped | {place(file) for file in bad})),
    )


def _read(files: list[Path], spec: InputSpec, bad: dict[Path, InputError]) -> Iterator[Array]:
    for file in files:
        try:
            yield read_sound(file, spec)
        except InputError as error:
            bad[file] = error
