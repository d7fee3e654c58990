"""`handful evaluate`: a run in torch, a package through the runtime, on the same tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from handful.runtime.package.read import find
from handful.runtime.tools.text import accuracies
from handful.trainer.evaluation import Features, Result
from handful.trainer.evaluation.confidence import as_text as sureness
from handful.trainer.evaluation.everybody import Everybody
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.data import RecordedData
from handful.trainer.workers import Workers, shape_of, workers
from handful.trainer.workers.host import device_of

from .subjects import Count, PackageSubject, Plan, RunSubject, is_run, trust_runs


def evaluate_command(
    path: str,
    plan: Plan,
    *,
    transductive: bool,
    device: str,
    workers: int | None = None,
    count: Count,
    data: str | None = None,
    trust: bool = False,
) -> list[Result]:
    """A run in torch, or a package (a folder, or the name of a shipped one) in the runtime.

    `workers` processes share the episodes, None: one a core. `data` says where the data are now,
    or names another source to test on. `trust` imports the module that a run names.
    """
    if trust:
        trust_runs([path])
    if transductive and not is_run(path):
        raise ConfigError("a package is never transductive", hint="evaluate the run that made it")
    target = str(device_of(device)) if is_run(path) else "cpu"  # the runtime computes there
    with evaluators(workers, plan, target) as pool:
        if not is_run(path):
            whole = replace(plan, sure=plan.yardsticks)
            return evaluate_package(find(path), whole, pool, count=count, moved=data)
        return evaluate_run(
            Path(path),
            plan,
            pool,
            transductive=transductive,
            device=device,
            count=count,
            moved=data,
        )


def as_text(results: Sequence[Result]) -> str:
    """The accuracies beside what they have to beat, then the confidence."""
    sure = sureness((result.size, result.sure) for result in results)
    return "\n\n".join(filter(None, (accuracies(results), sure)))


@contextmanager
def evaluators(count: int | None, plan: Plan, device: str = "cpu") -> Iterator[Workers]:
    """So many processes that share the plan's episodes; None: one a core."""
    shape = shape_of(count, None, most=plan.episodes, device=device)
    with workers(shape) as pool:
        yield pool


def evaluate_run(
    folder: Path,
    plan: Plan,
    pool: Workers | None = None,
    *,
    transductive: bool,
    device: str,
    count: Count,
    moved: str | None = None,
) -> list[Result]:
    """A run's best parameters on its meta-test classes, in torch."""
    subject = RunSubject.of(folder, plan, device=device, moved=moved)
    return subject.measure(plan, pool, transductive=transductive, count=count)


def evaluate_package(
    folder: Path,
    plan: Plan,
    pool: Workers | None = None,
    *,
    features: Features | Everybody | None = None,
    count: Count,
    moved: str | None = None,
    recorded: RecordedData | None = None,
) -> list[Result]:
    """An exported package on the meta-test tasks of its training, through the runtime.

    The yardsticks read `features`, in the order of the meta-test classes' examples; without them
    they read what the package's own `embed` gives. The data are `recorded` where they are known
    already, else what the manifest says.
    """
    subject = PackageSubject.of(folder, plan, moved=moved, recorded=recorded)
    return subject.measure(plan, pool, features=features, count=count)
