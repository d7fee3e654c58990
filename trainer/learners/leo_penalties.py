"""The penalties added to LEO's query loss (Rusu et al. 2019, section 2.3 and code)."""

from __future__ import annotations

import torch
from torch import Tensor

from .features import unit_length
from .form import Tensors


def divergence(mean: Tensor, std: Tensor, z: Tensor) -> Tensor:
    """The authors' one-sample estimate of KL(N(μ, σ²) ‖ N(0, 1)), a mean over coordinates."""
    standard = (z - mean) / std
    return (0.5 * (z * z - standard * standard) - torch.log(std)).mean()


def orthogonality(decoder: Tensor) -> Tensor:
    """Mean squared distance of the rows' correlation matrix from the identity."""
    centred = decoder - decoder.mean(dim=1, keepdim=True)
    rows = unit_length(centred)
    difference = rows @ rows.T - torch.eye(rows.shape[0], device=rows.device)
    return (difference * difference).mean()


def squared_norm(params: Tensors) -> Tensor:
    """‖φ_e‖² + ‖φ_r‖² + ‖φ_d‖², halved as tf.nn.l2_loss does."""
    maps = ("encoder", "relation.0", "relation.1", "relation.2", "decoder")
    return torch.stack([(params[name] * params[name]).sum() for name in maps]).sum() / 2
