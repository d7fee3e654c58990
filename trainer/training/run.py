"""A whole run: data, pre-training of a frozen network, preparation, meta-training, its folder.

config.json         the settings        metrics.jsonl      a line a step
last.safetensors    to resume from      best.safetensors   the best validated parameters
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from handful.runtime.errors import HandfulError
from handful.runtime.package.files import write_atomic
from handful.trainer.config import MetaConfig, RunConfig, from_dict, to_dict
from handful.trainer.data import load_data
from handful.trainer.data.download import Progress as Fetching
from handful.trainer.data.download import silent
from handful.trainer.data.labelled import LabelledSet, require
from handful.trainer.evaluation import embed_set
from handful.trainer.learners import LEARNERS, Learner, Tensors
from handful.trainer.learners.prototypical import PrototypicalConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.sizes import TaskSize
from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.distributed import World
from handful.trainer.training.loop import Progress, Run, forget_after, log_line, meta_train
from handful.trainer.training.memory import keep_memory

PREPARED = 8192  # examples from which a learner may prepare its start
CONFIG, METRICS, PRETRAINED = "config.json", "metrics.jsonl", "pretrained"


class RunError(HandfulError):
    """A run's folder cannot be used as asked."""


class Reporter(Protocol):
    """How a run speaks while it goes on."""

    def phase(self, name: str, total: int, done: int) -> Callable[[dict[str, Any]], None]:
        """A new phase of `total` steps; the result is called with each line of progress."""
        ...


@dataclass(frozen=True)
class Trained:
    """A learner with parameters, ready to be evaluated or exported."""

    learner: Learner
    params: Tensors
    config: RunConfig
    facts: dict[str, Any]


def train(
    config: RunConfig,
    folder: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    report: Reporter,
    stop: Callable[[], bool] = lambda: False,
    fetching: Fetching = silent,
) -> Progress:
    """Meta-train into `folder`; a run that is there is resumed or refused, never overwritten.

    `fetching` is told of a download of the data.
    """
    target = torch.device(device)
    keep_memory()
    world = World.join(target)
    if world.first:
        _refuse(config, folder, resume=resume)
    train_set = load_data(config.data, "meta_train", progress=fetching).to(target)
    validation = load_data(config.data, "meta_val").to(target)
    _suffice(config, train_set, validation)
    learner = build_learner(config, train_set)
    if config.pretrain is not None and learner.trained_before() is None:
        raise RunError(
            f"{config.learner} has no network to train before",
            hint="drop the section [pretrain], or set learner.network.kind",
        )
    if world.first and not resume:  # no sooner: what fails before leaves no folder behind
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / CONFIG, json.dumps(to_dict(config), indent=2).encode())
    world.wait()
    facts = {"config": to_dict(config), "versions": versions()}
    params = learner.init(torch.Generator().manual_seed(config.meta.seed))
    params = {name: p.to(target) for name, p in params.items()}
    network = learner.trained_before()
    if network is not None and (learner.frozen_embed or config.pretrain is not None):
        found = _pretrained(config, network, folder, train_set, validation, world, report, stop)
        if found is None:
            return Progress()
        params = learner.take_over(params, found)
    with torch.no_grad():
        few = train_set.as_float(some_rows(train_set.x, PREPARED, config.meta.seed))
        params = learner.prepare(params, learner.embed(params, few))
    if learner.frozen_embed:
        train_set = embed_set(learner, params, train_set)
        validation = embed_set(learner, params, validation)
    run = Run(
        learner=learner,
        params=params,
        train=train_set,
        validation=validation,
        config=config.meta,
        folder=folder,
        facts=facts,
        world=world,
    )
    return _phase(
        run, config.learner, folder / METRICS, report, resume and (folder / LAST).exists(), stop
    )


def _phase(
    run: Run,
    name: str,
    metrics: Path,
    report: Reporter,
    resume: bool,
    stop: Callable[[], bool],
) -> Progress:
    """One meta-training with its log and its bar."""
    done = read_checkpoint(run.folder / LAST)[1]["progress"]["step"] if resume else 0
    if resume and run.world.first:
        forget_after(metrics, done)
    show, log = report.phase(name, run.config.steps, done), log_line(metrics)

    def both(line: dict[str, Any]) -> None:
        log(line)
        show(line)

    run.report = both
    return meta_train(run, resume=resume, stop=stop)


