"""Pre-training of a learner's network, as a prototypical network.

It is a run of its own, in the sub-folder `pretrained`, with its own checkpoints.
"""

from __future__ import annotations

import torch

from handful.trainer.config import MetaConfig, RunConfig, to_dict
from handful.trainer.learners import Tensors
from handful.trainer.learners.prototypical import PrototypicalConfig
from handful.trainer.networks import NetworkConfig

from .checkpoint import BEST, LAST, read_checkpoint
from .folder import PRETRAINED, build_learner, versions, write_config, write_record
from .job import Job
from .state import Run

DEFAULT = MetaConfig(way=(60,), queries=5, tasks=1)


def pretrain(job: Job, network: NetworkConfig) -> Tensors | None:
    """The network's best parameters; None when stopped on the way."""
    settings = job.config.pretrain or DEFAULT
    config = RunConfig(
        learner="prototypical",
        settings=PrototypicalConfig(network=network),
        data=job.config.data,
        meta=settings,
    )
    folder = job.folder / PRETRAINED
    learner = build_learner(config, job.data.train)
    params = learner.init(torch.Generator().manual_seed(settings.seed))
    run = Run(
        learner=learner,
        params=job.on_device(params),
        train=job.data.train,
        validation=job.data.validation,
        config=settings,
        folder=folder,
        section="pretrain",
        facts={"config": to_dict(config), "versions": versions()},
        world=job.world,
        workers=job.workers,
    )
    resume = (folder / LAST).exists()
    if job.world.first:
        write_record(job.data.record, folder)
        write_config(config, folder)
    progress = job.phase(run, "pre-training", resume=resume)
    if not progress.finished:
        return None
    job.world.wait()
    return job.on_device(read_checkpoint(folder / BEST)[0])
