"""Hostile and broken packages: each is refused, in these words."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import handful
from handful.runtime.errors import ManifestError, PackageError

from ..each import each
from .refusal import refused

AGAIN = "export the package again, or install the handful that made it"
COPY = "copy the package again, as a whole"
PLAIN = "letters, digits, `.`, `_` and `-`, no folders, at most 100 characters"


def place(content: Any, path: str) -> tuple[Any, Any]:
    """The object or list that `stages/0/name` lies in, and the key it has there."""
    *way, last = (int(part) if part.isdigit() else part for part in path.split("/"))
    for part in way:
        content = content[part]
    return content, last


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        parent, key = place(content, path)
        parent[key] = value

    return change


def drop(path: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        parent, key = place(content, path)
        del parent[key]

    return change


MANIFESTS: list[tuple[Callable[[dict[str, Any]], None], str, str | None]] = [
    (put("format", 2), "manifest has format 2, this runtime reads 1", AGAIN),
    (put("format", 0), "manifest has format 0, this runtime reads 1", AGAIN),
    (put("format", True), "manifest has format true, this runtime reads 1", AGAIN),
    (put("flavour", 1), "unknown field in manifest: `flavour`", AGAIN),
    (put("stages/0/foo", 1), "unknown field in manifest: `stages[0].foo`", AGAIN),
    (drop("licence"), "missing field in manifest: `licence`", AGAIN),
    (drop("format"), "missing field in manifest: `format`", AGAIN),
    (drop("precision"), "missing field in manifest: `precision`", AGAIN),
    (drop("graphs/embed/sha256"), "missing field in manifest: `graphs.embed.sha256`", AGAIN),
    (put("stages/0/steps", "3"), "`stages[0].steps` is '3', wanted an integer", AGAIN),
    (put("stages/0/steps", True), "`stages[0].steps` is true, wanted an integer", AGAIN),
    (put("input/range", [0.0]), "`input.range` is a list, wanted a list of 2", AGAIN),
    (put("input/shape/0", 6.5), "`input.shape[0]` is 6.5, wanted an integer", AGAIN),
    (put("limits", []), "`limits` is a list, wanted an object", AGAIN),
    (put("task", "ranking"),
     "`task` is 'ranking', wanted one of `classification`, `regression`, `policy`", AGAIN),
    (put("graphs/embed/inputs/0/dtype", "float16"),
     "`graphs.embed.inputs[0].dtype` is 'float16', wanted one of `float32`, `int64`", AGAIN),
    (put("input/resize", None), "`input.resize` is null, wanted a value: the input is an image",
     None),
    (put("input/resize", 5), "`input.resize` is 5, wanted 6 to 4096", None),
    (put("input/colour", "rgb"), "`input.shape` is [6, 6, 1], wanted HWC with 3 channels", None),
    (put("input/scale", 0), "`input.scale` is 0 or not finite, wanted a finite number", None),
    (put("limits/way/min", 0), "`limits.way` is 0 to None, wanted low to high, from 1", None),
    (put("graphs/embed/file", "../embed.onnx"),
     "`graphs.embed.file` is '../embed.onnx', wanted a plain file name", PLAIN),
    (put("graphs/embed/file", "/etc/passwd"),
     "`graphs.embed.file` is '/etc/passwd', wanted a plain file name", PLAIN),
    (put("graphs/embed/file", "c:embed.onnx"),
     "`graphs.embed.file` is 'c:embed.onnx', wanted a plain file name", PLAIN),
    (put("graphs/embed/file", "a\\b.onnx"),
     "`graphs.embed.file` is 'a\\\\b.onnx', wanted a plain file name", PLAIN),
    (put("graphs/embed/file", "embed.onnx\0"),
     "`graphs.embed.file` is 'embed.onnx\\x00', wanted a plain file name", PLAIN),
    (put("graphs/embed/file", "NUL.onnx"),
     "`graphs.embed.file` is 'NUL.onnx', wanted a plain file name", PLAIN),
    (put("graphs/embed/file", ".."), "`graphs.embed.file` is '..', wanted a plain file name",
     PLAIN),
    (put("graphs/embed/file", "Manifest.JSON"),
     "`graphs.embed.file` is 'Manifest.JSON', a name that the format uses", None),
    (put("graphs/start/file", "Embed.ONNX"),
     "`graphs.start.file` is 'Embed.ONNX', the file of `graphs.embed`",
     "give each graph its own file; upper and lower case count as the same"),
    (put("graphs/embed/sha256", "0" * 63),
     "`graphs.embed.sha256` is not 64 lower-case hexadecimal digits", None),
    (put("graphs/embed/bytes", 2**40), f"`graphs.embed.bytes` is {2**40}, wanted 1 to 536870912",
     None),
    (put("stages/0/init", "begin"), "`stages[0].init` is 'begin', which `graphs` does not have",
     None),
    (put("stages/0/steps", 0),
     "`stages[0].steps` is 0, wanted 0 without a step, 1 to 10000 with one", None),
    (put("stages/0/state", ["z"]), "`graphs.start.outputs` is w, wanted z", None),
    (put("stages/0/noise", []),
     "`graphs.start.inputs` has 'w_noise', wanted state, noise, `support_x` or `support_y`", None),
    (put("stages", []), "`stages` is empty, wanted one stage at least", None),
    (put("graphs/step/outputs/0/shape", ["N", 6]),
     "`graphs.step.outputs` has 'w': float32 ['N', 6], wanted float32 ['N', 5] as it was made",
     None),
    (put("graphs/predict/inputs/1/shape", ["Q", 7]),
     "`graphs.predict.inputs` has 'query_x': float32 ['Q', 7], wanted float32 ['Q', 5]", None),
    (put("graphs/predict/outputs/0/shape", ["Z", "N"]),
     "`graphs.predict.outputs[0].shape` is ['Z', 'N'], "
     "wanted up to 8 positive numbers with a product up to 2²⁶, or B, S, N, Q among them", None),
    (put("graphs/start/inputs/0/shape", ["N", 2**13, 2**14]),
     "`graphs.start.inputs[0].shape` is ['N', 8192, 16384], "
     "wanted up to 8 positive numbers with a product up to 2²⁶, or B, S, N, Q among them", None),
    (put("input/shape", [0, 6, 1]), "`input.shape` is [0, 6, 1], "
     "wanted up to 8 positive numbers with a product up to 2²⁶", None),
    (put("embed", None), "`graphs.step.inputs` has 'support_x': float32 ['S', 5], "
     "wanted float32 ['S', 6, 6, 1]", None),
    (put("graphs/extra", {"file": "x", "sha256": "0" * 64, "bytes": 1, "inputs": [],
                          "outputs": []}),
     "`graphs.extra` is used by no stage", "leave it out"),
]  # fmt: skip


@each(("change", "words", "hint"), MANIFESTS)
def test_manifests(
    packages: Any,
    tmp_path: Path,
    edit: Callable[..., None],
    change: Callable[[Any], None],
    words: str,
    hint: str | None,
) -> None:
    folder = packages.copy("head", tmp_path)
    edit(folder, change)
    refused(folder, ManifestError, words, hint)


@each(
    ("data", "words"),
    [
        (b"{", "manifest.json is not JSON: Expecting property name enclosed in double quotes: "
               "line 1 column 2 (char 1)"),
        (b"[]", "manifest is a list, wanted an object"),
        (b'{"format": 1, "format": 1}', "field given twice in manifest: `format`"),
        (b'{"format": NaN}', "NaN in manifest, wanted a finite number"),
    ],
)  # fmt: skip
def test_manifests_that_are_not_json_objects(folder: Path, data: bytes, words: str) -> None:
    (folder / "manifest.json").write_bytes(data)
    refused(folder, ManifestError, words, AGAIN)


def test_deeply_nested_json(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"[" * 500_000)
    with pytest.raises(ManifestError, match=r"manifest\.json is not JSON: "):
        handful.load(folder)


@pytest.mark.parametrize("lists", [62, 63])
def test_nesting_is_counted_in_objects_and_lists(folder: Path, edit: Any, lists: int) -> None:
    content: Any = 0
    for _ in range(lists):
        content = [content]
    edit(folder, lambda manifest: manifest.update(training={"a": content}))
    if lists == 62:  # within the manifest and its `training`
        handful.load(folder)
    else:
        refused(folder, ManifestError, "manifest.json is nested more than 64 levels deep", AGAIN)


def test_a_manifest_that_is_too_large(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_bytes(b" " * (2**20 + 1))
    refused(folder, ManifestError, f"{file} has 1048577 bytes, at most 1048576 are read")


def test_no_package(tmp_path: Path) -> None:
    refused(
        tmp_path, ManifestError, f"no file manifest.json in {tmp_path}",
        "an exported package is a folder made by `handful export`",
    )  # fmt: skip


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as error:
        handful.load(tmp_path / "none")
    words = f"no folder or file {tmp_path / 'none'}, and no shipped package of that name"
    assert str(error.value) == words


def test_a_file_for_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "embed.onnx"
    file.write_bytes(b"\x08\x08")
    words = f"{file} is not a package: it is no zip archive"
    refused(file, PackageError, words, "`handful pack FOLDER` writes a package as one file")


def test_a_missing_file(folder: Path) -> None:
    (folder / "step.onnx").unlink()
    words = f"no file step.onnx in {folder}"
    refused(folder, PackageError, words, COPY)


def test_an_altered_file(folder: Path) -> None:
    data = bytearray((folder / "step.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "step.onnx").write_bytes(data)
    with pytest.raises(PackageError) as error:
        handful.load(folder)
    words = str(error.value)
    assert words.startswith("step.onnx has sha256 ")
    assert ", the manifest says " in words
    assert error.value.hint == f"the file was altered: {COPY}"


def test_a_file_that_is_too_short(folder: Path) -> None:
    data = (folder / "step.onnx").read_bytes()
    (folder / "step.onnx").write_bytes(data[:-5])
    words = f"step.onnx has {len(data) - 5} bytes, the manifest says {len(data)}"
    refused(folder, PackageError, words, COPY)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link(folder: Path, tmp_path: Path) -> None:
    file = folder / "step.onnx"
    file.rename(tmp_path / "outside.onnx")
    file.symlink_to(tmp_path / "outside.onnx")
    hint = "copy the file itself"
    refused(folder, PackageError, f"{file} is a link, wanted a regular file", hint)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_pipe_does_not_hang_us(folder: Path) -> None:
    file = folder / "step.onnx"
    file.unlink()
    os.mkfifo(file)
    refused(folder, PackageError, f"{file} is not a regular file", "copy the file itself")
