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
    from handful.runtime.inputs.examples import Example, files_of, read_folder
    from handful.runtime.inputs.series import Windows, windows
    from handful.runtime.inputs.sounds import Sound, read_wav

    from .learner import Learner, load
    from .listener import Heard, Listener, words
    from .rollout import Rollout, advantages
    from .task import Task

__all__ = [
    "AdaptError",
    "Example",
    "HandfulError",
    "Heard",
    "InputError",
    "InputWarning",
    "Learner",
    "Listener",
    "ManifestError",
    "PackageError",
    "Rollout",
    "SessionError",
    "Sound",
    "SupportSetError",
    "Task",
    "TaskFileError",
    "Windows",
    "advantages",
    "files_of",
    "load",
    "read_folder",
    "read_wav",
    "windows",
    "words",
]

_LAZY = {
    "Example": "inputs.examples",
    "Heard": "listener",
    "Learner": "learner",
    "Listener": "listener",
    "Rollout": "rollout",
    "Sound": "inputs.sounds",
    "Task": "task",
    "Windows": "inputs.series",
    "advantages": "rollout",
    "files_of": "inputs.examples",
    "load": "learner",
    "read_folder": "inputs.examples",
    "read_wav": "inputs.sounds",
    "windows": "inputs.series",
    "words": "listener",
}


def __dir__() -> list[str]:
    """The public names, those too that are imported when they are first used."""
    return __all__


if not TYPE_CHECKING:  # so that a type checker still knows which names there are

    def __getattr__(name: str) -> object:
        """The names that need numpy and onnxruntime, imported when they are first used."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
