"""The states after fewer inner steps than a learner takes, in torch."""

from __future__ import annotations

from collections.abc import Iterator

from .form import Learner, Stage, Support, Tensors


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

    def completed(state: Tensors, later: tuple[Stage, ...]) -> Tensors:
        for stage in later:
            state = {**state, **stage.begin(params, state, support)}
        return state

    taken = 0
    state: Tensors = {}
    for i, stage in enumerate(stages):
        stage_state = stage.begin(params, state, support)
        state = {**state, **stage_state}
        if i == 0 and least == 0:
            yield completed(state, stages[1:])
        for _ in range(stage.steps if stage.step else 0):
            stage_state, _ = stage.advance(params, state, stage_state, support)
            state = {**state, **stage_state}
            taken += 1
            if taken >= least:
                yield completed(state, stages[i + 1 :])
