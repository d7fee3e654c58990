"""What a graph with an axis of tasks could win: LEO's two steps for eight tasks in one run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from leo_adaptation import FEATURES, WAY, data
from timing import medians
from torch import Tensor

from handful.runtime.ort import onnxruntime
from handful.runtime.providers import setup
from handful.trainer.export.simplify import simplify
from handful.trainer.export.trace import Port, trace
from handful.trainer.learners import Support
from handful.trainer.learners.leo import LEO, LEOConfig

TASKS = 8
Named = dict[str, Tensor]
HEAD = [
    "| LEO's step | shot | a graph a task, µs a task | one graph of 8 tasks, µs a task | ratio"
    " | difference |",
    "| --- | --- | --- | --- | --- | --- |",
]


def task_axis(rounds: int) -> list[str]:
    """The table's lines."""
    examples = data()
    learner = LEO(LEOConfig(), examples.input, WAY)
    params = learner.init(torch.Generator().manual_seed(0))
    params = learner.prepare(params, learner.embed(params, examples.x), examples.labels)
    h = learner.embed(params, examples.x).reshape(-1, 20, FEATURES)
    steps = [
        ("in latent space", "z", learner.config.latent_dim, learner.latent_step),
        ("in weight space", "w", FEATURES, learner.finetune_step),
    ]
    rows = list(HEAD)
    for name, state, width, function in steps:
        step = partial(_step, function, params, state)
        one = _session(step, state, width, ())
        many = _session(torch.func.vmap(step), state, width, (TASKS,))
        rows += [_measured(name, state, width, h, shot, one, many, rounds) for shot in (1, 5)]
    return rows


def _step(
    function: Callable[..., tuple[Named, Tensor]], params: Named, state: str, t: Named
) -> Named:
    support = Support(t["support_x"], t["support_y"])
    tensors, loss = function(params, {state: t[state]}, support)
    return {**tensors, "loss": loss}


def _session(
    step: Callable[[Named], Named], state: str, width: int, tasks: tuple[int, ...]
) -> onnxruntime.InferenceSession:
    """The step's graph, traced and simplified as `handful export` does it."""
    ports = [
        Port(state, (*tasks, "N", width)),
        Port("support_x", (*tasks, "S", FEATURES)),
        Port("support_y", (*tasks, "S", "N")),
    ]
    known = {"N": WAY, "S": WAY + 2}
    shapes = [[known[s] if isinstance(s, str) else s for s in port.shape] for port in ports]
    examples = {port.name: torch.rand(*s) for port, s in zip(ports, shapes, strict=True)}
    outputs = {state: (*tasks, "N", width), "loss": tasks}
    model = simplify(trace(step, examples, ports, list(outputs)), ports, outputs)
    return onnxruntime.InferenceSession(model.SerializeToString(), setup().options)


def _measured(
    name: str,
    state: str,
    width: int,
    h: Tensor,
    shot: int,
    one: onnxruntime.InferenceSession,
    many: onnxruntime.InferenceSession,
    rounds: int,
) -> str:
    """One row: eight tasks of five classes each, one after the other and together."""
    x = torch.stack([h[5 * (t % 8) : 5 * (t % 8) + WAY, :shot].flatten(0, 1) for t in range(TASKS)])
    y = torch.eye(WAY).repeat_interleave(shot, dim=0).expand(TASKS, -1, -1)
    start = torch.randn(TASKS, WAY, width, generator=torch.Generator().manual_seed(1))
    feeds = {state: start, "support_x": x, "support_y": y}
    together = {key: np.ascontiguousarray(value.numpy()) for key, value in feeds.items()}
    alone = [{key: value[t] for key, value in together.items()} for t in range(TASKS)]

    def in_turn() -> list[list[np.ndarray]]:
        return [one.run(None, feed) for feed in alone]

    def at_once() -> list[np.ndarray]:
        return many.run(None, together)

    expected = np.stack([outputs[0] for outputs in in_turn()])
    difference = np.abs(at_once()[0] - expected).max() / np.abs(expected).max()
    turn, once = (1e6 * seconds / TASKS for seconds in medians([in_turn, at_once], rounds))
    return f"| {name} | {shot} | {turn:.0f} | {once:.0f} | {turn / once:.2f} | {difference:.0e} |"
