"""What is counted of a task's answers for files of known classes; worked by hand."""

from pathlib import Path

from handful.runtime.tools.on_files import Answer
from handful.runtime.tools.tested import Checked, Outcome, as_text
from handful.runtime.tools.text import pairs, table


def one(wanted: str, label: str | None, score: float, file: str) -> Checked:
    known = wanted if wanted in ("cup", "plate") else None
    return Checked(wanted, Answer(file, label, score, {}), label == known, Path(file))


FOUND = Outcome(
    ("cup", "plate", "hat"),
    ("cup", "plate", None),
    (
        one("cup", "cup", 0.9, "1.png"),
        one("cup", "plate", 0.6, "2.png"),
        one("cup", "cup", 0.8, "3.png"),
        one("cup", "plate", 0.7, "4.png"),
        one("plate", "plate", 1.0, "5.png"),
        one("plate", None, 0.95, "6.png"),
        one("hat", None, 0.4, "7.png"),
        one("hat", "cup", 0.5, "8.png"),
    ),
)


def test_the_numbers() -> None:
    assert FOUND.accuracy == 4 / 8
    assert FOUND.per_class == {"cup": (2, 4), "plate": (1, 2), "hat": (1, 2)}
    assert FOUND.confusion == [[2, 2, 0], [0, 1, 1], [1, 0, 1]]
    assert [c.answer.file for c in FOUND.wrong] == ["6.png", "4.png", "2.png", "8.png"]
    assert FOUND.confused == [("cup", "plate", 2), ("plate", None, 1), ("hat", "cup", 1)]


def test_the_json() -> None:
    content = FOUND.as_json()
    assert (content["accuracy"], content["right"], content["count"]) == (0.5, 4, 8)
    assert content["per_class"]["plate"] == {"accuracy": 0.5, "right": 1, "count": 2}
    assert content["wrong"][0] == {
        **{"class": "plate", "file": "6.png", "label": None},
        **{"score": 0.95, "probabilities": {}},
    }


def test_the_text() -> None:
    assert as_text(FOUND, 3) == (
        "accuracy 50.0 %: 4 of 8 right\n"
        "\n"
        "class  examples  right  accuracy %\n"
        "cup           4      2  50.0\n"
        "plate         2      1  50.0\n"
        "hat           2      1  50.0\n"
        "\n"
        "class \\ answer  cup  plate  -\n"
        "cup               2      2  0\n"
        "plate             0      1  1\n"
        "hat               1      0  1\n"
        "\n"
        "wrong: class  answer  score  file\n"
        "plate         -       0.950  6.png\n"
        "cup           plate   0.700  4.png\n"
        "cup           plate   0.600  2.png"
    )
    assert "wrong" not in as_text(FOUND, 0)


def test_a_large_matrix_is_a_list_of_what_was_confused() -> None:
    many = Outcome(("cup",), tuple(map(str, range(21))), (one("cup", "3", 0.2, "1.png"),))
    assert (
        as_text(many, 0).split("\n\n")[2]
        == "confused: class  answer  times\ncup              3           1"
    )


def test_wide_and_combining_signs_keep_their_columns() -> None:
    """East Asian signs and emoji take two columns of a terminal, marks on another sign none."""
    lines = table(("name", "n"), [("猫", 1), ("e\u0301", 22), ("ｱb🍎", 333)]).splitlines()
    assert lines == ["name    n", "猫      1", "e\u0301      22", "ｱb🍎  333"]
    assert pairs([("猫", "cat"), ("abc", "x")]) == "猫   cat\nabc  x"
