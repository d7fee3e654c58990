"""Inner steps counted across stages: the states after fewer of them, and losses that weigh them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from handful.trainer.episodes import Episode

from .learner import Learner, Outcome, adapt_task
from .stage import Stage, Support, Tensors, fill_empty


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
    stages, support = learner.stages(training=training), fill_empty(support)

    def complete(state: Tensors, later: tuple[Stage, ...]) -> Tensors:
        for stage in later:
            state = {**state, **stage.begin(params, state, support)}
        return state

    taken = 0
    state: Tensors = {}
    for i, stage in enumerate(stages):
        stage_state = stage.begin(params, state, support)
        state = {**state, **stage_state}
        if i == 0 and least == 0:
            yield complete(state, stages[1:])
        for _ in range(stage.steps if stage.step else 0):
            stage_state, _ = stage.advance(params, state, stage_state, support)
            state = {**state, **stage_state}
            taken += 1
            if taken >= least:
                yield complete(state, stages[i + 1 :])


MSL_FLOOR = 0.03  # MAML++: no loss weight falls below 0.03 / steps before only the last counts


def multi_step_loss(
    learner: Learner, params: Tensors, episode: Episode, *, share: float, progress: float
) -> tuple[Tensor, Outcome]:
    """A meta-loss: L_query, summed over states by their weights; the outcome is the last one's.

    `share` and `progress` are those of `weighted_states`.

    That of MAML++ (Antoniou et al. 2019, arXiv:1810.09502, section 4): the queries' loss counts
    after every inner step, at first alike, in the end after the last one only.
    """
    support, query, buffers = learner.embed_task(params, episode)
    weights, states = weighted_states(learner, params, support, share=share, progress=progress)
    answers, y = [learner.predict(params, state, query) for state in states], episode.query_y
    losses = [learner.task.query_loss(answer, y) for answer in answers]
    loss = torch.stack([w * value for w, value in zip(weights, losses, strict=True)]).sum()
    return loss, learner.outcome(answers[-1], y, buffers)


def weighted_states(
    learner: Learner, params: Tensors, support: Support, *, share: float, progress: float
) -> tuple[list[float], list[Tensors]]:
    """The states after which the queries' loss counts, and their weights.

    Over the first `share` of the meta-training these are the states after every inner step, with
    weights that are annealed; afterwards the last one counts alone.
    """
    if progress >= share:
        return [1.0], [adapt_task(learner, params, support)]
    states = list(after_each_step(learner, params, support, training=True, least=1))
    return multi_step_weights(len(states), progress / share), states


def multi_step_weights(steps: int, progress: float) -> list[float]:
    """MSL: max((1 − progress) / steps, 0.03 / steps) each; the last step takes the rest.

    As in the authors' code, where progress is the epoch over the epochs of annealing and stays the
    same within an epoch; here it goes on with every step.
    """
    early = max(1 - progress, MSL_FLOOR) / steps
    return [early] * (steps - 1) + [1 - early * (steps - 1)]
