"""Meta-training classes of series, turned and mirrored: each is a class of its own.

A character upside down or in a mirror is a character that a learner has not seen, as quarter turns
are on Omniglot (Vinyals et al. 2016). It multiplies the classes to learn from by four or by eight;
those of validation and test stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from handful.trainer.settings.errors import DataError

from .labelled import LabelledSet

Count = Literal[1, 4, 8]
TURN = ((0.0, -1.0), (1.0, 0.0))  # a quarter turn of places written as rows
MIRROR = ((-1.0, 0.0), (0.0, 1.0))  # left and right change places


def with_symmetries(data: LabelledSet, count: Count) -> LabelledSet:
    """Series [M, T, C] turned by quarters in the plane of their first two channels: 4 × classes.

    With 8 each of these is mirrored as well. The turns of a group are groups of their own.
    """
    if data.x.dtype != torch.float32 or data.x.ndim != 3 or data.x.shape[2] < 2:
        raise DataError(
            f"data.symmetries is {count}, but the examples are not series [T, C] whose first two"
            f" channels are a plane: {str(data.x.dtype).split('.')[-1]} {list(data.x.shape[1:])}",
            hint="set data.symmetries = 1; drawings have data.rotations",
        )
    matrix, turn, mirror = torch.eye(2), torch.tensor(TURN), torch.tensor(MIRROR)
    matrices, endings = [], []
    for flipped in range(count // 4):
        for quarter in range(4):
            matrices.append(matrix)
            endings.append(f"@{90 * quarter}" + ("m" if flipped else ""))
            matrix = matrix @ turn
        matrix = mirror
    parts = torch.split(data.x, data.counts.tolist())
    x = [
        torch.cat([part[..., :2] @ matrix.to(part.device), part[..., 2:]], dim=-1)
        for part in parts
        for matrix in matrices
    ]
    return replace(
        data,
        x=torch.cat(x),
        counts=data.counts.repeat_interleave(count),
        classes=tuple(name + ending for name in data.classes for ending in endings),
        groups=tuple(g and g + ending for g in data.groups for ending in endings),
    )
