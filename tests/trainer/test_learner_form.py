"""A learner that does not keep to the form is told so, in training and before an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from handful.runtime.package.manifest import INNER_HINT
from handful.trainer.episodes import Episode
from handful.trainer.export.package import export
from handful.trainer.form.learner import Embedding, Learner, adapt
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.form.task import cross_entropy
from handful.trainer.settings.errors import ExportError, LearnerError

from .cases import Case, source
from .small import uneven, vectors


@dataclass(frozen=True, kw_only=True)
class Config:
    """Nothing to choose."""


class Rule(Learner):
    """Class means w and a moment m, moved by one step; a test puts a mistake into one function."""

    name = "rule"
    Config = Config
    noise: Mapping[str, tuple[str | int, ...]] = {}
    names = ("begin", "move")

    def init(self, generator: torch.Generator) -> Tensors:
        return {}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        begin, move = self.names
        return (
            Stage(name="means", init=self.begin, init_name=begin, step=self.move, step_name=move,
                  steps=2, noise=self.noise),
        )  # fmt: skip

    def begin(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        w = support.y.T @ support.x / support.y.sum(dim=0)[:, None]
        return {"w": w, "m": w * 0.0}

    def move(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        loss = cross_entropy(support.x @ state["w"].T, support.y)
        return {"w": 0.5 * state["w"], "m": state["m"] + 1.0}, loss

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        return query_x @ state["w"].T


def mistaken(**functions: Any) -> Case:
    """A learner of class Rule with other functions, called as the test calls them."""
    data = vectors()
    learner = type("Mistaken", (Rule,), functions)(Config(), data.input, 5)
    return Case(learner, {}, data)


def result_of(function: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    """The function with another result."""
    original = getattr(Rule, function)

    def changed(self: Rule, *arguments: Any, **options: Any) -> Any:
        return change(original(self, *arguments, **options))

    changed.__qualname__ = f"Mistaken.{function}"
    return {function: changed}


def embedding_by(function: Callable[..., Any]) -> dict[str, Any]:
    """A learner with that embedding."""
    return {"embedding": Embedding(function)}


def still(self: Rule, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
    """A step that moves nothing."""
    return {name: value for name, value in state.items()}, support.x.mean()


def divided(_: Any) -> Any:
    return 1 / 0


STILL = {"move": still}
STEP = "`Mistaken.move`, step of stage `means`,"
INIT = "`Mistaken.begin`, init of stage `means`,"
ALL = "a step returns every tensor that the stage's init returned: w, m"
TAKEN = (
    f"{INNER_HINT}; not x, h, support_x, support_y, query_x, loss, logits, outputs,"
    " no name of noise, none that ends in .next"
)
MISTAKES: list[tuple[dict[str, Any], str, str | None]] = [
    (result_of("move", lambda r: ({"w": r[0]["w"]}, r[1])), f"{STEP} does not return `m`", ALL),
    (result_of("move", lambda r: ({**r[0], "v": r[1]}, r[1])),
     f"{STEP} returns `v`, which its init does not", ALL),
    (result_of("move", lambda r: ({**r[0], "m": r[0]["m"][0]}, r[1])),
     f"{STEP} returns `m` as float32 [10], wanted float32 [3, 10] as before the step", None),
    (result_of("move", lambda r: ({**r[0], "m": r[0]["m"].long()}, r[1])),
     f"{STEP} returns `m` as int64 [3, 10], wanted float32 [3, 10] as before the step", None),
    (result_of("move", lambda r: (r[0], r[1].expand(3))),
     f"{STEP} returns the loss as float32 [3], wanted a tensor of one number, []", None),
    (result_of("move", lambda r: (r[0], 0.5)),
     f"{STEP} returns the loss as a value of type float, wanted a tensor of one number, []", None),
    (result_of("move", lambda r: r[0]),
     f"{STEP} returns a value of type dict, wanted the tensors and the loss", None),
    (result_of("move", lambda r: (list(r[0].values()), r[1])),
     f"{STEP} returns a value of type list, wanted a dict of tensors", None),
    (result_of("begin", lambda r: r["w"]),
     f"{INIT} returns a value of type Tensor, wanted a dict of tensors", None),
    (result_of("begin", lambda r: {**r, "count": 0}),
     f"{INIT} returns a value of type int under 'count', wanted tensors by name",
     "a counter is a tensor, too: torch.zeros((), dtype=torch.int64)"),
    (result_of("begin", lambda r: {**r, "loss": r["w"]}),
     f"{INIT} returns a tensor called `loss`, a name that it may not have", TAKEN),
    (result_of("begin", lambda r: {**r, "w.next": r["w"]}),
     f"{INIT} returns a tensor called `w.next`, a name that it may not have", TAKEN),
    (result_of("begin", lambda r: {**r, "a b": r["w"]}),
     f"{INIT} returns a tensor called `a b`, a name that it may not have", TAKEN),
    ({"noise": {"w": ("N", 10)}, **result_of("begin", lambda r: r)},
     f"{INIT} returns a tensor called `w`, a name that it may not have", TAKEN),
    ({"noise": {"eps": ("Q", 2)}},
     "noise `eps` of stage `means` has the size 'Q', wanted a number, S or N", None),
]  # fmt: skip


def test_mistakes_are_named_where_the_learner_adapts() -> None:
    for functions, words, hint in MISTAKES:
        subject = mistaken(**functions)
        x, y, _ = uneven(subject.data, [2, 1, 1])
        with pytest.raises(LearnerError) as caught:
            adapt(subject.learner, {}, Support(x, y))
        assert (str(caught.value), caught.value.hint) == (words, hint)


# of 60 classes of vectors [10] the sizes to try are Q = 7, N = 5, S = 11 and B = 13, then others
TRIED: list[tuple[dict[str, Any], str]] = [
    (result_of("predict", lambda r: r[:, :1]),
     "`Mistaken.predict` returns [7, 1] for 7 queries and 5 classes, wanted [Q, N]: [7, 5]"),
    (result_of("predict", lambda r: r[:, :4].repeat(1, 2)[:, :5]),
     "`Mistaken.predict` returns [8, 5] for 8 queries and 4 classes, wanted [Q, N]: [8, 4]"),
    (result_of("predict", lambda r: r.double()),
     "`Mistaken.predict` returns logits as float64, wanted float32"),
    (result_of("begin", lambda r: {**r, "m": r["m"].double()}),
     "`Mistaken.begin` returns `m` as float64, wanted float32 or int64"),
    (result_of("begin", lambda r: {**r, "m": r["w"].repeat(2, 1)}),
     "`Mistaken.begin` returns `m` as [10, 10] at N = 5, Q = 7, S = 11, B = 13 and as [8, 10] at"
     " N = 4, Q = 8, S = 14, B = 15: every size has to be a number, S or N"),
    (result_of("begin", lambda r: {**r, "m": r["w"].sum() if len(r["w"]) == 5 else r["w"]}),
     "`Mistaken.begin` returns `m` as [] at N = 5, Q = 7, S = 11, B = 13 and as [4, 10] at"
     " N = 4, Q = 8, S = 14, B = 15: every size has to be a number, S or N"),
    (STILL | result_of("begin", lambda r: r if len(r["w"]) == 5 else {"w": r["w"], "v": r["m"]}),
     "`Mistaken.begin` returns w, m at N = 5, Q = 7, S = 11, B = 13 and w, v at"
     " N = 4, Q = 8, S = 14, B = 15, wanted the same tensors"),
    (result_of("predict", lambda r: (r,)),
     "`Mistaken.predict` returns a value of type tuple for 7 queries and 5 classes,"
     " wanted [Q, N]: [7, 5]"),
    (result_of("stages", lambda r: r + r), "two stages of rule are called `means`"),
    (embedding_by(lambda params, x, together: (x.repeat(1, len(x)), {})),
     "`<lambda>` returns [130] for an example among 13 and [150] for one among 15,"
     " wanted the same shape"),
    (embedding_by(lambda params, x, together: (x[:-1], {})),
     "`<lambda>` returns [1, 10] for 2 examples, wanted [2, ...]"),
    (embedding_by(lambda params, x, together: x),
     "`<lambda>` returns [2, 10], wanted the embedded examples and new buffers"),
    ({"names": ("be gin", "move")},
     "a package of rule breaks the format: `graphs` is 'be gin', wanted plain names"),
    (result_of("move", divided),
     "`Mistaken.move` fails at N = 5, Q = 7, S = 11, B = 13: division by zero"
     f" (test_learner_form.py, line {divided.__code__.co_firstlineno + 1})"),
    ({"names": ("begin", "begin")},
     "two functions of rule are to be the graph `begin`, the second is `Rule.move`"),
    ({"names": ("begin", "predict")},
     "two functions of rule are to be the graph `predict`, the second is `Rule.predict`"),
]  # fmt: skip


def test_mistakes_are_named_before_a_package_is_written(tmp_path: Path) -> None:
    for functions, words in TRIED:
        with pytest.raises(ExportError) as caught:
            export(source(mistaken(**functions)), tmp_path / "one")
        assert str(caught.value) == words
        assert not list(tmp_path.iterdir())


def test_the_usual_meta_loss_reads_the_noise_of_training() -> None:
    def begin(
        self: Rule, params: Tensors, state: Tensors, support: Support, noise: Noise
    ) -> Tensors:
        w = support.y.T @ (support.x + noise["eps"])
        return {"w": w, "m": w * 0.0}

    subject = mistaken(noise={"eps": ("S", 10)}, begin=begin)
    x, y, query = uneven(subject.data, [2, 1, 1])
    episode = Episode(x, y, query, torch.eye(3).repeat_interleave(2, dim=0), torch.arange(3))
    still, moved = (
        subject.learner.meta_loss({}, episode, noise, 0.0)[0]
        for noise in ({}, {"eps": torch.ones(4, 10)})
    )
    wanted = adapt(subject.learner, {}, Support(x, y), noise={"eps": torch.ones(4, 10)})
    torch.testing.assert_close(moved, cross_entropy(query @ wanted["w"].T, episode.query_y))
    assert not torch.equal(still, moved)
