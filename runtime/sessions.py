"""onnxruntime sessions: built from bytes when they are first needed, on the providers asked for."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from handful.runtime.package.manifest import GraphSpec

from .arrays import Array
from .errors import AdaptError, PackageError, SessionError
from .ort import onnxruntime as ort

log = logging.getLogger("handful")
CPU = "CPUExecutionProvider"
ON_CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
FOLDING_LIMIT = str(2**26)  # bytes that one folded constant may take; known to 1.28 and later
Provider = str | tuple[str, dict[str, Any]]
Value = Any  # a numpy array, or an OrtValue on the device


class Setup(NamedTuple):
    """How sessions are built; made once for a package, shared by its graphs."""

    providers: tuple[Provider, ...]
    options: ort.SessionOptions

    @property
    def device(self) -> str | None:
        """Where tensors stay between steps; None: they are numpy's, which is fastest on a CPU."""
        return "cuda" if _name(self.providers[0]) in ON_CUDA else None


def setup(
    providers: Sequence[Provider] | None = None,
    threads: int = 1,
    session_options: ort.SessionOptions | None = None,
) -> Setup:
    """Check what was asked for against what this onnxruntime has."""
    wanted = tuple(providers) if providers is not None else (CPU,)
    if not wanted or isinstance(providers, str):
        raise SessionError(f"providers is {providers!r}, wanted a list with one name at least")
    available = ort.get_available_providers()
    for provider in wanted:
        if _name(provider) not in available:
            raise _missing(provider, available)
    if session_options is not None:
        if threads != 1:
            raise SessionError(
                f"threads={threads} beside session_options",
                hint="set intra_op_num_threads and inter_op_num_threads in the options",
            )
        return Setup(wanted, session_options)
    if threads < 1:
        raise SessionError(f"threads is {threads}, wanted 1 or more")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4  # errors reach the user as ours
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes", FOLDING_LIMIT
    )
    if threads > 1:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return Setup(wanted, options)


def _name(provider: Provider) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _missing(provider: Provider, available: Sequence[str]) -> SessionError:
    return SessionError(
        f"provider {_name(provider)!r} is not to be had; available: {', '.join(available)}",
        hint="CUDA needs `pip uninstall -y onnxruntime && pip install onnxruntime-gpu`",
    )


class Graph:
    """One ONNX graph; the session is built by the first run, once, whichever thread comes first."""

    def __init__(self, name: str, spec: GraphSpec, data: bytes, setup: Setup) -> None:
        """`data` was checked and vetted; it is let go once the session stands."""
        self.name = name
        self.spec = spec
        self._setup = setup
        self._data: bytes | None = data
        self._session: ort.InferenceSession | None = None
        self._lock = threading.Lock()
        self._inputs = tuple(tensor.name for tensor in spec.inputs)
        self._outputs = tuple(tensor.name for tensor in spec.outputs)
        self._own_outputs: list[str] = []  # as the file names them: a step's end in `.next`

    def session(self) -> ort.InferenceSession:
        """The session, built now if no run has built it yet."""
        if self._session is None:
            with self._lock:
                if self._session is None:
                    assert self._data is not None
                    session = self._build(self._data)
                    self._own_outputs = [output.name for output in session.get_outputs()]
                    self._session, self._data = session, None
        return self._session

    def run(self, known: Mapping[str, Value]) -> dict[str, Value]:
        """The outputs by name; of `known`, the graph gets the inputs that it lists."""
        session = self.session()
        feeds = {name: known[name] for name in self._inputs}
        try:
            if self._setup.device is not None:
                return self._run_on(self._setup.device, session, feeds)
            found: Any = session.run(self._own_outputs, feeds)
            return dict(zip(self._outputs, found, strict=True))
        except Exception as error:  # its classes are private and changed between versions
            shapes = ", ".join(f"{name} {list(_shape(value))}" for name, value in feeds.items())
            raise AdaptError(
                f"graph {self.name} failed on {shapes}: {first_line(error)}",
                hint="`handful verify` tells whether the package is whole",
            ) from error

    def _run_on(
        self, device: str, session: ort.InferenceSession, feeds: dict[str, Value]
    ) -> dict[str, Value]:
        binding = session.io_binding()
        for name, value in feeds.items():
            if isinstance(value, np.ndarray):
                value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), device, 0)
            binding.bind_ortvalue_input(name, value)
        for name in self._own_outputs:
            binding.bind_output(name, device, 0)
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return dict(zip(self._outputs, binding.get_outputs(), strict=True))

    def _build(self, data: bytes) -> ort.InferenceSession:
        wanted = list(self._setup.providers)
        began = time.perf_counter()
        try:
            session = ort.InferenceSession(
                data, self._setup.options, providers=wanted, enable_fallback=0
            )
        except Exception as error:
            raise PackageError(
                f"graph {self.name} is refused by onnxruntime {ort.__version__}: "
                f"{first_line(error)}",
                hint="`handful verify` tells whether the package is whole",
            ) from error
        log.debug("session %s: %.1f ms", self.name, (time.perf_counter() - began) * 1e3)
        session.disable_fallback()  # which would print, and go on with another provider
        active = session.get_providers()
        for provider in wanted:
            if _name(provider) not in active:
                raise _missing(provider, active)
        return session


def to_numpy(value: Value) -> Array:
    """A tensor on the host, wherever it was."""
    found: Array = value if isinstance(value, np.ndarray) else value.numpy()
    return found


def _shape(value: Value) -> tuple[int, ...]:
    found: tuple[int, ...] = value.shape if isinstance(value, np.ndarray) else tuple(value.shape())
    return found


def first_line(error: BaseException) -> str:
    """What onnxruntime says, without its stack of file names."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
