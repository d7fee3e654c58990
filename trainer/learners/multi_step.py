"""The multi-step loss of MAML++ (Antoniou et al. 2019, arXiv:1810.09502, section 4).

The queries' loss counts after every inner step, at first alike, in the end after the last one only.
"""

from __future__ import annotations

from .form import Learner, Support, Tensors

MSL_FLOOR = 0.03  # MAML++: a loss weight decays to 0.03 / steps before only the last step counts


def states_after_each_step(learner: Learner, params: Tensors, support: Support) -> list[Tensors]:
    """What `predict` would read after 1, 2, … steps of the first stage, later stages included."""
    inner, *after = learner.stages(training=True)
    own = inner.begin(params, {}, support)
    states: list[Tensors] = []
    for _ in range(inner.steps):
        own, _ = inner.advance(params, own, own, support)
        final = own
        for stage in after:
            final = {**final, **stage.begin(params, final, support)}
        states.append(final)
    return states


def multi_step_weights(steps: int, progress: float) -> list[float]:
    """MSL: 1/steps each at first, falling linearly to 0.03/steps; the last step takes the rest."""
    early = (1 - progress) / steps + progress * MSL_FLOOR / steps
    return [early] * (steps - 1) + [1 - early * (steps - 1)]
