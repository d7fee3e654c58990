"""`handful demo`: what its site holds and says, and that onnxruntime-web is taken by its hashes."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import handful
from handful import HandfulError, PackageError
from handful.cli import main
from handful.runtime.tools import wasm
from handful.runtime.tools.site import POLICY, WEB, Site, make_site, serve, write_site
from handful.runtime.tools.verify import verify
from handful.trainer.data.sources.bands import ELECTRODES, GESTURES, wear

RUNTIME = {name: name.encode() for name in wasm.FILES}


@pytest.fixture(scope="module")
def site() -> Site:
    return make_site(None, RUNTIME)


@pytest.fixture
def own_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with other files of onnxruntime-web, whose hashes are known."""
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in RUNTIME.items()}
    monkeypatch.setattr(wasm, "FILES", hashes)
    for name, data in RUNTIME.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_every_file_is_listed_by_its_hash(site: Site) -> None:
    listing = json.loads(site.files["files.json"])
    assert listing["files"].keys() == site.files.keys() - {"files.json"}
    for path, digest in listing["files"].items():
        assert hashlib.sha256(site.files[path]).hexdigest() == digest
    names = [package["name"] for package in listing["packages"]]
    assert "omniglot-leo" in names
    assert "sensor-maml" not in names  # there is no page for it


def test_what_a_page_links_to_is_there(site: Site) -> None:
    for path, data in site.files.items():
        if path.endswith(".html"):
            for target in re.findall(r'(?:href|src)="([^"#?]*)"', data.decode()):
                assert site.find(f"/{target.removeprefix('./')}") is not None, (path, target)
            assert "style=" not in data.decode(), path  # the policy forbids it


def test_the_made_up_persons_are_those_that_their_program_makes(site: Site) -> None:
    for number in range(80, 86):
        rows = site.files[f"bands/person-{number}.csv"].decode().splitlines()[1:]
        values = np.array([row.split(",")[2:] for row in rows], float)
        wanted = wear(number).reshape(-1, ELECTRODES)  # written with two places
        np.testing.assert_allclose(values, wanted, atol=0.005001)


def test_the_package_of_made_up_persons_conforms() -> None:
    package = WEB / "pages/bands/bands-personal.handful"
    assert verify(package).differences
    assert handful.load(package).classes == GESTURES


@pytest.fixture
def ask(site: Site) -> Iterator[HTTPConnection]:
    with serve(site, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        yield connection
        connection.close()
        server.shutdown()


def got(ask: HTTPConnection, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    ask.request("GET", path, headers=headers)
    response = ask.getresponse()
    return response, response.read()


def test_the_server_says_what_may_be_fetched(ask: HTTPConnection) -> None:
    response, body = got(ask, "/")
    assert (response.status, response.headers["Content-Security-Policy"]) == (200, POLICY)
    assert b"Teach it your signs" in body
    response, _ = got(ask, "/ort/ort-wasm-simd-threaded.wasm")
    assert response.headers["Content-Type"] == "application/wasm"
    tag = str(response.headers["ETag"])
    response, body = got(ask, "/ort/ort-wasm-simd-threaded.wasm", **{"If-None-Match": tag})
    assert (response.status, body) == (304, b"")


@pytest.mark.parametrize("path", ["/nothing", "/../cli.py", "/%2e%2e/cli.py", "//etc/passwd"])
def test_no_other_file_is_served(ask: HTTPConnection, path: str) -> None:
    assert got(ask, path)[0].status == 404


def test_a_package_has_the_page_of_its_kind() -> None:
    assert make_site("omniglot-maml", RUNTIME).page == "index.html?package=omniglot-maml"
    assert make_site("myo-personal", RUNTIME).page == "gain.html?package=myo-personal"
    with pytest.raises(PackageError, match="no page yet for sensor-maml, a regression"):
        make_site("sensor-maml", RUNTIME)


def test_a_site_is_written_into_an_empty_folder_alone(site: Site, tmp_path: Path) -> None:
    assert write_site(site, tmp_path / "site") == len(site.files)
    assert (tmp_path / "site/handful/vetting/vet.js").is_file()
    assert (tmp_path / "site/handful/tables.js.gz").is_file()
    with pytest.raises(HandfulError, match="is there already"):
        write_site(site, tmp_path / "site")


def test_the_runtime_is_taken_by_its_hashes(own_runtime: Path) -> None:
    assert wasm.read_runtime(own_runtime) == RUNTIME
    file = own_runtime / "ort.wasm.bundle.min.mjs"
    file.write_bytes(b"altered")
    with pytest.raises(PackageError, match=r"ort\.wasm\.bundle\.min\.mjs in .* has sha256"):
        wasm.read_runtime(own_runtime)


def archive(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def test_it_is_downloaded_once(
    own_runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packed = tmp_path / "packed.tgz"
    packed.write_bytes(archive({**RUNTIME, "other.mjs": b"x"}))
    monkeypatch.setattr(wasm, "URL", packed.as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen: list[int] = []
    found = wasm.read_runtime(progress=lambda done, total: seen.append(done))
    assert found == RUNTIME
    assert seen
    packed.unlink()
    assert wasm.read_runtime() == RUNTIME  # out of the cache
    (wasm.cache_folder() / "ort.wasm.bundle.min.mjs").unlink()
    with pytest.raises(PackageError, match="cannot download") as caught:
        wasm.read_runtime()
    assert "--runtime" in str(caught.value.hint)


def test_what_is_no_archive_of_it_is_refused(own_runtime: Path) -> None:
    file = own_runtime / "it.tgz"
    file.write_bytes(b"no archive")
    with pytest.raises(PackageError, match="is not a whole archive"):
        wasm.read_runtime(file)
    file.write_bytes(archive({}))
    with pytest.raises(PackageError, match="is not there"):
        wasm.read_runtime(file)


def test_the_command_writes_a_site(own_runtime: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    given = ["demo", "omniglot-leo", "--out", str(out), "--runtime", str(own_runtime)]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0
    assert (out / "index.html").is_file()
    assert done.stderr.startswith("wrote ")
