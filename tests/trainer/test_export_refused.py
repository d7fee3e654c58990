"""What export refuses, and that it then leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from handful.runtime.tools.verify import verify
from handful.trainer.export import parity
from handful.trainer.export.package import export
from handful.trainer.learners.leo import LEO
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.settings.errors import ExportError

from .cases import Case, case, leo, on_pictures, source
from .small import IMAGE, vectors


def refused(subject: Case, folder: Path, **options: Any) -> ExportError:
    with pytest.raises(ExportError) as caught:
        export(source(subject), folder, **options)
    return caught.value


def test_predictions_that_depend_on_other_queries_are_refused(tmp_path: Path) -> None:
    config = MAMLConfig(network=NetworkConfig(normalisation="transductive"))
    error = refused(on_pictures(MAML(config, IMAGE, 5)), tmp_path / "one")
    assert str(error) == (
        "maml with transductive normalisation cannot be exported:"
        " its predictions depend on the other queries"
    )
    assert error.hint == "train with learner.network.normalisation = support, task, group or layer"
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    error = refused(case("nearest"), folder)
    assert str(error) == f"{folder} exists"
    assert error.hint == "choose another folder, or replace it with --force"


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    error = refused(case("nearest"), folder, force=True)
    assert str(error) == f"{folder} is not an exported package, it is not replaced"
    assert (folder / "letter.txt").read_text() == "dear"


def test_a_package_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    export(source(case("nearest")), folder)
    (folder / "old.onnx").write_text("left over")
    export(source(case("nearest")), folder, force=True)
    assert not (folder / "old.onnx").exists()
    assert verify(folder).ok
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_a_disagreement_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "relative_difference", lambda *_: 0.5)
    error = refused(case("nearest"), tmp_path / "one")
    assert re.fullmatch(
        r"the exported graphs do not agree with torch: [a-z/0-9_ ]+ differs by 5\.0e-01,"
        r" allowed: 1e-04",
        str(error),
    )
    assert error.hint == (
        "the package was not written; a diverging inner step magnifies rounding,"
        " lower its learning rate"
    )
    assert not list(tmp_path.iterdir())


def test_a_disagreement_leaves_the_old_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(source(case("nearest")), tmp_path / "one")
    before = (tmp_path / "one" / "manifest.json").read_bytes()
    monkeypatch.setattr(parity, "relative_difference", lambda *_: 0.5)
    refused(case("nearest"), tmp_path / "one", force=True)
    assert (tmp_path / "one" / "manifest.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_graphs_that_differ_are_found_at_the_tensor_that_differs(tmp_path: Path) -> None:
    """A learner whose answers in torch are not those it was traced with."""

    class Fickle(LEO):
        asked = 0

        def predict(self, params: Any, state: Any, query_x: torch.Tensor) -> torch.Tensor:
            Fickle.asked += 1
            return super().predict(params, state, query_x) * (1.0 + 0.01 * (Fickle.asked > 4))

    subject = leo()
    fickle = Fickle(subject.learner.config, subject.data.input, 5)
    error = refused(Case(fickle, subject.params, subject.data), tmp_path / "one")
    assert re.match(
        r"the exported graphs do not agree with torch: (logits|one by one).* differs by 9\.9e-03",
        str(error),
    )


def test_too_few_examples_to_check_on_are_refused(tmp_path: Path) -> None:
    data = vectors(each=1)
    error = refused(Case(case("nearest").learner, {}, data), tmp_path / "one")
    assert str(error) == (
        "0 of 60 test classes have 4 examples or more, wanted 2 to check a package on"
    )
    assert error.hint == "give the meta_test split more classes, or its classes more examples"
    assert not list(tmp_path.iterdir())
