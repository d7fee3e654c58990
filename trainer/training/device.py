"""The device that a run computes on, by its name."""

from __future__ import annotations

import os

import torch

from handful.trainer.errors import ConfigError


def device_of(name: str) -> torch.device:
    """The device of that name, if this machine has it; under torchrun a GPU for each process."""
    try:
        device = torch.device(name)
        if device.type == "cuda":
            if not torch.cuda.is_available():  # a build without CUDA fails in its own ways
                raise _none(name)
            index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
            device = torch.device("cuda", index)
            torch.cuda.set_device(device)
        float(torch.ones(1, device=device) + 1)  # a device that cannot compute fails here
    except (RuntimeError, AssertionError, AttributeError, NotImplementedError, ValueError) as cause:
        raise _none(name) from cause
    return device


def _none(name: str) -> ConfigError:
    return ConfigError(
        f"no device {name} on this machine", hint="cpu, or cuda with a CUDA build of torch"
    )
