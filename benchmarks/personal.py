"""Named classes of persons never seen: prior means beside the simplest things that could beat them.

`python benchmarks/personal.py PREPARED RUNS [NAME …]` reads the files of `handful data prepare`,
trains the recipes NAME-personal (all of RECIPES by default) for the folds over persons and the
seeds of `--folds` and `--seeds` into folders of RUNS (what has finished is not trained again),
measures each run on its meta-test persons beside rules whose settings are chosen on its
meta-validation persons, and writes benchmarks/results/personal.md. The results of a run are kept
beside it; the table is of all that RUNS has. Intervals are over persons, each of whom tests in one
fold; the seeds of a fold are averaged first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from cheap_rules import SHARES, Everybody, from_the_head, rules, settings_of
from tables import write_table
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.package.files import write_atomic
from handful.runtime.tools.evaluate import Mean, mean_of
from handful.trainer.data.domains import DomainSet
from handful.trainer.data.prepare import split_persons
from handful.trainer.episodes import Rows, TaskSize, rows_of
from handful.trainer.evaluation.accuracy import mean_by_person, measure_tasks
from handful.trainer.evaluation.yardsticks import nearest_mean, on_tasks
from handful.trainer.networks import NetworkConfig, build_network
from handful.trainer.training.checkpoint import BEST, read_checkpoint
from handful.trainer.training.data import RecordedData
from handful.trainer.training.folder import Trained, load_run
from handful.trainer.training.loop import Options
from handful.trainer.training.recipes import read_recipe
from handful.trainer.training.run import train

RECIPES = {"myo": "myo", "activity": "activity", "words": "commands"}  # and their data
TITLE = "Named classes of persons never seen"
COMMAND = "python benchmarks/personal.py PREPARED RUNS"
INTRODUCTION = """Accuracy in %, by examples of each class; in brackets 95 % intervals of paired
differences, over persons. Support and query are of other recordings. Meta-test persons are in no
other part; rules have the setting, and the best cheap rule is the one, that was best on the
meta-validation persons of the same run at the same number of examples. `benchmarks/cheap_rules.py`
says what each does."""
SHOTS, QUERIES, EPISODES, CHOOSING = (1, 2, 5), 5, 400, 200  # episodes to test, and to choose on
SEED = 11  # of the episodes
NOTHING, MEANS, BEST_RULE, LEARNER = (
    "no examples",
    "class means",
    "the best cheap rule",
    "prior means",
)
NORMALISATION = "re-estimated normalisation"
Values = dict[str, dict[str, dict[str, float]]]  # by size, method and person


def sizes_of(data: DomainSet) -> dict[str, TaskSize]:
    """1, 2 and 5 examples of each class, and 5 of half of the classes."""
    way = len(data.classes)
    sizes = {str(shot): TaskSize(way, shot, QUERIES) for shot in SHOTS}
    return sizes | {f"{SHOTS[-1]} of half": TaskSize(way, SHOTS[-1], QUERIES, way // 2)}


def train_run(name: str, prepared: Path, folder: Path, fold: int, seed: int) -> None:
    """The recipe, for a fold over persons and a seed; what is finished stays."""
    if (folder / "finished").exists():
        return
    source = prepared / f"{RECIPES[name]}.npz"
    column = read_recipe(f"{name}-personal", ()).data.domain[0]
    with np.load(source) as arrays:
        split = split_persons(RECIPES[name], arrays[column], fold=fold)
    file = folder.with_suffix(".json")
    write_atomic(file, json.dumps(split).encode())
    changes = [f"data.source={source}", f"data.split={file}", f"meta.seed={seed}"]
    config = read_recipe(f"{name}-personal", [*changes, f"pretrain.seed={seed}"])
    train(config, folder, Options(resume=(folder / "config.json").exists()))
    write_atomic(folder / "finished", b"")


def measure_run(folder: Path) -> Values:
    """Every method on the run's meta-test persons, at each size."""
    recorded = RecordedData.of_run(folder)
    parts = {part: recorded.load(part) for part in ("meta_train", "meta_val", "meta_test")}
    train_set, validation, test = (_domains(part) for part in parts.values())
    trained = load_run(folder, test)
    shared, _ = read_checkpoint(folder / "pretrained" / BEST)
    everybody = _Network(trained.config.settings.network, test.input.shape, shared)
    known = Everybody.of(
        everybody.embed(train_set), train_set.labels, train_set.domain, *everybody.head
    )
    features = {id(data): everybody.embed(data) for data in (validation, test)}
    embedded = test.with_features(test.map_batches(lambda x: _embed(trained, x)))
    found: Values = {}
    for name, size in sizes_of(test).items():
        rows = rows_of(test, size, episodes=EPISODES, seed=SEED)
        whose = _persons(test, rows)
        h = features[id(test)]
        by_method = {
            NOTHING: on_tasks(lambda *a: from_the_head(known, *a), h, size, rows),
            MEANS: on_tasks(nearest_mean, h, size, rows),
        }
        choosing = rows_of(validation, size, episodes=CHOOSING, seed=SEED)
        people = _persons(validation, choosing)
        best: dict[str, tuple[float, Array]] = {}
        for rule_name, _, rule in settings_of(rules(known)):
            accuracies = on_tasks(rule, features[id(validation)], size, choosing)
            score = mean_by_person(accuracies, people).mean()
            if rule_name not in best or score > best[rule_name][0]:
                best[rule_name] = (score, on_tasks(rule, h, size, rows))
        shares = {
            share: mean_by_person(
                everybody.renormalised(validation, size, choosing, share), people
            ).mean()
            for share in SHARES
        }
        share = max(shares, key=lambda s: shares[s])
        best[NORMALISATION] = (shares[share], everybody.renormalised(test, size, rows, share))
        by_method |= {name: accuracies for name, (_, accuracies) in best.items()}
        by_method[BEST_RULE] = max(best.values(), key=lambda b: b[0])[1]
        learned = measure_tasks(
            trained.learner,
            trained.params,
            embedded,
            size,
            episodes=EPISODES,
            seed=SEED,
            every_step=False,
        )
        by_method[LEARNER] = learned[:, -1]
        found[name] = {
            method: dict(zip(np.unique(whose), mean_by_person(values, whose), strict=True))
            for method, values in by_method.items()
        }
    return found


