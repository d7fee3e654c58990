"""A policy on files: an .npz of what it did, to learn from, and observations, to act on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handful.runtime.arrays import Array
from handful.runtime.errors import AdaptError, HandfulError, InputError, SupportSetError
from handful.runtime.inputs.examples import KINDS
from handful.runtime.inputs.folders import Unread, make_printable, quote_path, unreadable
from handful.runtime.package.files import read_regular
from handful.runtime.package.npz import read_numbers
from handful.runtime.rollout import Rollout, advantages
from handful.runtime.task import Task

SUFFIX = ".npz"
MAX_BYTES = 2**28  # of a file
SEEN, DONE, GAINED, EARNED = "observations", "actions", "advantages", "rewards"
HINT = (
    f"numpy.savez(file, {SEEN}=…, {DONE}=…, {EARNED}=…): [rollouts, readings] first in each,"
    f" {GAINED} in place of {EARNED} where you have them"
)


@dataclass(frozen=True)
class Acted:
    """What a policy does at one observation of a file."""

    file: str  # as that of an answer: of several observations with the place of each behind
    mean: list[float]  # of each action
    deviation: list[float]


def is_policy(task: Task) -> bool:
    """Whether a task acts, and learns from what it did."""
    return task.learner.manifest.task == "policy"


def read_rollout(file: Path, package: str) -> Rollout:
    """What a policy did, of the arrays `observations`, `actions` and `advantages` or `rewards`.

    Rewards become advantages by `handful.advantages`, beside what the observations let expect.
    InputError names what is missing or unknown,
    SupportSetError says that a policy, the package of this name, takes no folder.
    """
    if os.path.isdir(file):
        raise SupportSetError(
            f"package {package} is a policy: it learns from what it did, not from a folder of"
            " examples",
            hint=HINT,
        )
    arrays = _read(file)
    name = quote_path(file)
    wanted = {SEEN, DONE, GAINED if GAINED in arrays else EARNED}
    if missing := sorted(wanted - arrays.keys()):
        raise InputError(f"{name} has no array `{missing[0]}`", hint=HINT)
    if unknown := sorted(arrays.keys() - wanted):
        raise InputError(
            f"{name} has an array `{make_printable(unknown[0])}`,"
            f" wanted {', '.join(sorted(wanted))} alone",
            hint=HINT,
        )
    try:
        gained = arrays.get(GAINED)
        if gained is None:
            gained = advantages(arrays[EARNED], observations=arrays[SEEN])
        rollout = Rollout(arrays[SEEN], arrays[DONE], gained)
        rollout.rows()
    except InputError as error:
        raise InputError(f"{name}: {error}", hint=error.hint) from error
    return rollout


def act_on_files(
    task: Task, files: Sequence[Path], unread: list[Unread] | None = None
) -> list[Acted]:
    """The actions at each observation in .npz, .npy and .csv files, one an observation.

    Files that cannot be read are added to `unread`; without that list an InputError names all of
    them, after the others were looked at.
    """
    bad: dict[Path, HandfulError] = {}
    found = []
    for file in files:
        try:
            seen = _observations(file, task)
            act = task.act(list(seen))
        except (InputError, AdaptError) as error:
            bad[file] = error
            continue
        for i, (mean, deviation) in enumerate(zip(*act, strict=True)):
            name = make_printable(f"{file}[{i}]" if len(seen) > 1 else str(file))
            found.append(Acted(name, mean.tolist(), deviation.tolist()))
    if bad and unread is None:
        raise unreadable(bad, len(files), KINDS[task.learner.input.kind].files)
    if unread is not None:
        unread += [Unread(make_printable(str(file)), str(e), e.hint) for file, e in bad.items()]
    return found


def _observations(file: Path, task: Task) -> Array:
    """Observations [n, …shape] of a file; of a rollout's as many as it has readings in all."""
    spec = task.learner.input
    if file.suffix.lower() != SUFFIX:
        return KINDS[spec.kind].read(file, spec)
    arrays = _read(file)
    if SEEN not in arrays:
        raise InputError(f"{quote_path(file)} has no array `{SEEN}`", hint=HINT)
    seen, shape = arrays[SEEN], tuple(spec.shape)
    if seen.ndim < len(shape) or seen.shape[-len(shape) :] != shape:
        raise InputError(
            f"{quote_path(file)}: `{SEEN}` has the shape {list(seen.shape)}, wanted"
            f" […, {', '.join(map(str, shape))}]"
        )
    return seen.reshape(-1, *shape)


def _read(file: Path) -> dict[str, Array]:
    name = quote_path(file)
    if not os.path.exists(file):
        raise InputError(f"no file {name}")
    if file.suffix.lower() != SUFFIX:
        raise InputError(f"{name} is not named as an .npz file", hint=HINT)
    data = read_regular(
        Path(os.path.realpath(file)), limit=MAX_BYTES, error=InputError, absent="look at its name"
    )
    return read_numbers(data, limit=MAX_BYTES, name=name)
