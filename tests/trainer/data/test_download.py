"""Downloads from a local server: progress, hashes, and what happens when they fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from handful.trainer.data import DataError
from handful.trainer.data.sources.download import CHUNK, Archive, fetch

DATA = bytes(range(256)) * 600
ARCHIVE = Archive("some.zip", hashlib.md5(DATA, usedforsecurity=False).hexdigest())


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder; `/half/` promises more than it sends."""

    def do_GET(self) -> None:
        if not self.path.startswith("/half/"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[:1000])

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class Server(HTTPServer):
    """One request at a time; a client that hangs up is no error."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that offers some.zip."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / ARCHIVE.name).write_bytes(DATA)
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    with Server(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()
        thread.join()


def test_a_file_is_fetched_once_and_its_progress_told(server: str, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    folder = tmp_path / "cache" / "omniglot"
    file = fetch(server, ARCHIVE, folder, progress=lambda done, total: told.append((done, total)))
    assert file == folder / "some.zip"
    assert file.read_bytes() == DATA
    assert [item.name for item in folder.iterdir()] == ["some.zip"]
    assert told[0] == (CHUNK, len(DATA))
    assert told[-1] == (len(DATA), len(DATA))
    (tmp_path / "served" / ARCHIVE.name).unlink()
    assert fetch(server, ARCHIVE, folder) == file


def refusal(base: str, archive: Archive, folder: Path) -> tuple[str, str | None]:
    with pytest.raises(DataError) as error:
        fetch(base, archive, folder)
    assert not folder.exists()
    return str(error.value), error.value.hint


def test_another_hash_is_refused_and_nothing_kept(server: str, tmp_path: Path) -> None:
    wrong = Archive("some.zip", "0" * 32)
    assert refusal(server, wrong, tmp_path / "cache") == (
        f"{server}some.zip has md5 {ARCHIVE.md5}, wanted {'0' * 32}",
        "the download is broken, or the file was changed: try again later",
    )


def test_half_a_file_is_refused_and_nothing_kept(server: str, tmp_path: Path) -> None:
    md5 = hashlib.md5(DATA[:1000], usedforsecurity=False).hexdigest()
    message, _ = refusal(f"{server}half/", ARCHIVE, tmp_path / "cache")
    assert message == f"{server}half/some.zip has md5 {md5}, wanted {ARCHIVE.md5}"


def test_a_file_that_is_not_offered(server: str, tmp_path: Path) -> None:
    assert refusal(server, Archive("other.zip", "0" * 32), tmp_path / "cache") == (
        f"cannot download {server}other.zip: HTTP Error 404: File not found",
        f"download it elsewhere and put it into {tmp_path / 'cache'}",
    )


def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Quiet) as http:
        base = f"http://127.0.0.1:{http.server_address[1]}/"  # free again after the block
    message, _ = refusal(base, ARCHIVE, tmp_path / "cache")
    assert message.startswith(f"cannot download {base}some.zip: <urlopen error [Errno ")


def test_a_file_that_is_too_large(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handful.trainer.data.sources.download.MAX_BYTES", 1000)
    message, _ = refusal(server, ARCHIVE, tmp_path / "cache")
    assert message == f"{server}some.zip is larger than 1000 bytes"


def test_a_cache_that_cannot_be_written(server: str, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError) as error:
        fetch(server, ARCHIVE, tmp_path / "cache" / "omniglot")
    message = str(error.value)
    assert message == (
        f"cannot write the cache {tmp_path / 'cache' / 'omniglot' / 'some.zip'}: Not a directory"
    )
    assert error.value.hint == "set XDG_CACHE_HOME to a folder that can be written"
