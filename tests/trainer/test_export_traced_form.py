"""The exported inner step of a convolutional network, at several sizes, against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import InputSpec
from handful.runtime.vetting.vet import vet
from handful.trainer.export.simplify import simplify
from handful.trainer.export.trace import Port, trace
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig, conv4

from ..each import each
from .small import double, generator

SPEC = InputSpec(kind="image", shape=(28, 28, 1))


def exported_step(learner: MAML, params: Tensors) -> bytes:
    """The graph of the inner step alone, traced with seven examples of five classes."""
    support = Support(torch.rand(7, *SPEC.shape), torch.eye(5)[torch.arange(7) % 5])
    state = learner.start(params, {}, support, {})
    shapes = {n: (*t.shape[:-1], "N") if "head" in n else tuple(t.shape) for n, t in state.items()}
    ports = [Port(name, shape) for name, shape in shapes.items()]
    ports += [Port("support_x", ("S", *SPEC.shape)), Port("support_y", ("S", "N"))]

    def step(tensors: Tensors) -> Tensors:
        labelled = Support(tensors["support_x"], tensors["support_y"])
        moved, loss = learner.step(params, {n: tensors[n] for n in state}, labelled)
        return {**moved, "loss": loss}

    examples = {**state, "support_x": support.x, "support_y": support.y}
    outputs = {**shapes, "loss": ()}
    traced = trace(step, examples, ports, list(outputs))
    content: bytes = simplify(traced, ports, outputs).SerializeToString()
    return content


@each("halving", ["max", "stride"])
def test_an_exported_step_is_the_step_in_float64(
    halving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five steps, each from where float64 is: on drawings of ink and paper with a blank border."""
    network = NetworkConfig(filters=8, halving=halving, normalisation="support")  # type: ignore[arg-type]
    learner = MAML(MAMLConfig(network=network, inner_lr=0.05), SPEC, 5)
    params = learner.init(generator())
    params |= {n: -p for n, p in params.items() if n in ("theta.conv0.gamma", "theta.conv2.gamma")}
    form = "pooled_blocks" if halving == "max" else "strided_blocks"
    blocks, calls = getattr(conv4, form), []

    def called(*given: Any) -> Any:
        calls.append(form)
        return blocks(*given)

    monkeypatch.setattr(conv4, form, called)
    model = exported_step(learner, params)
    assert calls == [form]  # and torch's own in all that follows
    assert vet(model, halving).operators.total() > 0
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    for count in (3, 5, 10, 25):
        x = torch.zeros(count, *SPEC.shape)
        x[:, 6:22, 4:24] = (torch.rand(count, 16, 20, 1, generator=generator(count)) < 0.3).float()
        y = torch.eye(5)[torch.arange(count) % 5]
        exact, support = double(params), Support(x.double(), y.double())
        state = learner.start(exact, {}, support, {})
        for _ in range(5):
            after, loss = learner.step(exact, state, support)
            fed = {name: t.float().numpy() for name, t in state.items()}
            *moved, found = session.run(
                None, {**fed, "support_x": x.numpy(), "support_y": y.numpy()}
            )
            assert float(np.asarray(found)) == pytest.approx(float(loss), rel=1e-5)
            for (name, wanted), ours in zip(after.items(), moved, strict=True):
                change = float((wanted - state[name]).abs().max())
                assert float(np.abs(ours - wanted.numpy()).max()) <= 1e-4 * change, (count, name)
            state = after
    assert calls == [form]
