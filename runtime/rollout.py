"""What a policy did: rollouts, from which it learns, and how good each action was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import Array, Floats, as_array
from .errors import InputError

DISCOUNT = 0.99
RIDGE = 1e-3  # of a regressor's mean square
STILL = 1e-6  # the least deviation that a number of the observations is divided by


@dataclass(frozen=True, eq=False)
class Rollout:
    """What a policy saw and did, and how much better than usual each action turned out.

    Arrays of one or more leading axes, the same in all three, over which the order plays no part:
    `observations` [..., O], `actions` [..., A] as they were drawn, before a limit of the machine
    cut them, and `advantages` [...], such as `handful.advantages` makes of rewards. K rollouts of
    H readings are [K, H, O], [K, H, A] and [K, H]. What it learns from must have been done by the
    task that it is given to: a policy gradient is one of the policy that acted.
    """

    observations: Any
    actions: Any
    advantages: Any

    def rows(self) -> tuple[Array, Floats]:
        """Observations [S, O], and targets [S, A + 1]: the actions, then their advantage.

        InputError where the three do not fit each other, or where a number is not finite.
        """
        observations = as_array(self.observations, "observations of a rollout")
        actions, advantages = (
            _finite(value, f"{what} of a rollout")
            for value, what in ((self.actions, "actions"), (self.advantages, "advantages"))
        )
        lead = advantages.shape
        fits = len(lead) > 0 and all(
            array.ndim == len(lead) + 1 and array.shape[:-1] == lead
            for array in (observations, actions)
        )
        if not fits:
            shapes = [list(array.shape) for array in (observations, actions, advantages)]
            raise InputError(
                f"a rollout has shapes {shapes[0]}, {shapes[1]} and {shapes[2]},"
                " wanted [S, O], [S, A] and [S]",
                hint="observations, actions, advantages; leading axes may be [rollouts, readings]",
            )
        count = advantages.size
        y = np.concatenate(
            [actions.reshape(count, actions.shape[-1]), advantages.reshape(count, 1)], axis=1
        )
        return observations.reshape(count, observations.shape[-1]), y


def advantages(
    rewards: Any, discount: float = DISCOUNT, unit: float = 1.0, *, observations: Any = None
) -> Floats:
    """How much better than usual each action was: float32 [K, H] of the rewards [K, H].

    The discounted sum of the rewards from an action on, less what is usual, divided by the
    deviation of these differences over all, or by `unit` where that is larger: where all rollouts
    were about as good there is little to learn, and a step is small. Usual is the mean at that time
    over the K rollouts and, with `observations` [K, H, O], what place and time let expect beside
    it: ridge regression on the observations and their products. Rollouts that begin in different
    places differ by that more than by what was done. Two rollouts or more of one length, of one
    policy at one task. Raises InputError.
    """
    array = _finite(rewards, "rewards").astype(np.float64)
    if array.ndim != 2 or len(array) < 2 or not array.shape[1]:
        raise InputError(
            f"rewards have the shape {list(array.shape)}, wanted [K, H] with 2 rollouts or more",
            hint="an action is good or bad beside what the same policy did at another time",
        )
    if not 0 <= discount <= 1:
        raise InputError(f"discount is {discount!r}, wanted 0 to 1")
    if not unit > 0:
        raise InputError(f"unit is {unit!r}, wanted more than 0")
    left = np.zeros_like(array)
    total = np.zeros(len(array))
    for at in reversed(range(array.shape[1])):
        total = array[:, at] + discount * total
        left[:, at] = total
    ahead = left - left.mean(axis=0)
    if observations is not None:
        ahead = ahead - _expected(_finite(observations, "observations"), ahead)
    deviation = ahead.std()
    found: Floats = (ahead / max(float(deviation), unit)).astype(np.float32)
    return found


def _expected(observations: Floats, ahead: Array) -> Array:
    """What place and time let expect of `ahead` [K, H], by ridge regression.

    Of observations z, each number less its mean and by its deviation, the regressors are z, the
    products of any two, and both times the share of the rollout that is left, each less its mean
    over the rollouts.
    """
    if observations.ndim != 3 or observations.shape[:2] != ahead.shape:
        raise InputError(
            f"observations have the shape {list(observations.shape)},"
            f" wanted {[*ahead.shape]} and then the numbers of one"
        )
    x = observations.astype(np.float64)
    z = (x - x.mean(axis=(0, 1))) / np.maximum(x.std(axis=(0, 1)), STILL)
    first, second = np.triu_indices(z.shape[-1])
    parts = np.concatenate([z, z[..., first] * z[..., second]], axis=-1)
    left = np.linspace(1, 0, ahead.shape[1])[:, None]
    parts = np.concatenate([parts, parts * left], axis=-1)
    rows = (parts - parts.mean(axis=0)).reshape(ahead.size, -1)
    gram = rows.T @ rows + RIDGE * ahead.size * np.eye(rows.shape[1])
    expected: Array = (rows @ np.linalg.solve(gram, rows.T @ ahead.ravel())).reshape(ahead.shape)
    return expected


def _finite(value: Any, what: str) -> Floats:
    array = as_array(value, what)
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InputError(f"{what} are not all finite numbers")
    with np.errstate(over="ignore"):
        converted: Floats = np.asarray(array, np.float32)
    if not np.isfinite(converted).all():
        raise InputError(f"{what} are beyond what float32 holds")
    return converted
