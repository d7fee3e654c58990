"""Objects that an application might give by mistake."""

from typing import Any


class Hostile:
    """An object of an application's that raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("not detached\nfrom its graph")

    def __fspath__(self) -> str:
        raise RuntimeError("no path")