class _Network:
    """The network for everybody, with its head."""

    def __init__(self, config: NetworkConfig, shape: Sequence[int], params: dict[str, Tensor]):
        self.params = params
        self.network = build_network(config, tuple(shape), "convolution")
        own = build_network(replace(config, normalisation="support"), tuple(shape), "convolution")
        self.own = own  # normalises by the moments of its batch, and says them
        self.head = (params["head.weight"], params["head.bias"])
        self.averages = {
            name.replace("running_", ""): value
            for name, value in params.items()
            if "running_" in name
        }

    @torch.no_grad()
    def embed(self, data: DomainSet) -> Tensor:
        """h [M, D]."""
        return data.map_batches(lambda x: self.network(self.params, x, self.averages)[0])

    @torch.no_grad()
    def renormalised(self, data: DomainSet, size: TaskSize, rows: Rows, share: float) -> Array:
        """The accuracy [E] of the head, each layer's moments moved towards the examples' own."""
        weight, bias = self.head
        right = []
        for support, query, query_y in zip(rows.support, rows.query, rows.query_y, strict=True):
            x = data.as_float(data.x[support[support >= 0]])
            _, moments = self.own(self.params, x, None)
            blended = {
                name: (1 - share) * average + share * moments[name]
                for name, average in self.averages.items()
            }
            h, _ = self.own(self.params, data.as_float(data.x[query]), blended)
            right.append(((h @ weight.T + bias).argmax(dim=1) == query_y).float().mean())
        accuracies: Array = torch.stack(right).numpy()
        return accuracies