def _pretrained(
    config: RunConfig,
    network: NetworkConfig,
    folder: Path,
    train_set: LabelledSet,
    validation: LabelledSet,
    world: World,
    report: Reporter,
    stop: Callable[[], bool],
) -> Tensors | None:
    """The network, trained as a prototypical network; None when stopped on the way."""
    settings = config.pretrain or MetaConfig(way=(60,), queries=5, tasks=1)
    inner = RunConfig(
        learner="prototypical",
        settings=PrototypicalConfig(network=network),
        data=config.data,
        meta=settings,
    )
    place = folder / PRETRAINED
    learner = build_learner(inner, train_set)
    params = learner.init(torch.Generator().manual_seed(settings.seed))
    run = Run(
        learner=learner,
        params={name: p.to(train_set.x.device) for name, p in params.items()},
        train=train_set,
        validation=validation,
        config=settings,
        folder=place,
        section="pretrain",
        facts={"config": to_dict(inner), "versions": versions()},
        world=world,
    )
    resume = (place / LAST).exists()
    if world.first:
        place.mkdir(exist_ok=True)
        write_atomic(place / CONFIG, json.dumps(to_dict(inner), indent=2).encode())
    progress = _phase(run, "backbone", place / METRICS, report, resume, stop)
    if not progress.finished:
        return None
    world.wait()
    found = read_checkpoint(place / BEST)[0]
    return {name: p.to(train_set.x.device) for name, p in found.items()}


def _suffice(config: RunConfig, train_set: LabelledSet, validation: LabelledSet) -> None:
    """Refuse data that cannot fill the tasks asked for, before anything is trained."""
    for section, meta in (("meta", config.meta), ("pretrain", config.pretrain)):
        if meta is None:
            continue
        largest = TaskSize(max(meta.way), max(meta.shot), meta.queries)
        require(train_set, largest, where="the meta-training split", prefix=f"{section}.")
        require(
            validation,
            meta.validation_size,
            where="the meta-validation split",
            prefix=f"{section}.validation_",
        )


def _refuse(config: RunConfig, folder: Path, *, resume: bool) -> None:
    """Say why the folder cannot be this run's."""
    place = folder / CONFIG
    if place.exists():
        if not resume:
            raise RunError(
                f"{folder} holds a run already",
                hint="go on with it by --resume, or name another folder with --out",
            )
        if json.loads(place.read_text()) != json.loads(json.dumps(to_dict(config))):
            raise RunError(
                f"{folder} holds a run with other settings",
                hint="resume without changing settings, or name another folder with --out",
            )
    elif resume:
        raise RunError(f"no run to resume in {folder}")
    elif folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} is not empty", hint="name another folder with --out")


def build_learner(config: RunConfig, data: LabelledSet) -> Learner:
    """The learner for this data's examples."""
    return LEARNERS[config.learner](config.settings, data.input, max(config.meta.way))


def some_rows(x: Tensor, count: int, seed: int) -> Tensor:
    """At most `count` rows of x [M, ...], drawn without replacement, in their order."""
    if len(x) <= count:
        return x
    drawn = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:count]
    return x[drawn.sort().values.to(x.device)]


def read_config(folder: Path) -> RunConfig:
    """The settings of the run in `folder`."""
    try:
        found = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError):
        raise RunError(
            f"no {CONFIG} in {folder}", hint="a run is a folder made by `handful train`"
        ) from None
    return from_dict(found, where=str(folder / CONFIG))


def load_run(folder: Path, data: LabelledSet) -> Trained:
    """The best validated parameters of the run in `folder`, on the data's device."""
    config = read_config(folder)
    params, facts = read_checkpoint(folder / BEST)
    learner = build_learner(config, data)
    return Trained(learner, {n: p.to(data.x.device) for n, p in params.items()}, config, facts)


def versions() -> dict[str, str]:
    """What the run was made with."""
    found = {"python": platform.python_version()}
    for name in ("handful", "torch", "onnx", "onnxruntime", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
