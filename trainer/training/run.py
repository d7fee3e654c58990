"""A whole run: its data, its folder, pre-training, preparation, meta-training."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import torch

from handful.trainer.evaluation import embed_set
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Tensors
from handful.trainer.networks.wrapped import fit
from handful.trainer.workers import workers
from handful.trainer.workers.host import device_of, keep_memory

from .checkpoint import LAST, storing
from .config import RunConfig, to_dict
from .data import apply_drawing, read_data
from .distributed import World
from .folder import (
    ROOM,
    RunError,
    build_learner,
    claim,
    locked,
    read_record,
    versions,
    write_config,
    write_record,
)
from .log import require_tensorboard
from .loop import Call, Options
from .pretrain import PREPARED, check_same, copy_to, pretrain, pretraining
from .state import Progress, Run


def train(config: RunConfig, folder: Path, options: Options | None = None) -> Progress:
    """Meta-train into `folder`; a run that is there is resumed or refused, never overwritten."""
    options = options or Options()
    if options.tensorboard:
        require_tensorboard()
    device = device_of(options.device)
    keep_memory()
    world = World.join(device)
    with ExitStack() as entered:
        if world.first:
            claim(config, folder, resume=options.resume)
        if world.first and options.resume:
            entered.enter_context(locked(folder, options.report.say))
        pool = entered.enter_context(workers(options.shape))  # it starts up while data are read
        record = read_record(folder) if options.resume else None
        data = read_data(
            config,
            record,
            moved=options.data,
            skip_bad=options.skip_bad,
            skip_small=options.skip_small,
            fetching=options.report.fetching,
        )
        config = data.config
        learner = build_learner(config, data.train)
        _check_pretrainable(config, learner)
        _check_distortable(config, learner)
        if options.pretrained:
            network = learner.pretrained_network()
            assert network is not None  # else refused as not pretrainable
            check_same(options.pretrained, pretraining(config, data.train, network), data.record)
        for remark in data.remarks:
            options.report.say(remark)
        # only now, so that an earlier failure leaves no folder behind
        if world.first and not options.resume:
            with storing(folder, ROOM):
                folder.mkdir(parents=True, exist_ok=True)
            entered.enter_context(locked(folder, options.report.say))
            claim(config, folder, resume=False)  # another process may have begun it meanwhile
            write_record(data.record, folder)
            write_config(config, folder)
            if options.pretrained:
                copy_to(folder, options.pretrained)
        world.wait()
        call = Call(
            config=config,
            folder=folder,
            options=options,
            data=data.to(device),
            device=device,
            world=world,
            workers=pool,
        )
        return _carry_out(call, learner)


def _carry_out(call: Call, learner: Learner) -> Progress:
    """Initialise the learner, then meta-train it; a stopped run is saved and returns early."""
    params = _start(call, learner)
    if params is None:
        return Progress()
    train_set, validation, meta = call.data.train, call.data.validation, call.config.meta
    if learner.embeds_ahead:
        train_set = embed_set(learner, params, train_set, call.workers)
        validation = embed_set(learner, params, validation, call.workers)
    run = Run(
        learner=learner,
        params=params,
        train=learner.training_source(
            apply_drawing(train_set, meta.training_groups, meta.distortion, meta.mix)
        ),
        validation=apply_drawing(validation, meta.validation_groups),
        config=meta,
        folder=call.folder,
        facts={"config": to_dict(call.config), "versions": versions()},
        world=call.world,
        workers=call.workers,
    )
    resume = call.options.resume and (call.folder / LAST).exists()
    return call.phase(run, call.config.learner, resume=resume)


def _start(call: Call, learner: Learner) -> Tensors | None:
    """Fresh parameters, with a pre-trained network where there is one, prepared on the data."""
    config, train_set = call.config, call.data.train
    params = call.on_device(learner.init(torch.Generator().manual_seed(config.meta.seed)))
    network = learner.pretrained_network()
    if network is not None and (learner.embeds_ahead or config.pretrain is not None):
        weights = pretrain(call, network)
        if weights is None:
            return None
        params = learner.with_pretrained(params, weights)
    with torch.no_grad():
        x, y, domain = train_set.take_some(PREPARED, config.meta.seed)
        params = fit(params, x)
        return learner.prepare(params, learner.embed(params, x), y, domain)


def _check_distortable(config: RunConfig, learner: Learner) -> None:
    if config.meta.distortion is not None and learner.embeds_ahead:
        raise RunError(
            f"{config.learner} trains on what a frozen network gave once, which is not distorted",
            hint="distort the pictures that the network is trained on: pretrain.distort",
        )


def _check_pretrainable(config: RunConfig, learner: Learner) -> None:
    if config.pretrain is not None and learner.targets is not None:
        raise RunError(
            f"{config.data.source} has no classes to pre-train on",
            hint="drop the section [pretrain]",
        )
    if config.pretrain is not None and learner.pretrained_network() is None:
        raise RunError(
            f"{config.learner} has no network to pre-train",
            hint="drop the section [pretrain], or set learner.network.kind",
        )
