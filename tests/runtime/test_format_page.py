"""docs/package-format.md says what the reader holds: names, operators that are refused, caps."""

import json
from pathlib import Path

from handful.runtime import confidence
from handful.runtime.package import decode, flow, npz, rules
from handful.runtime.package.manifest import CHANNEL, OBJECTS, ROLES
from handful.runtime.tools import golden
from handful.runtime.vetting import operators, vet
from handful.runtime.vetting.operators import CONTROL_FLOW, RANDOM

from ..each import each

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs" / "package-format.md").read_text(encoding="utf-8").split())


def test_the_reserved_names_and_the_refused_operators_stand_in_the_page() -> None:
    for name in (*OBJECTS, *ROLES, *CONTROL_FLOW, *RANDOM):
        assert f"`{name}`" in PAGE


@each(
    ("words", "held"),
    [
        ("at most 1 MiB, at most 64 objects and lists", (decode.MAX_BYTES, decode.MAX_DEPTH)),
        ("an integer beyond ±2⁵³", (decode.MAX_INTEGER,)),
        ("at most 500 characters that can be printed", (rules.MAX_TEXT,)),
        ("64 graphs, 1 GiB of graphs", (rules.MAX_GRAPHS, rules.MAX_PACKAGE_BYTES)),
        ("10 000 steps in all stages", (flow.MAX_STEPS,)),
        ("20 000 states and losses on the way", (flow.MAX_VECTORS,)),
        (
            "512 MiB, 20 000 nodes, 2¹⁹ fields",
            (rules.MAX_GRAPH_BYTES, vet.MAX_NODES, vet.MAX_FIELDS),
        ),
        ("1000 inputs, 1000 outputs", (rules.MAX_TENSORS,)),
        ("8 axes, 2²⁷ values", (rules.MAX_AXES, operators.MAX_ELEMENTS)),
        ("8 axes, 2²⁶ for the product", (rules.MAX_AXES, rules.MAX_VALUES)),
        ("2²⁴ values, `S` and `N` counted as 64 each", (flow.MAX_NOISE, flow.AS_MANY)),
        ("64 MiB of arrays, 20 000 members", (golden.MAX_BYTES, npz.MAX_MEMBERS)),
        ("at most 2¹⁸ values each, and as many at `rate`", (golden.MAX_READINGS,)),
        ("it: 1 to 100 characters that can be printed, no blank", (CHANNEL,)),
        ("1000 examples in the support set and 1000 queries", (golden.MAX_EXAMPLES,)),
        ("| `confidence` | 256 entries |", (rules.MAX_SIZES,)),
        ("| `thresholds` | 1 to 32 of", (rules.MAX_RATES,)),
        ("as far as 2 w; for more classes", (confidence.BEYOND,)),
    ],
)
def test_the_caps_in_the_page_are_those_of_the_reader(words: str, held: tuple[int, ...]) -> None:
    assert words in PAGE
    powers = {2**18: "2¹⁸", 2**19: "2¹⁹", 2**24: "2²⁴", 2**26: "2²⁶", 2**27: "2²⁷", 2**53: "2⁵³"}
    sizes = {2**20: "1 MiB", 2**26: "64 MiB", 2**29: "512 MiB", 2**30: "1 GiB"}
    for number in held:
        shown = {
            powers.get(number),
            sizes.get(number),
            str(number),
            f"{number:,}".replace(",", " "),
        }
        assert any(text in words for text in shown if text), number


def test_the_table_for_other_languages_is_one_of_plain_json() -> None:
    table = json.loads((ROOT / "exported" / "operators.json").read_text())
    assert (table["opset"], table["ir_version"]) == (18, 8)
    assert table["operators"]["GatherND"] == {"batch_dims": {"type": "int", "min": 0, "max": 0}}
    assert table["operators"]["Pad"] == {"mode": {"type": "string", "values": ["constant"]}}
