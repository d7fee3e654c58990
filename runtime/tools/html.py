"""Parts of a self-contained HTML page: escaped text, tables, pictures as data."""

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from html import escape

from handful.runtime.pictures.folders import printable
from handful.runtime.pictures.pixels import Pixels

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: middle }
img { image-rendering: pixelated; min-width: 56px; max-width: 96px; margin: 2px }
.wrong { background: #fde8e4 }
"""
# no address of any kind is opened, whatever a label says
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """The whole page, which loads nothing."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{text(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Anybody's text as it stands: nothing in it is markup, and nothing turns the writing round."""
    marks = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    plain = "".join(f"\\u{ord(c):04x}" if c in marks else c for c in str(value))
    return escape(printable(plain))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], wrong: Sequence[bool] = ()) -> str:
    """A table of cells that are HTML already; rows that are `wrong` are marked."""
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
    for at, row in enumerate(rows):
        mark = ' class="wrong"' if at < len(wrong) and wrong[at] else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def picture(pixels: Pixels, name: str) -> str:
    """An image with its data in it, uint8 [H, W, 1 or 3]."""
    data = base64.b64encode(png(pixels)).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{text(name)}" title="{text(name)}">'


def png(pixels: Pixels) -> bytes:
    """A PNG file of uint8 [H, W, 1 or 3]: grey or red, green and blue, every line unfiltered."""
    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    )
