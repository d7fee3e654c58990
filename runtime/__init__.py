"""Load an exported package and adapt it to new classes; numpy and onnxruntime, nothing else."""

from .errors import (
    AdaptError,
    HandfulError,
    InputError,
    InputWarning,
    ManifestError,
    PackageError,
    SessionError,
    SupportSetError,
    TaskFileError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .learner import Learner, load
    from .series.windows import Windows, windows
    from .sound.wav import Sound
    from .task import Task

__all__ = [
    "AdaptError",
    "HandfulError",
    "InputError",
    "InputWarning",
    "Learner",
    "ManifestError",
    "PackageError",
    "SessionError",
    "Sound",
    "SupportSetError",
    "Task",
    "TaskFileError",
    "Windows",
    "load",
    "windows",
]

_LAZY = {
    "Learner": "learner",
    "Sound": "sound.wav",
    "Task": "task",
    "Windows": "series.windows",
    "load": "learner",
    "windows": "series.windows",
}

if not TYPE_CHECKING:  # so that a type checker still knows which names there are

    def __getattr__(name: str) -> object:
        """The names that need numpy and onnxruntime, imported when they are first used."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
