"""What `evaluate` measures under: other data, within groups, upright or distorted pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from handful.trainer.config import distortions
from handful.trainer.data import DataConfig, DataError, LabelledSet
from handful.trainer.data.distort import distorted_once
from handful.trainer.data.distortable import change_of
from handful.trainer.data.groups import EVERYWHERE, ONE_GROUP
from handful.trainer.episodes import EpisodeSource
from handful.trainer.errors import ConfigError
from handful.trainer.training.data import RecordedData

CLASSES = ("omniglot", "glyphs")  # sources of classes that are names


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How the test differs from tasks of all recorded test classes as they are."""

    within: bool = False  # the classes of each task come from one group
    upright: bool = False  # without quarter turns
    distort: Sequence[str] = ()  # as rotation=15
    source: str | None = None  # whose test classes they are; None: of the data of the training

    def applied(
        self,
        home: EpisodeSource,
        recorded: RecordedData,
        load: Callable[[RecordedData], LabelledSet],
        seed: int,
    ) -> EpisodeSource:
        """The tasks under these conditions; `home` are the recorded test classes as they are.

        `load` reads the test classes of data as `home` was read.
        """
        if not isinstance(home, LabelledSet):
            if self != Conditions():
                raise ConfigError(
                    f"tasks of {recorded.config.source} are functions, tested as they are",
                    hint="leave out --within, --upright, --distort and another source",
                )
            return home
        data = home
        if self.source is not None or (self.upright and recorded.config.rotations):
            data = load(self._elsewhere(recorded))
        if tuple(data.input.shape) != tuple(home.input.shape):
            raise DataError(
                f"examples of {self.source} are {list(data.input.shape)},"
                f" the learner reads {list(home.input.shape)}",
                hint="another source must give examples of the form that it was trained on",
            )
        distort = distortions(self.distort, where="--distort")
        if distort.anything:
            change = change_of(data.x, distort, where="the meta-test split")
            data = replace(data, x=distorted_once(data.x, seed, change))
        return data.drawn(ONE_GROUP if self.within else EVERYWHERE)

    def _elsewhere(self, recorded: RecordedData) -> RecordedData:
        """Where the test classes are: with its usual split, what another source has of them."""
        config = recorded.config
        if self.source is not None:
            usual = DataConfig(source=self.source)
            changes = {name: getattr(usual, name) for name in ("source", "path", "split")}
            recorded = replace(recorded, record=None)
            config = replace(config, **changes, rotations=usual.rotations)
        if self.upright:
            config = replace(config, rotations=False)
        return replace(recorded, config=config)


def apart(config: DataConfig, data: str | None) -> tuple[str | None, str | None]:
    """What `--data` says: where the run's own data are now, or which other source to test on."""
    another = data in CLASSES and data != config.source
    return (None, data) if another else (data, None)
