"""onnxruntime, imported in this one place: without its telemetry, and never two of them.

The builds on PyPI keep a device id and a data base of events in the user's cache and send the
events away (onnxruntime's Privacy.md). That is not a learner's to decide: it is off, unless the
user has set ORT_DISABLE_TELEMETRY, which onnxruntime reads once, when it is first imported.
"""

import os

from .errors import SessionError

GPU = ("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-qnn")

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import, which starts it

import onnxruntime as onnxruntime  # noqa: E402


def one_onnxruntime(folder: str) -> None:
    """Refuse an environment where two onnxruntimes were installed over each other."""
    # reading the folder's names takes 0.1 ms, importlib.metadata 30 times as long
    installed = sorted(
        name.split("-")[0].replace("_", "-")
        for name in os.listdir(folder)
        if name.startswith("onnxruntime") and name.endswith(".dist-info")
    )
    clash = [name for name in installed if name in ("onnxruntime", *GPU)]
    if len(clash) > 1:
        raise SessionError(
            f"{' and '.join(clash)} are both installed, into one folder: the last one wins",
            hint=f"pip uninstall -y {' '.join(clash)} && pip install {clash[-1]}",
        )


one_onnxruntime(os.path.dirname(onnxruntime.__path__[0]))
