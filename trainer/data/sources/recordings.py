"""A folder of recordings, made examples as the runtime makes them.

What a reading is, the settings say; it enters the manifest of the package.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from handful.runtime.arrays import Floats
from handful.runtime.errors import InputError, ManifestError, SupportSetError
from handful.runtime.inputs.examples import KINDS
from handful.runtime.inputs.folders import Files, class_folders, files_below
from handful.runtime.inputs.remarks import say_once
from handful.runtime.inputs.series import read_examples, read_recording
from handful.runtime.package.manifest import Channel, ChannelKind, InputSpec
from handful.runtime.package.rules import check_series
from handful.trainer.data.config import DataConfig
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.record import RecordedPart
from handful.trainer.data.splits import Part
from handful.trainer.settings.errors import DataError

from .folder import choose_files

READINGS = KINDS["array"].files


def holds_readings(config: DataConfig) -> bool:
    """Whether the first file of the first class, or by a pattern most files, are of readings."""
    folder = Path(config.source)
    try:
        if config.files or config.domain:
            return _count(folder, READINGS) > _count(folder, KINDS["image"].files)
        files = next(iter(class_folders(folder, READINGS).values()))
    except SupportSetError:
        return False  # whoever reads the folder says what is wrong with it
    return READINGS.has(files[0].name)


def _count(folder: Path, kind: Files) -> int:
    try:
        return len(files_below(folder, kind).files)
    except SupportSetError:
        return 0


def describe(spec: InputSpec, config: DataConfig, where: str) -> InputSpec:
    """The spec of arrays with what the settings say of a reading; DataError where they cannot."""
    if not (config.whole or config.channels or config.hertz):
        return spec
    if len(spec.shape) != 2:
        raise DataError(
            f"{where} has examples of shape {list(spec.shape)}, which are no series [T, C]",
            hint="leave out data.whole, data.channels and data.hertz",
        )
    channels = None
    if config.channels:
        channels = tuple(_channel(text, config) for text in config.channels)
    said = replace(spec, whole=config.whole, channels=channels, rate=config.hertz)
    try:
        check_series(said)
    except ManifestError as error:
        raise DataError(
            f"{where} cannot have these settings: {error}",
            hint="they are data.whole, data.channels, data.places, data.states and data.hertz",
        ) from error
    return said


def _channel(text: str, config: DataConfig) -> Channel:
    name, _, words = (part.strip() for part in text.partition(":"))
    kind: ChannelKind = (
        "place" if name in config.places else "state" if name in config.states else "value"
    )
    return Channel(name=name, kind=kind, text=words)


def load_recordings(
    config: DataConfig,
    part: Part,
    *,
    recorded: RecordedPart | None = None,
    skip_bad: bool = False,
) -> LabelledSet:
    """The part's classes, sorted; series [M, T, C], float32.

    T is `data.window`, C and the channels' names those of the folder's first recording where the
    settings say nothing else. Files that cannot be read are refused together, or with `skip_bad`
    left out; those that were left out when the classes were recorded are left out again.
    """
    folder = Path(config.source)
    if config.window is None:
        raise DataError(
            f"{folder} holds recordings, and data.window is not set",
            hint="data.window is how many readings an example has",
        )
    chosen = choose_files(config, READINGS, part, recorded)
    spec = _spec([row.file for row in chosen.layout.files], config)
    bad: dict[Path, InputError] = {}
    found: list[Floats] = []
    with say_once():
        for file in chosen.files:
            try:
                x = read_examples(file, spec, hop=config.hop or config.window)
            except InputError as error:
                bad[file] = error
                continue
            found.append(x.astype(np.float32))
    x = np.concatenate([np.empty((0, *spec.shape), np.float32), *found])
    each = list(map(len, found))
    return chosen.gather(torch.from_numpy(x), spec, bad, each=each, skip_bad=skip_bad)


def _spec(files: list[Path], config: DataConfig) -> InputSpec:
    """What an example is: the channels of the settings, or those of the first file that is read."""
    window = config.window or 0
    if config.channels:
        plain = InputSpec(kind="array", shape=(window, len(config.channels)))
        return describe(plain, config, config.source)
    for file in files:
        try:
            recording = read_recording(file)
        except InputError:
            continue  # it is named where its own part is read
        array = recording.values
        spec = InputSpec(kind="array", shape=(window, array.shape[-1] if array.ndim > 1 else 1))
        if recording.names is not None:
            named = tuple(Channel(name=name, kind="value", text="") for name in recording.names)
            spec = replace(spec, channels=named)
        return replace(describe(spec, config, config.source), channels=spec.channels)
    raise DataError(f"none of {len(files)} {READINGS.words} can be read", hint=str(files[0]))
