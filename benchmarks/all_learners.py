"""Every learner from one pre-trained network, with one small budget, on the same episodes.

`python benchmarks/all_learners.py NAME BASE OUT [LEARNER …]` trains those of `learners()` that are
named, or all, from the run BASE of a prototypical network by `--pretrained`, into folders of OUT
(what is there already goes on), measures them over shots and under shifts, and writes
benchmarks/learners/NAME.json, which benchmarks/learners_page.py draws. Nothing is tuned for a data
set: settings are those of the learners' recipes, parameters are the best validated ones, those
before the first step included.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from handful.runtime.package.files import write_atomic
from handful.trainer.commands.compare import compare
from handful.trainer.commands.subjects import Conditions, Plan
from handful.trainer.training.config import RunConfig, from_dict, to_dict
from handful.trainer.training.folder import read_config, versions
from handful.trainer.training.loop import Options
from handful.trainer.training.pretrain import pretraining_of
from handful.trainer.training.run import train

RESULTS = Path(__file__).parent / "learners"
SHOTS, QUERIES, EPISODES = (1, 5, 15), 5, 200
# what changes the meta-test examples of a data set, the milder first; of stored log-mel energies
# there are no distortions, and the large pictures take too long
SHIFTS: dict[str, tuple[str, ...]] = {
    "omniglot": ("rotation=15", "rotation=30"),
    "caltech": (),
    "words": (),
    "strokes": ("rotation=15", "rotation=30"),
}
SHIFTED_SHOTS = (5,)
META: dict[str, Any] = {
    "steps": 150,
    "tasks": 1,
    "way": [20],
    "shot": [1, 5],
    "queries": 5,
    "lr": 5e-4,
    "schedule": "cosine",
    "clip_norm": 1.0,
    "batching": "loop",
    "validate_every": 50,
    "validation_way": 5,
    "validation_episodes": 200,
}
STEPS = {"caltech": 50}  # of the large pictures, which take ten times as long as the others
NOTHING = {"steps": 0}  # is meta-trained
REPTILE = {
    "optimiser": "sgd", "lr": 1.0, "schedule": "linear", "way": [5], "shot": [10], "tasks": 5,
    "queries": 1, "clip_norm": None, "validation_episodes": 50,
}  # fmt: skip
LSTM = {
    "way": [5],
    "lr": 1e-3,
    "clip_norm": 0.25,
    "validation_episodes": 50,
    "validation_queries": 5,
}
BODY = {"normalisation": "none"}  # a body that moves: the pre-trained normalisation is absorbed


def learners() -> dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Of each its settings, what differs from META, and what differs in the network."""
    return {
        "prototypical": ({"name": "prototypical"}, {}, {}),
        "means": ({"name": "means", "metric": "within"}, {}, {}),
        "logistic": ({"name": "logistic"}, {}, {}),
        "ridge": ({"name": "ridge"}, {}, {}),
        "ridge, trained through": (
            {"name": "ridge", "metric": "euclidean", "train_network": True}, {}, {},
        ),
        "baseline": ({"name": "baseline"}, NOTHING, {}),
        "baseline-pp": ({"name": "baseline-pp"}, NOTHING, {}),
        "matching": ({"name": "matching", "scale": 20.0}, {}, {}),
        "relation": ({"name": "relation", "shots": "mean"}, {}, {}),
        "siamese": ({"name": "siamese"}, {}, {}),
        "proto-maml": ({"name": "proto-maml"}, {}, {}),
        "leo": (
            {
                "name": "leo", "latent_dim": 64, "scores": "distance", "temperature": 10.0,
                "start_noise": 0.02, "finetuning_lr": 1.4, "sampling": False, "dropout": 0.3,
                "kl_weight": 0.0, "orthogonality": 0.0,
            },
            {"lr": 1e-3}, {},
        ),
        "maml": (
            {
                "name": "maml", "inner_steps": 2, "inner_lr": 0.002, "head_lr": [0.14, 0.02],
                "rates": "step", "head": "shared", "centred": True,
            },
            {"lr": 1e-4, "validation_episodes": 100}, BODY,
        ),
        "reptile": ({"name": "reptile", "head": "shared", "evaluation_steps": 10}, REPTILE, BODY),
        "meta-lstm": ({"name": "meta-lstm", "inner_steps": 3, "head": "shared"}, LSTM, BODY),
    }  # fmt: skip


def config_of(name: str, base: Path, steps: int) -> RunConfig:
    """The run of the learner `name` that starts from the network of the run `base`."""
    settings, meta, network = learners()[name]
    found = to_dict(read_config(base))
    changed = {
        key: value for key, value in (META | {"steps": steps} | meta).items() if value is not None
    }
    one_view = {"views": 1}  # several would take as many times the time
    own = {**settings, "network": found["learner"]["network"] | one_view | network}
    config = from_dict({"learner": own, "data": found["data"], "meta": changed}, where=name)
    return replace(config, pretrain=pretraining_of(base)[1])


def train_all(base: Path, out: Path, only: list[str], steps: int) -> dict[str, Path]:
    """A finished run of each learner, by its name."""
    runs = {}
    for name in only:
        runs[name] = out / name.replace(", ", "-").replace(" ", "-")
        resume = (runs[name] / "config.json").exists()
        config = config_of(name, base, steps)
        train(config, runs[name], Options(resume=resume, pretrained=None if resume else base))
        print(f"{name}: trained", flush=True)
    return runs


def measure_runs(runs: Mapping[str, Path], **plan: Any) -> list[dict[str, Any]]:
    """All runs and the yardsticks on the same tasks, an entry for each."""
    whole = Plan(ways=(5,), queries=QUERIES, episodes=EPISODES, **plan)
    names = {str(path): name for name, path in runs.items()}

    def counted(*_: object) -> Any:
        return lambda: None

    found = compare(list(names), whole, workers=1, count=counted).as_json()["entries"]
    return [
        {
            "name": names.get(entry["name"], entry["name"]),
            "kind": entry["kind"],
            "results": [
                {
                    "shot": result["shot"],
                    "accuracy": result["accuracy"],
                    "interval": result["interval"],
                    "compared": {
                        names.get(c["name"], c["name"]): [c["difference"], c["interval"]]
                        for c in result["compared"]
                    },
                }
                for result in entry["results"]
            ],
        }
        for entry in found
    ]


def main() -> None:
    """Train what is not trained yet, measure all, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SHIFTS)
    parser.add_argument("base", type=Path, help="a run of a prototypical network")
    parser.add_argument("out", type=Path, help="the runs' folder")
    parser.add_argument("only", nargs="*", metavar="LEARNER", help="by default all")
    options = parser.parse_args()
    data, base = options.name, options.base
    torch.set_num_threads(1)
    steps: int = STEPS.get(data) or META["steps"]
    runs = train_all(base, options.out, options.only or list(learners()), steps)
    shifts = {
        shift: measure_runs(runs, shots=SHIFTED_SHOTS, conditions=Conditions(distort=(shift,)))
        for shift in SHIFTS[data]
    }
    found = {
        "data": data,
        "episodes": EPISODES,
        "queries": QUERIES,
        "base": to_dict(read_config(base)),
        "versions": versions(),
        "shots": measure_runs(runs, shots=SHOTS),
        "shifts": shifts,
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    write_atomic(RESULTS / f"{data}.json", text.encode())


if __name__ == "__main__":
    main()
