"""handful: learn something new on the device from a handful of labelled examples."""

from handful import runtime
from handful.runtime import (
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

__version__ = "0.1.0"  # the one place: pyproject.toml and `handful --version` read it here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from handful.runtime import (
        Example,
        Heard,
        Learner,
        Listener,
        Rollout,
        Sound,
        Task,
        Windows,
        advantages,
        files_of,
        load,
        read_folder,
        read_wav,
        windows,
        words,
    )

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


def __dir__() -> list[str]:
    """The public names, for `dir` and completion."""
    return [*__all__, "__version__"]


if not TYPE_CHECKING:  # so that a type checker still knows which names there are

    def __getattr__(name: str) -> object:
        """The names that need numpy and onnxruntime: see handful.runtime."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(runtime, name)
