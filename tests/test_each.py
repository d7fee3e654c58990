"""`each`: no case is left out, every failure is named, and cases do not see each other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .each import each


def test_all_cases_run_and_those_that_fail_are_named() -> None:
    ran = []

    @each("one, two", [(1, "a"), (2, "b")])
    @each("flag", [False, True])
    def check(one: int, two: str, flag: bool) -> None:
        ran.append((one, two, flag))
        if one == 2 and flag:
            pytest.fail("flag")
        assert (one, flag) != (1, False)

    with pytest.raises(BaseExceptionGroup) as caught:
        check()
    assert ran == [(1, "a", False), (1, "a", True), (2, "b", False), (2, "b", True)]
    assert caught.value.message == (
        "2 of 4 cases: one=1, two='a', flag=False; one=2, two='b', flag=True"
    )
    assert [type(failure) for failure in caught.value.exceptions] == [
        AssertionError,
        pytest.fail.Exception,
    ]
    assert caught.value.exceptions[0].__notes__ == ["in the case one=1, two='a', flag=False"]


@each("number", range(3))
def test_a_case_has_its_own_folder_and_its_own_patches(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "left behind").touch()
    assert "HANDFUL_EACH" not in os.environ
    monkeypatch.setenv("HANDFUL_EACH", str(number))


def test_cases_that_no_test_could_have_are_refused() -> None:
    def takes(one: int) -> None:
        raise AssertionError("it ran")

    with pytest.raises(ValueError, match="no cases of one"):
        each("one", [])
    with pytest.raises(ValueError, match="are not the values of one, two"):
        each("one, two", [(1, 2, 3)])
    with pytest.raises(TypeError, match="takes does not take two"):
        each("two", [1])(takes)
