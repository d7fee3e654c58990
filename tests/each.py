"""`each`: the cases of one behaviour as one test, which runs them all and names those that fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

import pytest

Test = Callable[..., None]
Cases = list[tuple[str, dict[str, Any]]]


def each(names: str | tuple[str, ...], values: Iterable[Any]) -> Callable[[Test], Test]:
    """`pytest.mark.parametrize` for cases that cost little: one test for all instead of one each.

    Several may be stacked. Every case has a `tmp_path` and a `monkeypatch` of its own; other
    fixtures are those of the test. All cases run; then what failed is raised together.
    """
    names = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names
    cases = list(_cases(names, values))
    if not cases:
        raise ValueError(f"no cases of {', '.join(names)}")

    def decorate(test: Test) -> Test:
        stacked: Cases = getattr(test, "cases", [])
        body: Test = getattr(test, "body", test)
        signature = inspect.signature(test)
        left = [p for name, p in signature.parameters.items() if name not in names]
        if len(left) + len(names) != len(signature.parameters):
            raise TypeError(f"{body.__name__} does not take {', '.join(names)}")
        both = [
            (", ".join(filter(None, [own, more])), {**arguments, **others})
            for own, arguments in cases
            for more, others in stacked or [("", {})]
        ]

        @wraps(body)
        def run(**fixtures: Any) -> None:
            _run(body, both, fixtures)

        run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        run.body, run.cases = body, both  # type: ignore[attr-defined]
        return run

    return decorate


def _cases(names: tuple[str, ...], values: Iterable[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for value in values:
        own = (value,) if len(names) == 1 else tuple(value)
        if len(own) != len(names):
            raise ValueError(f"{own!r} are not the values of {', '.join(names)}")
        arguments = dict(zip(names, own, strict=True))
        yield ", ".join(f"{name}={_shown(value)}" for name, value in arguments.items()), arguments


def _shown(value: Any) -> str:
    """A value in a name: a function by its own, whatever is long by its beginning."""
    try:
        text = getattr(value, "__name__", None) or repr(value)
    except Exception:  # of an object that is meant to be odd
        text = object.__repr__(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _run(body: Test, cases: Cases, fixtures: dict[str, Any]) -> None:
    failures: dict[str, BaseException] = {}
    for number, (name, arguments) in enumerate(cases):
        own = dict(fixtures)
        if "tmp_path" in own:
            own["tmp_path"] = own["tmp_path"] / str(number)
            own["tmp_path"].mkdir()
        with pytest.MonkeyPatch.context() as monkeypatch:
            if "monkeypatch" in own:
                own["monkeypatch"] = monkeypatch
            try:
                body(**own, **arguments)
            except (Exception, pytest.fail.Exception) as failure:
                failure.add_note(f"in the case {name}")
                failures[name] = failure
    if failures:
        failed = "; ".join(failures)
        raise BaseExceptionGroup(
            f"{len(failures)} of {len(cases)} cases: {failed}", list(failures.values())
        )
