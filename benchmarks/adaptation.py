"""MAML's inner steps through onnxruntime against torch eager, Conv4-64 on one thread."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from by_hand import BLOCKS, inner_step, theta_of
from tables import write_table
from throughput import SPEC, WAY
from timing import durations

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.tools.verify import relative_difference
from handful.trainer.export.graphs import trace_learner
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig

STEPS, LR = 5, 0.01


def session(learner: MAML, params: Tensors) -> ort.InferenceSession:
    """The exported inner step on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = trace_learner(learner, params).models["inner_step"]
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def through_onnxruntime(
    step: ort.InferenceSession, state: dict[str, np.ndarray], support: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """θ′ after five steps."""
    for _ in range(STEPS):
        *moved, _ = step.run(None, {**state, **support})
        state = {n: np.asarray(value) for n, value in zip(state, moved, strict=True)}
    return state


def by_hand(theta: Tensors, x: torch.Tensor, y: torch.Tensor, stride: int) -> Tensors:
    """The same in torch: F.conv2d, F.batch_norm, F.max_pool2d, autograd.grad."""
    for _ in range(STEPS):
        theta = {name: p.detach().requires_grad_() for name, p in theta.items()}
        theta = inner_step(theta, x, y, inner_lr=LR, stride=stride, second_order=False)
    return theta


def measure(halving: str, shot: int, rounds: int, clock: Callable[[], float]) -> str:
    """One row: medians in ms, and of the rounds' ratios to the faster of torch's two layouts."""
    network = NetworkConfig(halving=halving, normalisation="support")  # type: ignore[arg-type]
    learner = MAML(MAMLConfig(network=network, inner_steps=STEPS, inner_lr=LR), SPEC, WAY)
    params = learner.init(torch.Generator().manual_seed(0))
    y = torch.eye(WAY).repeat(shot, 1)
    support = Support(
        torch.rand(len(y), *SPEC.shape, generator=torch.Generator().manual_seed(1)), y
    )
    state = learner.start(params, {}, support, {})
    step = session(learner, params)
    fed = {"support_x": support.x.numpy(), "support_y": y.numpy()}
    start = {name: t.numpy() for name, t in state.items()}
    theta, labels = theta_of(params), y.argmax(-1)
    image = support.x.permute(0, 3, 1, 2).contiguous()
    last = {n: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
            for n, t in {**theta, "x": image}.items()}  # fmt: skip
    last_image = last.pop("x")
    stride = 2 if halving == "stride" else 1
    after = {n: torch.from_numpy(t) for n, t in through_onnxruntime(step, start, fed).items()}
    expected = by_hand(theta, image, labels, stride)
    converted = theta_of(params | after)
    difference = max(
        relative_difference(converted[n].numpy(), expected[n].detach().numpy())
        for n in [*(f"conv{block}.weight" for block in range(BLOCKS)), "head.weight"]
    )
    turns = durations(
        [
            lambda: through_onnxruntime(step, start, fed),
            lambda: by_hand(theta, image, labels, stride),
            lambda: by_hand(last, last_image, labels, stride),
            lambda: adapt(learner, params, support),
        ],
        rounds,
        clock,
    )
    ours, eager, channels_last, same = (1e3 * statistics.median(seconds) for seconds in turns)
    faster = statistics.median(min(t[1:3]) / t[0] for t in zip(*turns, strict=True))
    return (
        f"| {halving} | {shot} | {ours:.1f} | {eager:.1f} | {channels_last:.1f} | {same:.1f}"
        f" | {eager / ours:.2f} | {channels_last / ours:.2f} | {faster:.2f} | {difference:.0e} |"
    )


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument(
        "--processor-time", action="store_true", help="of this thread, where others compute as well"
    )
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.thread_time if options.processor_time else time.perf_counter
    rows = [
        "| halving | shot | onnxruntime, ms | torch, ms | channels last, ms"
        " | our learner in torch, ms | ratio | to channels last | to the faster of both, by rounds"
        " | difference |",
        "|" + " --- |" * 10,
    ]
    for halving in ("max", "stride"):
        for shot in (1, 5):
            rows.append(measure(halving, shot, options.rounds, clock))
            print(rows[-1], flush=True)
    note = (
        f"MAML, {STEPS} inner steps, 5-way, Conv4-64, 28×28, one thread; torch: F.conv2d,"
        f" F.batch_norm, F.max_pool2d and autograd.grad; medians of"
        f" {options.rounds} rounds in turns."
    )
    if not options.dry:
        title = "MAML adapting: onnxruntime and torch"
        text = "\n".join([note, "", *rows])
        write_table("adaptation", title, "python benchmarks/adaptation.py", text)


if __name__ == "__main__":
    main()
