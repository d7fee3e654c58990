"""Pre-training of a learner's network, by a learner that trains networks for others.

It is a run of its own, in the sub-folder `pretrained`, with its own checkpoints.
"""

from __future__ import annotations

import torch

from handful.trainer.config import PretrainConfig, RunConfig, to_dict
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import EpisodeSource
from handful.trainer.learners import LEARNERS, Tensors
from handful.trainer.learners.embedding import Asked, PretrainingLearner
from handful.trainer.networks import NetworkConfig
from handful.trainer.networks.standardise import fitted

from .checkpoint import BEST, LAST, read_checkpoint
from .data import as_drawn
from .folder import PRETRAINED, build_learner, versions, write_config, write_record
from .job import Call
from .state import Run

PREPARED = 8192  # examples by which inputs are standardised, and a learner prepares its start
DEFAULT = PretrainConfig(way=(60,), queries=5, tasks=1)


def pretrain(call: Call, network: NetworkConfig) -> Tensors | None:
    """The network's best parameters; None when stopped on the way."""
    config = pretraining(call.config, call.data.train, network)
    folder = call.folder / PRETRAINED
    learner = build_learner(config, call.data.train)
    params = learner.init(torch.Generator().manual_seed(config.meta.seed))
    params = fitted(params, call.data.train.some(PREPARED, call.config.meta.seed)[0])
    run = Run(
        learner=learner,
        params=call.on_device(params),
        train=as_drawn(call.data.train, config.meta.training_groups, config.meta.distortion),
        validation=as_drawn(call.data.validation, config.meta.validation_groups),
        config=config.meta,
        folder=folder,
        section="pretrain",
        facts={"config": to_dict(config), "versions": versions()},
        world=call.world,
        workers=call.workers,
    )
    resume = (folder / LAST).exists()
    if call.world.first:
        write_record(call.data.record, folder)
        write_config(config, folder)
    progress = call.phase(run, "pre-training", resume=resume)
    if not progress.finished:
        return None
    call.world.wait()
    assert isinstance(learner, PretrainingLearner)
    return call.on_device(learner.network_of(read_checkpoint(folder / BEST)[0]))


def pretraining(run: RunConfig, train: EpisodeSource, network: NetworkConfig) -> RunConfig:
    """The run that pre-trains `network` for `run`, its learner chosen by `pretrain.objective`."""
    settings = run.pretrain or DEFAULT
    assert isinstance(train, LabelledSet)  # a source without classes was refused before
    asked = Asked(settings.objective, settings.length, len(train.classes))
    kind = pretraining_learners()[settings.objective]
    config = kind.pretraining(network, asked)
    return RunConfig(learner=kind.name, settings=config, data=run.data, meta=settings.loop)


def pretraining_learners() -> dict[str, type[PretrainingLearner]]:
    """The learner that trains a network for others, by its `pretrain.objective`."""
    kinds = [kind for kind in LEARNERS.values() if issubclass(kind, PretrainingLearner)]
    return {objective: kind for kind in kinds for objective in kind.objectives}
