"""onnxruntime's sessions: built when first needed, what goes in by name, what comes out checked.

Providers, threads and options are checked before onnxruntime has them.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from handful.runtime.package.manifest import GraphSpec, TensorSpec

from .arrays import Array
from .errors import AdaptError, PackageError, SessionError, quote
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
    chosen = (CPU,) if providers is None else _check_providers(providers)
    available = ort.get_available_providers()
    for provider in chosen:
        if name_of(provider) not in available:
            raise missing(provider, available)
    if type(threads) is not int or not 1 <= threads <= MAX_THREADS:
        raise SessionError(
            f"threads is {quote(threads)}, wanted a whole number, 1 to {MAX_THREADS}"
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
            f"session_options is {quote(session_options)}, wanted an onnxruntime.SessionOptions"
        )
    return Setup(chosen, session_options)


def _check_providers(providers: object) -> tuple[Provider, ...]:
    if not isinstance(providers, list | tuple) or not providers:
        raise SessionError(
            f"providers is {quote(providers)}, wanted a list with one name at least",
            hint="the first that can run a node runs it: ['CUDAExecutionProvider', "
            "'CPUExecutionProvider']",
        )
    for i, provider in enumerate(providers):
        pair = isinstance(provider, tuple) and tuple(map(type, provider)) == (str, dict)
        if not (isinstance(provider, str) or pair):
            raise SessionError(f"providers[{i}] is {quote(provider)}, wanted {PAIR}")
    names = [name_of(provider) for provider in providers]
    for name in names:
        if names.count(name) > 1:
            raise SessionError(f"providers names {quote(name)} twice")
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
        f"provider {quote(name_of(provider))} is not to be had; available: {', '.join(available)}",
        hint="CUDA needs `pip uninstall -y onnxruntime && pip install onnxruntime-gpu`",
    )


log = logging.getLogger("handful")
VERIFY = "`handful verify` tells whether the package is whole"
BROKEN = "the graph is not what the manifest says: ask who made the package, or export it again"
DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}  # as onnxruntime calls them
ANY = -1  # the size of a symbol of which no number is known
Sizes = Mapping[str, int]  # of the symbols B, S, N and Q
Value = Any  # a numpy array, or an OrtValue on the device


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
        self._dtypes = tuple(np.dtype(tensor.dtype) for tensor in spec.outputs)
        self._file_outputs: list[str] = []  # as the file names them: a step's end in `.next`
        self._device = setup.device
        self._wanted: tuple[Sizes, list[tuple[Any, ...]]] = ({}, [])  # shapes, for the last sizes

    def session(self) -> ort.InferenceSession:
        """The session, built now if no run has built it yet."""
        if self._session is None:
            with self._lock:
                if self._session is None:
                    assert self._data is not None
                    session = self._build(self._data)
                    self._file_outputs = [output.name for output in session.get_outputs()]
                    self._session, self._data = session, None
        return self._session

    def run(self, known: Mapping[str, Value], sizes: Sizes | None = None) -> dict[str, Value]:
        """The outputs by name; of `known`, the graph gets the inputs that it lists.

        An AdaptError where an input has an empty axis, before the run: vetting takes every symbol
        as 1 or more. The same where an output is not of the declared type and shape; `sizes` gives
        the numbers that are known for the symbols in it.
        """
        session = self.session()
        feeds = {name: known[name] for name in self._inputs}
        for name, value in feeds.items():
            if 0 in _shape(value):  # which ends the process in some kernels
                raise AdaptError(
                    f"graph {self.name} would be run on `{name}` {list(_shape(value))}, wanted "
                    "no empty axis",
                    hint=BROKEN,
                )
        try:
            if self._device is not None:
                values = self._run_on(self._device, session, feeds)
            else:
                values = session.run(self._file_outputs, feeds)
        except Exception as error:  # its classes are private and changed between versions
            shapes = ", ".join(f"{name} {list(_shape(value))}" for name, value in feeds.items())
            raise AdaptError(
                f"graph {self.name} failed on {shapes}: {first_line(error)}", hint=VERIFY
            ) from error
        self._check(values, sizes or {})
        return dict(zip(self._outputs, values, strict=True))

    def _check(self, values: Sequence[Value], sizes: Sizes) -> None:
        seen, shapes = self._wanted  # together, since another thread may put others in their place
        if seen is not sizes:
            number: Any = sizes.get  # of a symbol; a number stands for itself
            shapes = [tuple([number(s, s) for s in t.shape]) for t in self.spec.outputs]
            self._wanted = (sizes, shapes)
        for i, value in enumerate(values):
            if (
                isinstance(value, np.ndarray)
                and value.shape == shapes[i]
                and value.dtype == self._dtypes[i]
            ):
                continue  # by far the most frequent; what follows is for the rest
            tensor = self.spec.outputs[i]
            shape = resolve(tensor, sizes)
            if not _matches(value, tensor, shape):
                raise AdaptError(
                    f"graph {self.name} gave `{tensor.name}` as {_describe(value)}, "
                    f"wanted {_describe_wanted(tensor, shape)}",
                    hint=BROKEN,
                )

    def _run_on(
        self, device: str, session: ort.InferenceSession, feeds: dict[str, Value]
    ) -> Sequence[Value]:
        binding = session.io_binding()
        for name, value in feeds.items():
            if isinstance(value, np.ndarray):
                value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), device, 0)
            binding.bind_ortvalue_input(name, value)
        for name in self._file_outputs:
            binding.bind_output(name, device, 0)
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        outputs: Sequence[Value] = binding.get_outputs()
        return outputs

    def _build(self, data: bytes) -> ort.InferenceSession:
        providers = list(self._setup.providers)
        began = time.perf_counter()
        try:
            session = ort.InferenceSession(
                data, self._setup.options, providers=providers, enable_fallback=0
            )
        except Exception as error:
            raise PackageError(
                f"graph {self.name} is refused by onnxruntime {ort.__version__}: "
                f"{first_line(error)}",
                hint=VERIFY,
            ) from error
        log.debug("session %s: %.1f ms", self.name, (time.perf_counter() - began) * 1e3)
        session.disable_fallback()  # which would print, and go on with another provider
        active = session.get_providers()
        for provider in providers:
            if name_of(provider) not in active:
                raise missing(provider, active)
        return session


def resolve(tensor: TensorSpec, sizes: Sizes) -> tuple[int, ...]:
    """The tensor's shape with numbers for its symbols; ANY where there is none."""
    return tuple([sizes.get(size, ANY) if isinstance(size, str) else size for size in tensor.shape])


