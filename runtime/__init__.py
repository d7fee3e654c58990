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
    from handful.runtime.inputs.series import Windows, windows
    from handful.runtime.inputs.sounds import Sound

    from .learner import Learner, load
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
    "Sound": "inputs.sounds",
    "Task": "task",
    "Windows": "inputs.series",
    "load": "learner",
    "windows": "inputs.series",
}

if not TYPE_CHECKING:  # so that a type checker still knows which names there are

    def __getattr__(name: str) -> object:
        """The names that need numpy and onnxruntime, imported when they are first used."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
