"""Dicts into dataclasses: a learner's own Config, several faults at once, what is no JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from handful.trainer.settings.errors import ConfigError, SettingError
from handful.trainer.settings.read import check_numbers, read_sections
from handful.trainer.training.config import from_dict, from_toml

from ..each import each


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A section within a section."""

    size: int = 1
    sizes: tuple[int, ...] = (1, 2)
    name: str = "plain"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What somebody may write who knows dataclasses and not pydantic."""

    needed: int
    rate: float | tuple[float, ...] = 0.1
    words: tuple[str, ...] | None = None
    file: Path | None = None
    kind: Literal["one", "two"] | None = None
    inner: Inner = field(default_factory=lambda: Inner(size=5, sizes=(7,)))
    other: Inner | None = None

    def __post_init__(self) -> None:
        """Two ways of refusing."""
        if self.needed == 13:
            raise ValueError("thirteen is unlucky")
        if self.needed == 14:
            raise SettingError("needed", "is 14, wanted 15", hint="add one")


def read(**settings: Any) -> Config:
    """The section [learner] of these settings."""
    config: Config = read_sections({"learner": Config}, {"learner": settings}, where="here")[
        "learner"
    ]
    return config


def test_a_config_of_ones_own_is_read_and_stays_a_plain_dataclass() -> None:
    settings = read(needed=1, rate=2, words="one", file="a/b", kind="two", other={"sizes": 3})
    assert settings == Config(
        needed=1, rate=(2.0,), words=("one",), file=Path("a/b"), kind="two", other=Inner(sizes=(3,))
    )
    assert type(settings) is Config
    assert not [name for name in vars(Config) if "pydantic" in name]
    with pytest.raises(AttributeError):
        settings.needed = 2  # type: ignore[misc]


def test_what_a_section_leaves_out_is_as_in_the_section_around_it() -> None:
    assert read(needed=1, inner={"name": "new"}).inner == Inner(size=5, sizes=(7,), name="new")
    assert read(needed=1, other={"name": "new"}).other == Inner(size=1, sizes=(1, 2), name="new")


@each(
    ("settings", "message", "hint"),
    [
        ({}, "here: learner.needed is missing", None),
        ({"needed": 13}, "here: learner: thirteen is unlucky", None),
        ({"needed": 14}, "here: learner.needed is 14, wanted 15", "add one"),
        (
            {"needed": 1, "rate": "x"},
            'here: learner.rate is "x", wanted a number',
            None,
        ),
        (
            {"needed": "x", "kind": "on", "inner": {"sizes": [1, True]}, "iner": 1},
            "here: there is no setting learner.iner\n"
            'here: learner.needed is "x", wanted a whole number\n'
            'here: learner.kind is "on", wanted "one" or "two"\n'
            "here: learner.inner.sizes[1] is true, wanted a whole number",
            'did you mean learner.kind = "one"?\n'
            "did you mean learner.inner?"
            " there are: file, inner, kind, needed, other, rate, words",
        ),
        (
            {"needed": 1, "other": {"name": {"a": "b" * 100}}},
            'here: learner.other.name is {"a": "' + "b" * 53 + "…, wanted text",
            None,
        ),
        (
            {"needed": 1, "file": "caf\udce9"},
            r"here: a text holds '\udce9', which is not Unicode",
            None,
        ),
    ],
)
def test_what_does_not_fit_is_said_with_its_whole_path(
    settings: dict[str, Any], message: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**settings)
    assert str(caught.value) == message
    assert caught.value.hint == hint


def test_a_config_whose_types_cannot_be_read_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        thing: Nowhere = 1  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigError) as caught:
        read_sections({"learner": Odd}, {"learner": {"thing": 1}}, where="here")
    assert str(caught.value) == (
        "the types of a learner's Config cannot be read: name 'Nowhere' is not defined"
    )
    assert caught.value.hint == (
        "its fields are numbers, text, choices, tuples and dataclasses of a module"
    )


@each("values", [[1], None, "text"])
def test_what_holds_no_sections_is_refused(values: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(values, where="config.json")
    assert str(caught.value) == "config.json holds no sections"
    assert caught.value.hint == "wanted learner, data and meta"


@each("text", ["a = " + "[" * 5000, "a = " + "1" * 5000])
def test_toml_that_python_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^mine.toml is not TOML: "):
        from_toml(text, where="mine.toml")


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """One of each bound."""

    count: int = 1
    rate: float = 0.5
    share: float = 0.0
    many: tuple[int, ...] = (3, 4)
    flag: bool = False
    nothing: float | None = None

    def __post_init__(self) -> None:
        """Check them."""
        check_numbers(self, least={"share": 0, "many": 3}, below={"share": 1})


@each(
    ("settings", "message"),
    [
        ({"count": 0}, "count is 0, wanted 1 or more"),
        ({"count": 2**63}, "count is 9223372036854775808, wanted less than 9223372036854775808"),
        ({"rate": 0.0}, "rate is 0.0, wanted more than 0"),
        ({"rate": float("nan")}, "rate is nan, wanted more than 0"),
        ({"rate": float("inf")}, "rate is inf, wanted a finite number"),
        ({"share": -0.1}, "share is -0.1, wanted 0 or more"),
        ({"share": 1.0}, "share is 1.0, wanted less than 1"),
        ({"many": (3, 2)}, "many is [3, 2], wanted 3 or more"),
    ],
)
def test_numbers_out_of_their_bounds(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        Numbers(**settings)
    assert str(caught.value) == message


def test_numbers_within_their_bounds() -> None:
    assert Numbers(count=1, rate=1e-9, share=0.0, many=(), flag=False).share == 0.0