def to_numpy(value: Value) -> Array:
    """A tensor on the host, wherever it was."""
    host: Array = value if isinstance(value, np.ndarray) else value.numpy()
    return host


def first_line(error: BaseException) -> str:
    """What onnxruntime says, without its stack of file names."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _shape(value: Value) -> tuple[int, ...]:
    return tuple(value.shape if isinstance(value, np.ndarray) else value.shape())


def _dtype(value: Value) -> str:
    if isinstance(value, np.ndarray):
        return str(value.dtype)
    name: str = value.data_type()
    return DTYPES.get(name, name)


def _tensor(value: Value) -> bool:
    return isinstance(value, np.ndarray) or (
        isinstance(value, ort.OrtValue) and value.has_value() and value.is_tensor()
    )


def _matches(value: Value, tensor: TensorSpec, shape: tuple[int, ...]) -> bool:
    if not _tensor(value) or _dtype(value) != tensor.dtype or len(_shape(value)) != len(shape):
        return False
    return all(wanted in (size, ANY) for size, wanted in zip(_shape(value), shape, strict=True))


def _describe(value: Value) -> str:
    if not _tensor(value):
        return f"no tensor but {type(value).__name__}"
    return f"{_dtype(value)} {list(_shape(value))}"


def _describe_wanted(tensor: TensorSpec, shape: tuple[int, ...]) -> str:
    """The type and shape, each symbol with its size where one is known: [Q=4, N=2, 64]."""
    sizes = [
        f"{size}={number}" if isinstance(size, str) and number != ANY else str(size)
        for size, number in zip(tensor.shape, shape, strict=True)
    ]
    return f"{tensor.dtype} [{', '.join(sizes)}]"
