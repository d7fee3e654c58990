"""onnxruntime beside us: it writes nothing into the user's folders and prints nothing."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import handful
from handful.runtime.errors import AdaptError, PackageError
from handful.runtime.ort import onnxruntime as ort

SWITCH = "ORT_DISABLE_TELEMETRY"
USED = """
import sys, numpy as np, handful
x = np.eye(4, dtype=np.float32)
task = handful.load(sys.argv[1]).adapt(x, list("abab"))
assert task.predict(x[0]) == "a"
"""
BACKBONE = """
import os, handful.trainer.data.backbone, handful.trainer.export.in_front
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
"""
ALONE = "import onnxruntime"


def written(home: Path, code: str, *words: str, **settings: str) -> list[str]:
    """The files in an empty home folder after Python has run the code there."""
    home.mkdir()
    places = ("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "XDG_CACHE_HOME", "TMPDIR", "TEMP")
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **settings}
    environment |= dict.fromkeys(places, str(home))
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_nothing_is_written_by_loading_adapting_and_predicting(
    packages: Any, tmp_path: Path
) -> None:
    assert written(tmp_path / "home", USED, str(packages("prototypes"))) == []


def test_nothing_is_written_by_the_trainers_use_of_onnxruntime(tmp_path: Path) -> None:
    assert written(tmp_path / "home", BACKBONE) == []


def test_without_us_onnxruntime_does_write(tmp_path: Path) -> None:
    """What shows that the two tests above can fail."""
    files = written(tmp_path / "home", ALONE)
    if not files:
        pytest.skip(f"onnxruntime {ort.__version__}, as built here, keeps no data base of events")
    assert {"deviceid", "onnxruntime.db"} <= {Path(file).name for file in files}


def test_what_the_user_has_set_stays(tmp_path: Path) -> None:
    code = f"import os, handful.runtime.ort; assert os.environ[{SWITCH!r}] == '0'"
    written(tmp_path / "home", code, **{SWITCH: "0"})


def test_a_graph_that_is_refused_prints_nothing(
    packages: Any,
    rehash: Callable[..., None],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = packages.copy("head", tmp_path)
    model = onnx.load(folder / "embed.onnx")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((35, 5), np.float32), "m"))
    rehash(folder, "embed", model.SerializeToString())
    learner = handful.load(folder)
    with pytest.raises(PackageError, match="graph embed is refused by onnxruntime"):
        learner.adapt(np.tile(255 * np.eye(6, dtype=np.uint8)[..., None], (2, 1, 1, 1)), ["a", "b"])
    assert capfd.readouterr() == ("", "")


def test_a_run_that_fails_prints_nothing(packages: Any, capfd: pytest.CaptureFixture[str]) -> None:
    graph = handful.load(packages("prototypes"))._engine.graphs["means"]
    feeds = {"support_x": np.zeros((2, 4), np.float32), "support_y": np.zeros((3, 2), np.float32)}
    with pytest.raises(AdaptError, match="graph means failed"):
        graph.run(feeds)
    assert capfd.readouterr() == ("", "")


def test_a_provider_that_fails_prints_nothing_and_is_not_replaced(
    packages: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tried: list[Any] = []

    def fail(self: Any, providers: Any, *_: Any) -> None:
        tried.append(providers)
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(ort.InferenceSession, "_create_inference_session", fail)
    with pytest.raises(PackageError, match="the device is gone"):
        handful.load(packages("prototypes")).adapt(np.eye(4, dtype=np.float32), list("abab"))
    assert tried == [["CPUExecutionProvider"]]
    assert capfd.readouterr() == ("", "")
