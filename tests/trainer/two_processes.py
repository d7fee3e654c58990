"""What test_distributed.py runs, alone and under torchrun: two whole trainings on small data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist

from handful.trainer.training import run
from handful.trainer.training.config import from_dict

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
        "meta": {**META, "tasks": 3},
    },
}  # fmt: skip


def small_data(folder: Path) -> dict[str, Any]:
    """The [data] of a run on 60 classes of 8 vectors in a file: 40 to train, 10 and 10."""
    data = vectors()
    file = folder / "vectors.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, x=data.x.numpy(), y=np.repeat(data.classes, 8))
        parts = {"train": data.classes[:40], "val": data.classes[40:50], "test": data.classes[50:]}
        (folder / "split.json").write_text(json.dumps(parts))
    return {"source": str(file), "split": str(folder / "split.json")}


def train_all(folder: Path, data: Path) -> None:
    for name, settings in RUNS.items():
        config = from_dict({**settings, "data": small_data(data)}, where=name)
        run.train(config, folder / name)


if __name__ == "__main__":
    train_all(Path(sys.argv[1]), Path(sys.argv[2]))
    dist.destroy_process_group()
