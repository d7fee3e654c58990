"""The states after fewer inner steps than a learner takes, in torch."""

from __future__ import annotations

from collections.abc import Iterator

from .form import Learner, Stage, Support, Tensors, zero_noise


def after_each_step(
    learner: Learner,
    params: Tensors,
    support: Support,
    *,
    training: bool = False,
    least: int = 0,
) -> Iterator[Tensors]:
    """What `predict` reads after `least`, … n inner steps in all, spent in the stages' order.

    Stages that the steps do not reach start from the state as it is and are not stepped, so the
    last state is that of `adapt`.
    """
    stages = learner.stages(training=training)

    def started(stage: Stage, state: Tensors) -> Tensors:
        return {**state, **stage.init(params, state, support, zero_noise(stage, support))}

    def completed(state: Tensors, later: tuple[Stage, ...]) -> Tensors:
        for stage in later:
            state = started(stage, state)
        return state

    taken = 0
    state: Tensors = {}
    for i, stage in enumerate(stages):
        state = started(stage, state)
        if i == 0 and least == 0:
            yield completed(state, stages[1:])
        step = stage.step
        if step is None:
            continue
        for _ in range(stage.steps):
            state = {**state, **step(params, state, support)[0]}
            taken += 1
            if taken >= least:
                yield completed(state, stages[i + 1 :])
