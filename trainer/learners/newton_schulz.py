"""The inverse of a positive definite matrix by products alone, for graphs without `linalg`.

    X ← f X,  X ← 2 X − X A X          (Newton–Schulz, Schulz 1933; from X = I / ‖A‖_F)

An eigenvalue a of A X becomes 1 − (1 − a)²: what is small doubles, what is near 1 stays. The
factors f = 2 / (low + high) spread the eigenvalues about 1 before each step (Pan and Schreiber
1991, SIAM J. Sci. Stat. Comput. 12), so that small ones grow fourfold and half the steps suffice.
All eigenvalues of A / ‖A‖_F lie in [1 / condition, 1], so the factors are constants, the steps are
as many for every A of any size, and each is five nodes of a graph.

In float32 the solution is as accurate as that of an LU factorisation: about condition × 1e-7.
"""

from __future__ import annotations

import torch
from torch import Tensor

RESIDUAL = 1e-7  # ‖I − A X‖ at the end in exact arithmetic: float32 rounds as much


def factors(condition: float) -> list[float]:
    """The factor of each step, for eigenvalues of A / ‖A‖_F in [1 / condition, 1]."""
    low, high = 1 / condition, 1.0
    found = []
    residual = 1.0
    while residual > RESIDUAL:
        found.append(2 / (low + high))
        residual = ((high - low) / (high + low)) ** 2  # of the spread eigenvalues, after the step
        low, high = 1 - residual, 1.0
    return found


def inverse(a: Tensor, condition: float) -> Tensor:
    """A⁻¹ of a symmetric positive definite A [S, S], S free.

    `condition` is a bound of ‖A‖_F / (the least eigenvalue of A); beyond it the result is too small
    along the eigenvectors of the least eigenvalues.
    """
    first, *rest = factors(condition)
    start = first * torch.rsqrt((a * a).sum())  # X = start I
    x = 2 * start * torch.eye(a.shape[0], dtype=a.dtype, device=a.device) - start * start * a
    for factor in rest:
        x = factor * x
        x = x + x - x @ (a @ x)
    return x
