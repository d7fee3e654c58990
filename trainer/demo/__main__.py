"""The demonstration: gestures of made-up persons with wrist bands, adapted to new ones, drawn.

Everybody's classifier and shrunken class means (prior-means) are trained on some persons; the
picture has others, whom nobody was trained on: how often each is understood before any example,
with one example of each gesture and with five.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

import handful
from handful.runtime.arrays import Array
from handful.runtime.errors import HandfulError
from handful.runtime.package.files import write_atomic
from handful.runtime.tools.text import difference, use_any_encoding
from handful.runtime.tools.verify import verify
from handful.trainer.commands import export
from handful.trainer.commands.evaluate import evaluate_package
from handful.trainer.commands.export import export_command
from handful.trainer.commands.subjects import Plan, beside_everybody, run_features
from handful.trainer.commands.train import Request, train_command
from handful.trainer.data import LabelledSet
from handful.trainer.data.domains import DomainSet
from handful.trainer.evaluation import Result
from handful.trainer.training.data import RecordedData
from handful.trainer.training.folder import load_run
from handful.trainer.training.progress import Bars, bars

FOLDER = Path("demo")
SHOTS, QUERIES, EPISODES = (0, 1, 5), 5, 400
RECIPE = "bands-personal"
WORDS = {0: "no examples", 1: "one example\nof each gesture", 5: "five examples\nof each gesture"}
COLOURS = {0: "#999999", 1: "#e8a33d", 5: "#2a7f62"}


def main() -> None:
    """Train, export, verify, adapt, compare, draw; everything lands in ./demo."""
    if FOLDER.exists():
        if not (FOLDER / "run").exists() and any(FOLDER.iterdir()):
            raise HandfulError(f"{FOLDER} holds something else", hint="run it in another folder")
        say(f"replacing the earlier demonstration in {FOLDER}")
        shutil.rmtree(FOLDER)
    say("1/4  a classifier for everybody, then meta-training through it, on made-up persons")
    with bars() as report:
        done = train_command(FOLDER / "run", Request(recipe=RECIPE), report)
        if not done.finished:
            raise HandfulError("interrupted before the learner was trained")
        say("2/4  exporting it as ONNX graphs")
        package = FOLDER / RECIPE
        export_command(FOLDER / "run", package, export.Request(episodes=0), report.count)
        say("3/4  replaying its golden vectors in onnxruntime")
        checked = verify(package)
        say(f"     {len(checked.differences)} agree, worst difference {checked.worst:.0e}")
        say("4/4  adapting it to persons it has never seen")
        results, test = measure(package, report)
    picture = draw_gain(FOLDER / "demo.png", results, test)
    print("\n".join([table(results), example(handful.load(package), test), str(picture)]))


def measure(package: Path, report: Bars) -> tuple[list[Result], DomainSet]:
    """The package on test persons before and after examples, beside what it has to beat."""
    run = FOLDER / "run"
    recorded = RecordedData.of_run(run)
    test, train = (recorded.load(part) for part in ("meta_test", "meta_train"))
    assert isinstance(test, DomainSet)
    own = run_features(load_run(run, test), test, train)
    results = evaluate_package(
        package,
        Plan(shots=SHOTS, queries=QUERIES, episodes=EPISODES, partial=False),
        features=beside_everybody(run, own, train, recorded),
        count=report.count,
        recorded=recorded,
    )
    return results, test


def table(results: list[Result]) -> str:
    """Accuracies as text, each with what it has to beat."""
    people, last = results[0].persons, results[-1]
    lines = [f"{people} persons never seen, {EPISODES} tasks, by onnxruntime alone; accuracy %"]
    for result in results:
        words = WORDS[result.shot].replace("\n", " ")
        lines.append(f"  {words:<30} {100 * result.value:.1f} ± {100 * result.interval:.1f}")
    words = WORDS[last.shot].replace("\n", " ")
    lines += [f"with {words} others reach, and it is above them by:"]
    for other in last.compared:
        lines.append(f"  {other.name:<50} {100 * other.value:.1f}   {difference(other)}")
    return "\n".join(lines)


def example(learner: handful.Learner, test: LabelledSet) -> str:
    """What a device does, on the first test person."""
    assert isinstance(test, DomainSet)
    own = {
        name: test.x[rows[:1]].numpy()
        for name, (rows, _) in zip(test.classes, test.tables[0], strict=True)
    }
    task = learner.adapt({name: list(x) for name, x in own.items()})
    return f"on the device: {learner.start()} → {task}"


def draw_gain(path: Path, results: list[Result], test: DomainSet) -> Path:
    """Two persons' bands on the left, and on the right how each person gains by examples."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    sides = figure.add_gridspec(1, 2, width_ratios=(1, 1.55))
    _draw_bands(figure, sides[0], test)
    axes = figure.add_subplot(sides[1])
    order = np.argsort(results[0].values)
    places = np.arange(len(order))
    for result in results:
        mean = f"{100 * result.value:.0f} %"
        label = f"{WORDS[result.shot]}\n{mean} ± {100 * result.interval:.0f}"
        heights = 100 * result.values[order]
        axes.plot(places, heights, "o", color=COLOURS[result.shot], label=label, markersize=6)
        axes.axhline(100 * result.value, color=COLOURS[result.shot], linewidth=1.2, alpha=0.6)
    axes.set_title(f"{len(order)} persons that nobody was trained on, one column each")
    axes.set_ylabel("gestures understood, %")
    axes.set_ylim(max(0, 100 * results[0].values.min() - 12), 102)
    axes.set_xticks([])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, labelspacing=1.4)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    write_atomic(path, png.getvalue())
    return path


def _draw_bands(figure: Any, place: Any, test: DomainSet) -> None:
    """What two persons' electrodes hear of each gesture: the same gestures, another placement."""
    axes = place.subgridspec(1, 2).subplots(sharey=True)
    for d, one in enumerate(axes):
        heard: Array = np.stack(
            [test.x[rows].mean(dim=(0, 1)).numpy() for rows, _ in test.tables[d]]
        )
        one.imshow(heard / heard.max(), cmap="viridis", aspect="auto", vmin=0, vmax=1)
        one.set_title(test.domains[d])
        one.set_xlabel("electrode")
        one.set_xticks(range(heard.shape[1]), [str(e + 1) for e in range(heard.shape[1])])
        one.set_yticks(range(len(test.classes)), test.classes)


def say(text: str) -> None:
    """Words, to stderr."""
    print(text, file=sys.stderr)


if __name__ == "__main__":
    use_any_encoding()
    try:
        main()
    except HandfulError as error:
        say(f"error: {error}" + (f"\n\nhint: {error.hint}" if error.hint else ""))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