def _domains(data: object) -> DomainSet:
    assert isinstance(data, DomainSet)
    return data


@torch.no_grad()
def _embed(trained: Trained, x: Tensor) -> Tensor:
    return trained.learner.embed(trained.params, x)


def _persons(data: DomainSet, rows: Rows) -> Array:
    """The name of the person of each task, [E]."""
    names = np.array([domain.partition("/")[0] for domain in data.domains])
    persons: Array = names[data.domain[rows.query[:, 0]].numpy()]
    return persons


def merge(results: Mapping[int, Sequence[Values]]) -> dict[str, dict[str, Array]]:
    """By size and method the accuracy of every person, [P]: the mean over a fold's seeds."""
    merged: dict[str, dict[str, list[float]]] = {}
    for seeds in results.values():
        for size, methods in seeds[0].items():
            for method, persons in methods.items():
                values = merged.setdefault(size, {}).setdefault(method, [])
                values += [
                    float(np.mean([found[size][method][person] for found in seeds]))
                    for person in persons
                ]
    return {
        size: {method: np.array(values) for method, values in methods.items()}
        for size, methods in merged.items()
    }


def table(merged: Mapping[str, Mapping[str, Array]]) -> str:
    """Methods down, sizes across; under the learner its lead over the three that it has to beat."""
    sizes = list(merged)
    lines = ["| | " + " | ".join(sizes) + " |", "| --- |" + " --- |" * len(sizes)]
    methods = list(merged[sizes[0]])

    def line(name: str, cells: Sequence[str]) -> str:
        return f"| {name} | " + " | ".join(cells) + " |"

    for method in methods:
        bold = "**" if method == LEARNER else ""
        cells = [f"{bold}{100 * merged[size][method].mean():.1f}{bold}" for size in sizes]
        lines.append(line(f"{bold}{method}{bold}", cells))
    for other in (NOTHING, MEANS, BEST_RULE):
        leads = [mean_of(merged[size][LEARNER] - merged[size][other]) for size in sizes]
        lines.append(line(f"{LEARNER} less {other}", [_signed(lead) for lead in leads]))
    return "\n".join(lines)


def _signed(lead: Mean) -> str:
    low, high = lead.value - lead.interval, lead.value + lead.interval
    return f"{100 * lead.value:+.1f} [{100 * low:.1f}, {100 * high:.1f}]".replace("-", "−")


def main() -> None:
    """Train, measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("names", nargs="*", default=list(RECIPES))
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.runs.mkdir(parents=True, exist_ok=True)
    for seed in asked.seeds:
        for fold in asked.folds:
            for name in asked.names:
                folder = asked.runs / f"{name}-{fold}-{seed}"
                train_run(name, asked.prepared.resolve(), folder, fold, seed)
                if not (result := folder / "measured.json").exists():
                    write_atomic(result, json.dumps(measure_run(folder), indent=1).encode())
                print(f"{folder.name}: measured", flush=True)
                write_page(asked.runs)


def write_page(runs: Path) -> None:
    """The table of each data set, of all runs that are measured."""
    sections = []
    for name in RECIPES:
        results: dict[int, list[Values]] = {}
        for file in sorted(runs.glob(f"{name}-*-*/measured.json")):
            fold = int(file.parent.name.split("-")[1])
            results.setdefault(fold, []).append(json.loads(file.read_text()))
        if not results:
            continue
        merged = merge(results)
        persons = len(next(iter(next(iter(merged.values())).values())))
        folds = ", ".join(f"fold {fold}: {len(found)}" for fold, found in results.items())
        sections.append(
            f"## {name}\n\n{persons} persons; runs by fold over persons, of one seed each:"
            f" {folds}.\n\n{table(merged)}"
        )
    write_table("personal", TITLE, COMMAND, "\n\n".join([INTRODUCTION, *sections]))


if __name__ == "__main__":
    main()
