"""How sessions are built: providers, threads and options, checked before onnxruntime has them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .errors import SessionError, shown
from .ort import onnxruntime as ort

CPU = "CPUExecutionProvider"
ON_CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
FOLDING_LIMIT = str(2**26)  # bytes that one folded constant may take; known to 1.28 and later
MAX_THREADS = 1024  # onnxruntime starts them all at once, for each graph
FATAL = 4  # the lowest of onnxruntime's levels of logging: its errors reach the user as ours
PAIR = "a name, or a pair of a name and a dict of options"
Provider = str | tuple[str, dict[str, Any]]


class Setup(NamedTuple):
    """How sessions are built; made once for a package, shared by its graphs."""

    providers: tuple[Provider, ...]
    options: ort.SessionOptions

    @property
    def device(self) -> str | None:
        """Where tensors stay between steps; None: they are numpy's, which is fastest on a CPU."""
        return "cuda" if name_of(self.providers[0]) in ON_CUDA else None


def setup(
    providers: Sequence[Provider] | None = None,
    threads: int = 1,
    session_options: ort.SessionOptions | None = None,
) -> Setup:
    """Check what was asked for against what this onnxruntime has; SessionError where it is not.

    Options of the application's own are used as they are, what they let onnxruntime print included.
    """
    chosen = (CPU,) if providers is None else _checked(providers)
    available = ort.get_available_providers()
    for provider in chosen:
        if name_of(provider) not in available:
            raise missing(provider, available)
    if type(threads) is not int or not 1 <= threads <= MAX_THREADS:
        raise SessionError(
            f"threads is {shown(threads)}, wanted a whole number, 1 to {MAX_THREADS}"
        )
    if session_options is None:
        return Setup(chosen, _options(threads))
    if threads != 1:
        raise SessionError(
            f"threads={threads} beside session_options",
            hint="set intra_op_num_threads and inter_op_num_threads in the options",
        )
    if not isinstance(session_options, ort.SessionOptions):
        raise SessionError(
            f"session_options is {shown(session_options)}, wanted an onnxruntime.SessionOptions"
        )
    return Setup(chosen, session_options)


def _checked(providers: object) -> tuple[Provider, ...]:
    if not isinstance(providers, list | tuple) or not providers:
        raise SessionError(
            f"providers is {shown(providers)}, wanted a list with one name at least",
            hint="the first that can run a node runs it: ['CUDAExecutionProvider', "
            "'CPUExecutionProvider']",
        )
    for i, provider in enumerate(providers):
        pair = isinstance(provider, tuple) and tuple(map(type, provider)) == (str, dict)
        if not (isinstance(provider, str) or pair):
            raise SessionError(f"providers[{i}] is {shown(provider)}, wanted {PAIR}")
    names = [name_of(provider) for provider in providers]
    for name in names:
        if names.count(name) > 1:
            raise SessionError(f"providers names {shown(name)} twice")
    return tuple(providers)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = FATAL
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes", FOLDING_LIMIT
    )
    if threads > 1:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def name_of(provider: Provider) -> str:
    """The provider's name, without its options."""
    return provider if isinstance(provider, str) else provider[0]


def missing(provider: Provider, available: Sequence[str]) -> SessionError:
    """The error of a provider that this onnxruntime does not have."""
    return SessionError(
        f"provider {shown(name_of(provider))} is not to be had; available: {', '.join(available)}",
        hint="CUDA needs `pip uninstall -y onnxruntime && pip install onnxruntime-gpu`",
    )
