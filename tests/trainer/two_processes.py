"""What test_distributed.py runs, alone and under torchrun: two whole trainings on small data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist

from handful.trainer.config import RunConfig, from_dict
from handful.trainer.data import DataConfig
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.training import run
from handful.trainer.training.progress import Silent

from .small import vectors

META = {
    "steps": 4,
    "tasks": 2,
    "queries": 2,
    "batching": "loop",
    "validate_every": 2,
    "validation_episodes": 4,
    "validation_queries": 2,
    "validation_way": 3,
    "way": 3,
}
NETWORK = {"kind": "mlp", "hidden": [8]}
RUNS: dict[str, dict[str, Any]] = {
    "leo": {
        "learner": {
            "name": "leo", "latent_dim": 4, "latent_steps": 1, "network": NETWORK,
        },
        "meta": META,
        "pretrain": META,
    },
    "maml": {
        "learner": {
            "name": "maml",
            "inner_steps": 1,
            "network": {**NETWORK, "normalisation": "support"},
        },
        "meta": META,
    },
}  # fmt: skip


def load_small(config: DataConfig, part: str, **how: object) -> LabelledSet:
    data = vectors()
    return data.take(range(40)) if part == "meta_train" else data.take(range(40, 60))


def train_all(folder: Path) -> None:
    for name, settings in RUNS.items():
        config: RunConfig = from_dict(settings, where=name)
        run.train(config, folder / name, report=Silent())


if __name__ == "__main__":
    setattr(run, "load_data", load_small)  # noqa: B010
    train_all(Path(sys.argv[1]))
    dist.destroy_process_group()
