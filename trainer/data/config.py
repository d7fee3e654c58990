"""Which data a run reads, and how."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from handful.runtime.package.manifest import Fit
from handful.trainer.data.backbones.named import Interpolation, Preprocessing, find_known
from handful.trainer.settings.errors import DataError
from handful.trainer.settings.read import LARGEST

from .log_mel import LogMelConfig

MAX_SIDE = 4096  # as the manifest's
MAX_WINDOW = 2**20  # readings
DRAWN = ("glyphs", "bands")  # sources that a program draws, the same every time
PLACES = ("source", "path", "split", "backbone")  # the settings that can name a file or folder
SCALE, OFFSET = 1 / 127.5, -1.0  # pixels 0..255 as −1..1


@dataclass(frozen=True, kw_only=True)
class Credit:
    """Who made the data, for the cards of packages trained on them: licences ask for it."""

    data: str  # what they are called
    authors: str
    licence: str  # of the data, an SPDX expression
    source: str  # where they are from
    changes: str  # what was made of them before training
    cite: str | None = None  # the paper that their authors want to be named


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """A source, its split by class, and how its examples are prepared."""

    source: str = "omniglot"  # omniglot, glyphs, bands, a folder of files, or an .npz file
    path: Path | None = None  # where omniglot's files are; None: the usual places, or a download
    split: str = "vinyals"  # omniglot: vinyals or lake; others: random, or a JSON file of classes
    rotations: bool = True  # omniglot and glyphs: quarter turns are classes of their own
    symmetries: Literal[1, 4, 8] = 1  # series: meta-training classes turned (4) and mirrored (8)
    image_size: int = 28  # pixels a side
    # of a folder: what the shorter side becomes, before the centre is cut out; None: image_size
    resize: int | None = None
    fit: Fit = "square"  # of a folder's images: the middle, or all of each
    # of a folder's images; None: the backbone's own where it is known by name, lanczos otherwise
    interpolation: Interpolation | None = None
    colour: Literal["grey", "rgb"] = "grey"  # of a folder's images
    window: int | None = None  # folder of recordings: the readings of an example
    hop: int | None = None  # from one window's beginning to the next; None: a whole window
    whole: Literal["time", "path"] | None = None  # a recording is one example, of even readings
    channels: tuple[str, ...] | None = None  # of series: "y", or "y: up, in pixels"
    places: tuple[str, ...] = ()  # those that are coordinates: the path is measured along them
    states: tuple[str, ...] = ()  # those that hold on the way to a reading, as a pen's
    hertz: float | None = None  # readings a second of recordings with times; None: as they are
    array: str = "x"  # npz: the name of the examples
    labels: str = "y"  # npz: the name of their labels
    files: str | None = None  # folder: "{person}/{class}/*", see layout.py; None: class folders
    # the classes are named, and a task is a domain with all of them: arrays of the npz, or names
    # in `files`, which together are the domain, the first one the person, by whom data are split
    domain: tuple[str, ...] = ()
    # another array or name: support set and queries never share a recording; "": there is none
    recording: str | None = None
    classes: tuple[str, ...] = ()  # of every task, in their order, where they are named; (): all
    group_separator: str = "/"  # folder, npz: a class's group is its name before the last of these
    seed: int = 0  # of a random split
    rate: int | None = None  # samples a second: the examples are sounds
    seconds: float = 1.0  # how long each sound is cut or padded to
    log_mel: LogMelConfig = field(default_factory=LogMelConfig)  # of sounds
    backbone: Path | None = None  # picture → embedding: a name of BACKBONES, or an ONNX graph
    backbone_scale: float = SCALE  # what the backbone reads is pixel · scale + offset
    backbone_offset: float = OFFSET
    backbone_mean: tuple[float, ...] | None = None  # of each channel of pixels in 0..1; then what
    backbone_std: tuple[float, ...] | None = None  # it reads is (pixel / 255 − mean) / std

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        if not self.source:
            raise DataError(
                "data.source is empty", hint="omniglot, glyphs, bands, a folder or a file"
            )
        if not self.group_separator:
            raise DataError("data.group_separator is empty", hint='"/", or what the names have')
        for name in PLACES:
            _check_place(f"data.{name}", getattr(self, name))
        for name, side in (("image_size", self.image_size), ("resize", self.resize)):
            if side is not None and not 1 <= side <= MAX_SIDE:
                raise DataError(f"data.{name} is {side}, wanted 1 to {MAX_SIDE} pixels")
        for name, readings in (("window", self.window), ("hop", self.hop)):
            if readings is not None and not 1 <= readings <= MAX_WINDOW:
                raise DataError(f"data.{name} is {readings}, wanted 1 to {MAX_WINDOW} readings")
        self._check_series()
        if not abs(self.seed) < LARGEST:
            raise DataError(f"data.seed is {self.seed}, wanted less than {LARGEST}")
        if not 0 < self.seconds < math.inf:
            raise DataError(f"data.seconds is {self.seconds}, wanted more than 0")
        if self.rate is not None and self.backbone is not None:
            raise DataError(
                "data.rate and data.backbone are both set", hint="a backbone reads pictures"
            )
        self._check_scale()

    @property
    def preprocessing(self) -> Preprocessing:
        """What becomes of pictures: the named backbone's own, or what the settings say."""
        named = find_known(self.backbone)
        own = named.preprocessing if named else None
        return Preprocessing(
            scale=own.scale if own else self.backbone_scale,
            offset=own.offset if own else self.backbone_offset,
            mean=own.mean if own else self.backbone_mean,
            std=own.std if own else self.backbone_std,
            resize=self.resize or (own.resize if own else None),
            interpolation=self.interpolation or (own.interpolation if own else "lanczos"),
        )

    def _check_series(self) -> None:
        """Refuse names that do not fit each other; the format's own rules see to the rest."""
        names = [name.partition(":")[0].strip() for name in self.channels or ()]
        for setting, of in (("places", self.places), ("states", self.states)):
            if unknown := [name for name in of if name not in names]:
                raise DataError(
                    f"data.{setting} has {unknown[0]!r}, which is not in data.channels",
                    hint=f"there are: {', '.join(names) or 'none'}",
                )
        if both := [name for name in self.places if name in self.states]:
            raise DataError(f"data.places and data.states both have {both[0]!r}")
        if self.whole == "path" and not self.places:
            raise DataError(
                'data.whole is "path", and data.places is empty',
                hint='name the coordinates of what moves: data.channels = ["x", "y"], and places',
            )
        if self.whole and (self.hertz or self.hop):
            raise DataError(
                "data.whole is set, and so is data.hertz or data.hop",
                hint="a recording is one example, or it is cut into windows",
            )

    def _check_scale(self) -> None:
        scale, offset = self.backbone_scale, self.backbone_offset
        if not math.isfinite(scale) or not math.isfinite(offset) or scale == 0:
            raise DataError(
                f"data.backbone_scale is {scale} and data.backbone_offset {offset},"
                " wanted finite numbers, and a scale that is not 0",
                hint="at a scale of 0 the backbone would see the same in every picture",
            )
        mean, std = self.backbone_mean, self.backbone_std
        if find_known(self.backbone) and ((scale, offset) != (SCALE, OFFSET) or mean or std):
            raise DataError(
                f"data.backbone is {self.backbone}, which has a scale of its own",
                hint="leave out data.backbone_scale, backbone_offset, backbone_mean, backbone_std",
            )
        if mean is None and std is None:
            return
        if mean is None or std is None or len(mean) != len(std) or len(mean) not in (1, 3):
            raise DataError(
                f"data.backbone_mean is {mean} and data.backbone_std {std},"
                " wanted a number for each channel in both",
                hint="three for pictures in colour, one for grey ones",
            )
        if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
            raise DataError(
                f"data.backbone_mean is {mean} and data.backbone_std {std},"
                " wanted finite numbers, and deviations above 0"
            )
        if (scale, offset) != (SCALE, OFFSET):
            raise DataError(
                "data.backbone_mean and data.backbone_scale are both set",
                hint="either scale and offset of a pixel in 0..255, or mean and deviation of each"
                " channel in 0..1",
            )


def _check_place(name: str, place: str | Path | None) -> None:
    """Refuse what no system takes as a path, so that later on it is either there or not."""
    if place is None:
        return
    try:
        os.stat(place)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except (OSError, ValueError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else cause
        shown = ascii(str(place)[:80])
        raise DataError(f"{name} is not a path, it begins with {shown}: {reason}") from cause
