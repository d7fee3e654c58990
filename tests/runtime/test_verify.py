"""Golden vectors, descriptions and measurements of packages."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import handful
from handful.cli import main
from handful.runtime.errors import PackageError, escape_controls
from handful.runtime.package import schema
from handful.runtime.tools.bench import bench
from handful.runtime.tools.inspect import describe
from handful.runtime.tools.text import format_verification
from handful.runtime.tools.verify import relative_difference, verify
from handful.runtime.vetting import operators

from .edit import golden


@pytest.mark.parametrize("name", ["prototypes", "head", "line"])
def test_a_good_package_replays_what_numpy_computed(packages: Any, name: str) -> None:
    report = verify(packages(name))
    assert report.ok
    assert report.failed == ()
    assert report.worst < 1e-5


def test_every_state_is_compared(packages: Any) -> None:
    assert list(verify(packages("head")).differences) == [
        "head/0/w",
        *(f"head/{i}/{tensor}" for i in (1, 2, 3) for tensor in ("w", "loss")),
        "logits",
    ]


def test_a_wrong_state_is_named(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("head", tmp_path)
    golden(folder, head__2__w=np.zeros((3, 5), np.float32))
    report = verify(folder)
    assert report.failed == ("head/2/w",)
    assert not report.ok


def test_a_wrong_shape_differs_infinitely(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("head", tmp_path)
    golden(folder, logits=np.zeros((4, 2), np.float32))
    assert verify(folder).worst == float("inf")


def test_large_states_may_be_thinned(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("head", tmp_path)
    with np.load(folder / "conformance.npz") as archive:
        w = archive["head/3/w"]
    golden(folder, head__3__w=None, **{"head__3__w[::4]": w.reshape(-1)[::4]})
    assert verify(folder).ok
    golden(folder, **{"head__3__w[::4]": w.reshape(-1)[::4] + 1})
    assert verify(folder).failed == ("head/3/w",)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("head__2__w", None, "conformance.npz has no `head/2/w`"),
        ("extra", np.zeros(1, np.float32), "conformance.npz has an unknown `extra`"),
        ("w[::x]", np.zeros(1, np.float32), "conformance.npz has an unknown `w[::x]`"),
    ],
)
def test_missing_and_unknown_vectors(
    packages: Any, tmp_path: Path, name: str, value: Any, words: str
) -> None:
    folder = packages.copy("head", tmp_path)
    golden(folder, **{name: value})
    with pytest.raises(PackageError) as error:
        verify(folder)
    assert str(error.value) == words
    assert error.value.hint == "export the package again"


def test_a_vector_may_be_as_far_as_the_number_beside_it_says(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("head", tmp_path)
    with np.load(folder / "conformance.npz") as archive:
        w, logits = archive["head/2/w"], archive["logits"]
    golden(folder, head__2__w=w + 0.02 * np.abs(w).max())
    assert verify(folder).failed == ("head/2/w",)
    golden(folder, head__2__w__tolerance=np.array(0.03, np.float32))
    report = verify(folder)
    assert report.ok
    assert report.tolerances == {"head/2/w": pytest.approx(0.03)}
    assert format_verification(report).startswith("head: 5 files, ")
    assert "(1 magnify rounding, up to 3.0e-02 is allowed)" in format_verification(report)
    assert verify(folder, tolerance=0.01).failed == ("head/2/w",)
    golden(folder, logits=logits * np.float32(1.02))  # what is said of one vector is of no other
    assert verify(folder).failed == ("logits",)
    golden(folder, logits__tolerance=np.array(0.03, np.float32))
    report = verify(folder)
    assert report.ok
    assert replace(report, one_by_one=0.02).ok  # the same answers, in another order of sums
    assert replace(report, one_by_one=0.04).failed == ("one by one",)
    small = np.array(1e-6, np.float32)  # no package asks for less than the default
    golden(folder, logits=logits * np.float32(1 + 5e-5), logits__tolerance=small)
    assert verify(folder).ok


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("logits", np.array(0.2, np.float32), "is 0.2, wanted one float32 above 0, at most 0.1"),
        ("logits", np.array(np.nan, np.float32), "is nan, wanted one float32 above 0, at most 0.1"),
        ("logits", np.array(0.0, np.float32), "is 0, wanted one float32 above 0, at most 0.1"),
        ("logits", np.ones(1, np.float32), "is float32 [1], wanted one float32 above 0, at mo"),
        ("head/1/w", np.array(1, np.int64), "is int64 [], wanted one float32 above 0, finite"),
        ("head/1/w", np.array(np.inf, np.float32), "is inf, wanted one float32 above 0, finite"),
    ],
)
def test_a_tolerance_is_one_number(
    packages: Any, tmp_path: Path, name: str, value: Any, words: str
) -> None:
    folder = packages.copy("head", tmp_path)
    golden(folder, **{f"{name}/tolerance": value})
    with pytest.raises(PackageError) as error:
        verify(folder)
    assert str(error.value).startswith(f"conformance.npz: `{name}/tolerance` {words}")


@pytest.mark.parametrize("name", ["head/9/w", "support_x", "picture/0/x"])
def test_a_tolerance_is_of_a_vector(packages: Any, tmp_path: Path, name: str) -> None:
    folder = packages.copy("head", tmp_path)
    golden(folder, **{f"{name}/tolerance": np.array(0.01, np.float32)})
    with pytest.raises(PackageError, match=r"^conformance.npz has an unknown `.*/tolerance`$"):
        verify(folder)


def test_relative_difference() -> None:
    assert relative_difference([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert relative_difference([1e-4], [0.0]) == pytest.approx(0.1)  # the floor is 1e-3
    assert relative_difference([1e-2], [0.0], "inner/1/loss") == pytest.approx(0.1)  # and 0.1
    assert relative_difference([np.nan], [1.0]) == float("inf")
    assert relative_difference([1.0], [[1.0]]) == float("inf")
    assert relative_difference([], []) == 0


def test_describe(packages: Any) -> None:
    description = describe(packages("head"))
    assert description.order == ("embed", "start", "step × 3", "predict")
    embed, _, step, _ = description.graphs
    assert (embed.nodes, embed.parameters) == (2, 180)
    assert embed.operators == {"Flatten": 1, "MatMul": 1}
    assert embed.inputs == {"x": "float32 [B, 6, 6, 1]"}
    assert step.outputs == {"w": "float32 [N, 5]", "loss": "float32 []"}
    assert description.as_json()["manifest"]["stages"][0]["noise"] == ["w_noise"]
    sizes = [(packages("head") / f).stat().st_size for f in ("manifest.json", "embed.onnx")]
    assert description.bytes == sum(sizes) + sum(graph.bytes for graph in description.graphs[1:])


def test_bench_measures_a_package(packages: Any) -> None:
    measured = bench(packages("prototypes"), way=3, shot=2, runs=3, cold_runs=1)
    assert (measured.package, measured.threads) == ("prototypes", 1)
    assert (measured.way, measured.shot) == (3, 2)
    times = {name: value for name, value in asdict(measured).items() if name.endswith("_ms")}
    assert all(0 < value < 60_000 for value in times.values()), times
    assert measured.cold_start_ms > measured.load_ms


@pytest.mark.parametrize(
    ("source", "file"), [(schema, "manifest.schema.json"), (operators, "operators.json")]
)
def test_what_is_committed_for_other_languages_is_fresh(source: Any, file: str) -> None:
    committed = Path(__file__).parents[2] / "exported" / file
    assert committed.read_text() == source.text(), (
        f"run `python -m {source.__name__} > exported/{file}`"
    )


def test_a_package_without_golden_vectors_runs_and_cannot_be_verified(
    packages: Any, tmp_path: Path
) -> None:
    folder = packages.copy("prototypes", tmp_path)
    (folder / "conformance.npz").unlink()
    x: Any = np.eye(4, dtype=np.float32)
    assert handful.load(folder).adapt(x, list("abab")).predict(x) == ["a", "b", "a", "b"]
    with pytest.raises(PackageError) as error:
        verify(folder)
    assert str(error.value) == f"no file conformance.npz in {folder}"
    assert error.value.hint == (
        "a package runs without it, but nobody can tell what it should give: export it again"
    )


def test_what_is_printed_is_harmless_to_a_terminal() -> None:
    hostile = "a\x1b[31m\x9b2J\x07\u202e\r\n\tb\ud800é👩‍👧"
    assert escape_controls(hostile) == (
        "a\\u001b[31m\\u009b2J\\u0007\\u202e\\u000d\n\tb\\ud800é👩‍👧"
    )
    as_json = json.dumps({"a": "\x9b\u202e"}, ensure_ascii=False)
    assert json.loads(escape_controls(as_json)) == {"a": "\x9b\u202e"}


def test_inspect_prints_nothing_that_a_terminal_would_obey(
    packages: Any, edit: Any, tmp_path: Path
) -> None:
    folder = packages.copy("head", tmp_path)
    hostile = "\x1b]0;owned\x07\x9b2J\u202e"
    edit(folder, lambda content: content["training"].update(note=hostile))
    shown = CliRunner().invoke(main, ["inspect", str(folder), "--json"], catch_exceptions=False)
    assert not {*hostile} - {*"]0;owned2J"} & {*shown.stdout}
    assert json.loads(shown.stdout)["manifest"]["training"]["note"] == hostile
    refused = CliRunner().invoke(main, ["inspect", f"{folder}\x1b[31m"], catch_exceptions=False)
    assert refused.stderr.startswith(
        f"error: no folder or file {folder}\\u001b[31m, and no shipped package"
    )
