"""The multi-step loss of MAML++ (Antoniou et al. 2019, arXiv:1810.09502, section 4).

The queries' loss counts after every inner step, at first alike, in the end after the last one only.
"""

from __future__ import annotations

MSL_FLOOR = 0.03  # MAML++: a loss weight decays to 0.03 / steps before only the last step counts


def multi_step_weights(steps: int, progress: float) -> list[float]:
    """MSL: 1/steps each at first, falling linearly to 0.03/steps; the last step takes the rest."""
    early = (1 - progress) / steps + progress * MSL_FLOOR / steps
    return [early] * (steps - 1) + [1 - early * (steps - 1)]
