"""The model card: its whole text, and what it says of a package that does not beat the simple."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import (
    Bounds,
    Comparison,
    Confidence,
    Evaluation,
    GraphSpec,
    InputSpec,
    Limits,
    Manifest,
    PredictionSet,
    StageSpec,
    Threshold,
)
from handful.runtime.package.read import SHIPPED, list_shipped
from handful.trainer.data.config import Credit
from handful.trainer.export.card import IN_FLOAT32, card, comparison
from handful.trainer.training.config import from_dict, to_dict
from handful.trainer.training.recipes import credit_of, named_recipe, read_recipe

ROOT = Path(__file__).parents[2]

MEANS = "class means of the features, squared distance"
GRAPH = GraphSpec(file="start.onnx", sha256="0" * 64, bytes=120, inputs=(), outputs=())


def measured(
    way: int, shot: int, *compared: tuple[str, float, float, float], data: str = "omniglot"
) -> Evaluation:
    return Evaluation(
        data=data,
        split="meta_test",
        way=way,
        shot=shot,
        episodes=1000,
        accuracy=0.955,
        interval=0.0016,
        compared=tuple(
            Comparison(name=name, accuracy=accuracy, difference=difference, interval=interval)
            for name, accuracy, difference, interval in compared
        ),
    )


def manifest(*evaluation: Evaluation) -> Manifest:
    return Manifest(
        name="mine",
        learner="leo",
        task="classification",
        input=InputSpec(kind="array", shape=(64,)),
        embed=None,
        graphs={"start": GRAPH},
        stages=(
            StageSpec(name="latent", init="start", step="step", steps=2, state=("z",)),
            StageSpec(name="weights", init="decoder", state=("w",)),
        ),
        predict="predict",
        limits=Limits(way=Bounds(2, 20)),
        evaluation=evaluation,
        training={"recipe": "omniglot-leo", "step": 1000},
        licence="Apache-2.0",
    )


def test_the_whole_card() -> None:
    measured_package = manifest(
        measured(
            20,
            1,
            (MEANS, 0.9581, -0.0031, 0.0007),
            ("0 of 2 inner steps", 0.955, 0.0, 0.0001),
            ("1 of 2 inner steps", 0.954, 0.001, 0.0004),
        )
    )
    assert card(measured_package) == (
        "# mine\n"
        "\n"
        "A few-shot learner (leo) for devices, made by handful: onnxruntime adapts it to new"
        " classes from a handful of labelled examples.\n"
        "\n"
        "```python\n"
        "import handful\n"
        "\n"
        "# examples [S, 64]\n"
        'task = handful.load("mine").adapt(examples, labels)\n'
        "task.predict(example)\n"
        "```\n"
        "\n"
        "## Accuracy\n"
        "\n"
        "| data | split | way | shot | episodes | accuracy % (95 % interval) |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| omniglot | meta_test | 20 | 1 | 1000 | 95.50 ± 0.16 |\n"
        "\n"
        "Measured on this package through the runtime; no prediction depends on other queries.\n"
        "\n"
        "On the same episodes of omniglot, meta_test: accuracy %, and in brackets by how much the"
        " package is above it, ± the 95 % interval of the paired difference.\n"
        "\n"
        "| compared with | 20-way 1-shot |\n"
        "| --- | --- |\n"
        "| **this package** | **95.50** |\n"
        "| class means of the features, squared distance | 95.81 (−0.31 ± 0.07) |\n"
        "| 0 of 2 inner steps | 95.50 (+0.00 ± 0.01) |\n"
        "| 1 of 2 inner steps | 95.40 (+0.10 ± 0.04) |\n"
        "\n"
        "This package does not beat class means of the features, squared distance: it is below at"
        " 20-way 1-shot. The inner steps gain nothing beyond the interval at 20-way 1-shot.\n"
        "\n"
        "## Contents\n"
        "\n"
        "| file | bytes |\n"
        "| --- | --- |\n"
        "| start.onnx | 120 |\n"
        "\n"
        "Stages: latent: start, 2 × step; weights: decoder. Classes in a task: 2 to 20; examples a"
        " class: 1 to any number.\n"
        "\n"
        "## Training\n"
        "\n"
        "Reproduce it: `handful train omniglot-leo --out runs/mine`.\n"
        "Parameters of step 1000, the best validated.\n"
        "The whole configuration stands in manifest.json under `training`.\n"
        "\n"
        "## Licence\n"
        "\n"
        "Apache-2.0\n"
    )


def test_a_start_that_meta_training_did_not_improve_is_said() -> None:
    package = manifest()
    start = replace(package, training={**package.training, "step": 0})
    assert (
        "Parameters of step 0, the best validated.\n"
        "Meta-training did not improve on its start: none of it is in them.\n"
    ) in card(start)


def test_what_was_added_after_training_is_not_reproduced_by_training() -> None:
    package = manifest()
    added = {"added": {"learner": {"clip": 0.5}}, "note": "The bound was added."}
    assert (
        "Train one like it: `handful train omniglot-leo --out runs/mine`.\nThe bound was added.\n"
    ) in card(replace(package, training={**package.training, **added}))


def verdict(*evaluation: Evaluation) -> str:
    """The last paragraph of the comparison."""
    return comparison(evaluation)[-1]


def test_where_it_is_below_and_where_it_is_level_is_said() -> None:
    assert verdict(
        measured(5, 1, (MEANS, 0.95, 0.001, 0.002)),
        measured(5, 5, (MEANS, 0.95, -0.002, 0.002)),
        measured(20, 1, (MEANS, 0.96, -0.003, 0.002)),
        measured(20, 5, (MEANS, 0.94, 0.003, 0.002)),
    ) == (
        "This package does not beat class means of the features, squared distance: it is below at"
        " 20-way 1-shot; it is level, within the interval, at 5-way 1-shot and 5-way 5-shot."
    )


def test_a_package_that_beats_everything_needs_no_words() -> None:
    above = measured(5, 1, (MEANS, 0.9, 0.05, 0.002), ("0 of 1 inner steps", 0.9, 0.05, 0.002))
    assert verdict(above).startswith("| compared with | 5-way 1-shot |\n")


def test_inner_steps_that_cost_accuracy_are_named() -> None:
    assert verdict(
        measured(5, 1, ("0 of 3 inner steps", 0.96, -0.01, 0.002), ("1 of 3 inner steps", 1, 0, 0)),
        measured(5, 5, ("0 of 3 inner steps", 0.96, 0.001, 0.002)),
        measured(20, 5, ("0 of 3 inner steps", 0.96, 0.005, 0.002)),
    ) == (
        "The inner steps cost accuracy at 5-way 1-shot."
        " The inner steps gain nothing beyond the interval at 5-way 5-shot."
    )


def test_what_a_lower_precision_costs_is_said() -> None:
    assert (
        verdict(
            measured(5, 1, (MEANS, 0.9, 0.05, 0.002), (IN_FLOAT32, 0.95, -0.003, 0.002)),
            measured(5, 5, (MEANS, 0.9, 0.05, 0.002), (IN_FLOAT32, 0.95, 0.001, 0.002)),
        )
        == "The lower precision costs accuracy at 5-way 1-shot."
    )


def test_each_data_set_has_a_table_and_a_gap_stays_empty() -> None:
    other = ("logistic regression", 0.9, 0.05, 0.01)
    first, table, *rest = comparison(
        [
            measured(5, 1, (MEANS, 0.9, 0.05, 0.01)),
            measured(5, 5, other),
            measured(5, 1, other, data="letters"),
            measured(20, 1, data="numerals"),
        ]
    )
    assert first.startswith("On the same episodes of omniglot, meta_test: ")
    assert table.splitlines()[3:] == [
        "| class means of the features, squared distance | 90.00 (+5.00 ± 1.00) |  |",
        "| logistic regression |  | 90.00 (+5.00 ± 1.00) |",
    ]
    assert [part.split(":")[0] for part in rest[::2]] == [
        "On the same episodes of letters, meta_test"
    ]
    assert len(rest) == 2


def test_what_was_not_compared_is_not_in_the_card() -> None:
    assert comparison([measured(5, 1)]) == []
    assert "Not measured." in card(manifest())


def test_how_sure_it_is() -> None:
    rates = ((0.01, 9.0, 0.75), (0.05, 5.0, 0.9), (0.5, 1.0, 1.0))
    entries = [
        Confidence(
            way=way, shot=1, classes=30, queries=100, others=0.0, temperature=1.0,
            calibration_error=0.0123,
            thresholds=tuple(
                Threshold(false_accepts=rate, score=score, known_kept=kept)
                for rate, score, kept in rates
            ),
            sets=(PredictionSet(coverage=0.9, probability=0.5, size=1.0),),
        )
        for way in (2, 5)
    ]  # fmt: skip
    text = card(replace(manifest(measured(5, 1)), confidence=tuple(entries)))
    section = text.split("## Confidence and unknown inputs\n\n")[1].split("\n\n## Contents")[0]
    assert section == (
        "| way | shot | calibration error % | known kept at 1 % false accepts"
        " | known kept at 5 % false accepts |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| 2 | 1 | 1.23 | 75.0 % | 90.0 % |\n"
        "| 5 | 1 | 1.23 | 75.0 % | 90.0 % |\n"
        "\n"
        "`task.predict(example, unknown=0.05)` answers `None` where an example is like none of the"
        " classes; of examples of other classes 5 % are then still given a label. Measured on 30"
        " meta-validation classes, on queries of a task's classes and of the others; with classes"
        " that differ from these in kind the rates are others."
    )
    assert "## Confidence and unknown inputs" not in card(manifest(measured(5, 1)))


def test_it_says_who_made_the_data_and_the_backbone() -> None:
    credit = {
        "data": "Words", "authors": "A. Author", "licence": "CC-BY-4.0",
        "source": "https://example.org/words", "changes": "made smaller",
        "cite": "Author (2021). W",
    }  # fmt: skip
    training = {"credit": credit, "config": {"data": {"backbone": "efficientnet-lite0"}}}
    text = card(replace(manifest(), training=training))
    assert (
        "## Credit\n"
        "\n"
        "Trained on Words by A. Author (https://example.org/words), licence"
        " [CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/). Changes: made smaller.\n"
        "\n"
        "Please cite: Author (2021). W.\n"
        "\n"
        "The backbone is EfficientNet-Lite0 by Google, trained on ImageNet-1k, converted by ML"
        " Illustrated, licence Apache-2.0. Changes: without its classifier, batch normalisation"
        " folded into the convolutions, as ONNX.\n"
        "\n"
        "## Licence\n"
    ) in text
    assert "## Credit" not in card(manifest())


def test_every_shipped_package_of_others_data_credits_them() -> None:
    for name in list_shipped():
        found = read_manifest(SHIPPED / name)
        credit = found.training.get("credit")
        if name in ("sensor-maml", "cart-maml"):  # their data are made here
            assert credit is None
            continue
        recipe = read_recipe(found.training["recipe"], ())
        data = found.training["config"]["data"]
        assert (data["source"], data["split"]) == (recipe.data.source, recipe.data.split)
        wanted = credit_of(recipe)
        assert wanted is not None
        assert credit == {k: v for k, v in asdict(wanted).items() if v is not None}, name
        assert f"Trained on {wanted.data} by {wanted.authors}" in card(found)
        assert wanted.source in (ROOT / "NOTICE").read_text(encoding="utf-8")


def test_credit_is_of_the_recipes_own_data() -> None:
    assert credit_of(read_recipe("keywords-proto-maml", ())) is not None
    assert credit_of(read_recipe("keywords-proto-maml", ["data.source=mine.npz"])) is None
    own = read_recipe("keywords-proto-maml", ["data.source=mine.npz", "credit.data=mine",
                      "credit.authors=me", "credit.licence=MIT", "credit.source=here",
                      "credit.changes=none"])  # fmt: skip
    assert own.credit == Credit(
        data="mine", authors="me", licence="MIT", source="here", changes="none", cite=None
    )
    assert from_dict(to_dict(own), where="it") == own
    old = replace(read_recipe("pen-proto-maml", ()), credit=None)  # a run from before the recipe's
    assert named_recipe(old) == {"recipe": "pen-proto-maml"}
    assert credit_of(old) == read_recipe("pen-proto-maml", ()).credit
