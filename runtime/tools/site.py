"""The pages on which packages are tried, as a web site: served here, or written to a folder.

Every file is known by its sha256, which stands in files.json: by it the service worker keeps them,
so that the second visit needs no network.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from handful.runtime.errors import HandfulError, PackageError
from handful.runtime.package.archive import open_files
from handful.runtime.package.decode import MAX_BYTES, read_manifest
from handful.runtime.package.files import sha256, write_atomic
from handful.runtime.package.manifest import FILE, Manifest
from handful.runtime.package.read import find, list_shipped

WEB = Path(__file__).parents[2] / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".csv": "text/csv; charset=utf-8",
    ".wasm": "application/wasm",
}
# what the pages say themselves, for every file: nothing is fetched from anywhere else
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src"
    " 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri"
    " 'none'; form-action 'none'; frame-ancestors 'none'"
)
WORTH_PACKING = 2**10  # bytes of a file that is also written compressed
PAGES = {"image": "things.html", "audio": "words.html"}
OF_PERSONS = "gain.html"  # of arrays, where the classes are named


@dataclass(frozen=True)
class Site:
    """The files of the site by their paths below its root, and the page to begin with."""

    files: Mapping[str, bytes]
    page: str

    def find(self, path: str) -> bytes | None:
        """The file that an address means, None where there is none."""
        name = unquote(urlsplit(path).path).removeprefix("/")
        return self.files.get(name or "index.html")


def page_of(manifest: Manifest) -> str:
    """The page on which a package is tried; PackageError where there is none for its kind."""
    spec = manifest.input
    named = manifest.classes is not None
    if named and spec.kind == "array":
        return OF_PERSONS
    if manifest.task != "classification" or spec.kind not in PAGES or named:
        kind = f"a package of {spec.kind}s"
        if manifest.task != "classification":
            kind = f"a {manifest.task}"
        kind += " with named classes" if named else ""
        raise PackageError(
            f"there is no page yet for {manifest.name}, {kind}",
            hint="there are pages for drawings, photographs, sounds, and signals of named classes",
        )
    return "index.html" if spec.kind == "image" and spec.colour == "grey" else PAGES[spec.kind]


def make_site(package: str | None, runtime: Mapping[str, bytes]) -> Site:
    """The site with the packages that ship with handful, and with `package` if one is given.

    `runtime` has the files of onnxruntime-web. PackageError where a package cannot be read, or
    there is no page for it.
    """
    folders = {name: find(name) for name in list_shipped()}
    page = "index.html"
    if package is not None:
        folder = find(package)
        manifest = read_manifest(folder)
        page = f"{page_of(manifest)}?package={manifest.name}"
        folders[manifest.name] = folder
    files = dict(_own_files()) | {f"ort/{name}": data for name, data in runtime.items()}
    listed = []
    for name, folder in sorted(folders.items()):
        manifest = read_manifest(folder)
        try:
            page_of(manifest)
        except PackageError:
            continue  # the pages have no use for it
        listed.append(_describe(manifest))
        files |= {f"packages/{name}/{file}": data for file, data in _package(folder, manifest)}
    hashes = {path: sha256(data) for path, data in sorted(files.items())}
    listing = json.dumps({"files": hashes, "packages": listed}, indent=1)
    return Site(files | {"files.json": listing.encode()}, page)


def _own_files() -> Iterator[tuple[str, bytes]]:
    """The pages, and the runtime in JavaScript in the folder handful."""
    for folder, below, wanted in (("pages", "", "*"), ("src", "handful/", "*.js")):
        source = WEB / folder
        for file in sorted(source.rglob(wanted)):
            if file.is_file():
                yield f"{below}{file.relative_to(source).as_posix()}", file.read_bytes()


def _package(folder: Path, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    files = open_files(folder)
    yield FILE, files.read(FILE, limit=MAX_BYTES)
    for graph in manifest.graphs.values():
        yield graph.file, files.read(graph.file, limit=graph.bytes)


def _describe(manifest: Manifest) -> dict[str, Any]:
    size = sum(graph.bytes for graph in manifest.graphs.values())
    spec = manifest.input
    named = manifest.classes is not None
    kind = {"kind": spec.kind, "colour": spec.colour, "named": named}
    return {"name": manifest.name, **kind, "bytes": size}


def write_site(site: Site, folder: Path) -> int:
    """Write the site to a folder, larger files compressed beside themselves; how many there are.

    HandfulError where the folder holds something already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HandfulError(f"{folder} is there already", hint="give a new or an empty folder")
    try:
        for path, data in site.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, data)
            if len(data) >= WORTH_PACKING:
                packed = gzip.compress(data, 9, mtime=0)
                write_atomic(file.with_name(f"{file.name}.gz"), packed)
    except OSError as cause:
        raise HandfulError(f"cannot write {folder}: {cause.strerror}") from cause
    return len(site.files)


def serve(site: Site, port: int) -> ThreadingHTTPServer:
    """A server of the site on this machine alone; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "handful", ""

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            data = site.find(self.path)
            name = unquote(urlsplit(self.path).path)
            tag = "" if data is None else f'"{sha256(data)[:32]}"'
            known = data is not None and self.headers.get("If-None-Match") == tag
            self.send_response(404 if data is None else 304 if known else 200)
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            if data is not None:
                self.send_header("Cache-Control", "no-cache")  # kept, and asked about by its tag
                self.send_header("ETag", tag)
            sent = b"" if data is None or known else data
            kind = TYPES.get(Path(name).suffix or ".html", "application/octet-stream")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            if body:
                self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Say nothing: the pages tell what they do."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as cause:
        raise HandfulError(
            f"cannot serve at port {port}: {cause.strerror}", hint="another one: --port 0"
        ) from cause
