"""The wheel holds everything, and serves a device that has neither torch nor onnx."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from handful.trainer.learners import LEARNERS
from handful.trainer.listing import SOURCES, recipes

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.contract]

ON_THE_DEVICE = """
import importlib.util
import numpy as np
import handful

for name in ("torch", "onnx", "PIL", "pydantic", "rich"):
    assert importlib.util.find_spec(name) is None, name
learner = handful.load("omniglot-leo")
across, down = np.zeros((2, 28, 28), np.float32)
across[13:15, 4:24] = 1
down[4:24, 13:15] = 1
task = learner.adapt({"across": [across], "down": [down]})
moved = np.stack([np.roll(across, 2, 0), np.roll(down, 2, 1)])
print(*task.predict(moved), handful.__file__)
"""


def called(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command, with nothing of this environment on its import path."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run([str(part) for part in command], check=True, cwd=folder)
    (built,) = folder.glob("handful-*.whl")
    return built


@pytest.fixture(scope="module")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and what it needs, no extra."""
    folder = tmp_path_factory.mktemp("device")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run([str(part) for part in install], check=True, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_every_module_recipe_list_and_package(wheel: Path) -> None:
    kinds = ("*.py", "*.toml", "*.json", "*.onnx", "*.npz", "README.md", "py.typed")
    parts = [ROOT / part for part in ("trainer", "runtime", "exported")]
    expected = {f.relative_to(ROOT) for part in parts for kind in kinds for f in part.rglob(kind)}
    served = [f for part in ("src", "pages") for f in (ROOT / "web" / part).rglob("*")]
    expected |= {f.relative_to(ROOT) for f in served if f.is_file()}
    expected |= {
        Path(name)
        for name in (
            "cli.py",
            "console.py",
            "device.py",
            "__init__.py",
            "__main__.py",
            "py.typed",
        )
    }
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.rpartition("/")[2] for name in names if "/licenses/" in name} == {
        "LICENSE",
        "NOTICE",
    }
    packed = {name for name in names if name.startswith("handful/")}
    assert packed == {f"handful/{path.as_posix()}" for path in expected}


def test_a_device_without_torch_adapts_a_shipped_package(device: Path, tmp_path: Path) -> None:
    done = called(device / "python", "-c", ON_THE_DEVICE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["across", "down"]
    assert str(device.parent) in done.stdout.split()[2]


def test_its_command_verifies_and_times_packages(device: Path, tmp_path: Path) -> None:
    assert "omniglot-leo " in called(device / "handful", "packages", cwd=tmp_path).stdout
    verified = called(device / "handful", "verify", "omniglot-leo", cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    timed = called(device / "handful", "bench", "omniglot-leo", "--runs", 1, cwd=tmp_path)
    assert timed.returncode == 0, timed.stderr
    version = called(device / "handful", "--version", cwd=tmp_path)
    code = (
        "import handful, importlib.metadata as m; print(handful.__version__, m.version('handful'))"
    )
    stated, installed = called(device / "python", "-c", code, cwd=tmp_path).stdout.split()
    assert (version.stdout, installed) == (f"handful, version {stated}\n", stated)


def test_its_command_lists_what_could_be_trained(device: Path, tmp_path: Path) -> None:
    listed = called(device / "handful", "learners", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in listed if line] == [*LEARNERS, "recipes:"]
    assert listed[-1] == f"recipes: {', '.join(recipes())}"
    sources = called(device / "handful", "data", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in sources] == list(SOURCES)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ("train", "leo", "--out", "run"),
            "torch is not installed\n\nhint: in a clone of handful: pip install '.[train]'",
        ),
        (
            ("photos", "package"),
            "torch is not installed\n\nhint: in a clone of handful: pip install '.[photos]'",
        ),
        (
            ("adapt", "omniglot-leo", "photos", "--out", "task.npz"),
            "reading pictures needs Pillow, which is not installed\n\n"
            "hint: in a clone of handful: pip install '.[images]'",
        ),
    ],
)
def test_what_needs_an_extra_names_it(
    device: Path, tmp_path: Path, arguments: tuple[str, ...], error: str
) -> None:
    (tmp_path / "photos" / "cup").mkdir(parents=True)
    (tmp_path / "photos" / "cup" / "a.png").touch()
    done = called(device / "handful", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {error}\n")
