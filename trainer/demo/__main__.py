"""The demonstration: meta-train on invented characters, export, adapt to five new ones, draw it.

The picture has support drawings above, queries with their answers below.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import handful
from handful.runtime.errors import HandfulError
from handful.runtime.package.files import write_atomic
from handful.runtime.tools.text import difference, use_any_encoding
from handful.runtime.tools.verify import verify
from handful.trainer.commands import export
from handful.trainer.commands.evaluate import evaluate_package
from handful.trainer.commands.export import export_command
from handful.trainer.commands.subjects import Plan, run_features
from handful.trainer.commands.train import Request, train_command
from handful.trainer.data import LabelledSet
from handful.trainer.episodes import TaskSize, as_episodes, rows_of
from handful.trainer.evaluation import Result, embed_set, evaluate
from handful.trainer.export.card import is_start, is_step
from handful.trainer.learners.nearest import Nearest, NearestConfig
from handful.trainer.training.data import RecordedData
from handful.trainer.training.folder import load_run
from handful.trainer.training.progress import Bars, bars


def draw_answers(
    path: Path,
    support: NDArray[Any],
    names: Sequence[str],
    queries: NDArray[Any],
    answers: Sequence[str],
    wanted: Sequence[str],
) -> Path:
    """One column a class: its one support drawing, then its queries, green where right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(names)
    per_class = len(queries) // columns
    right = sum(a == w for a, w in zip(answers, wanted, strict=True))
    figure = Figure(figsize=(1.5 * columns + 1, 1.45 * (per_class + 1) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"learned from the top row alone: {right} of {len(queries)} right")
    axes = figure.subplots(per_class + 1, columns)
    for c, name in enumerate(names):
        _tile(axes[0][c], support[c], name, "black")
        for q in range(per_class):
            i = c * per_class + q
            good = answers[i] == wanted[i]
            text = f"✓ {answers[i]}" if good else f"✗ {answers[i]}"
            _tile(axes[q + 1][c], queries[i], text, "tab:green" if good else "tab:red")
    axes[0][0].set_ylabel("support")
    axes[1][0].set_ylabel("queries")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    write_atomic(path, png.getvalue())
    return path


def _tile(axes: Any, image: NDArray[Any], text: str, colour: str) -> None:
    axes.imshow(255 - image[..., 0], cmap="gray", vmin=0, vmax=255)
    axes.set_title(text, fontsize=8, color=colour)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(colour)
        side.set_linewidth(2)


FOLDER = Path("demo")
SIZE, EPISODES = TaskSize(way=5, shot=1, queries=5), 200


def main() -> None:
    """Train, export, verify, adapt, compare, draw; everything lands in ./demo."""
    if FOLDER.exists():
        if not (FOLDER / "run").exists() and any(FOLDER.iterdir()):
            raise HandfulError(f"{FOLDER} holds something else", hint="run it in another folder")
        say(f"replacing the earlier demonstration in {FOLDER}")
        shutil.rmtree(FOLDER)
    say("1/4  meta-training LEO on characters that a program invents")
    with bars() as report:
        done = train_command(FOLDER / "run", Request(recipe="glyphs-leo"), report)
        if not done.finished:
            raise HandfulError("interrupted before the learner was trained")
        say("2/4  exporting it as ONNX graphs, its gradient steps included")
        package = FOLDER / "glyphs-leo"
        export_command(FOLDER / "run", package, export.Request(episodes=0), report.count)
        say("3/4  replaying its golden vectors in onnxruntime")
        checked = verify(package)
        say(f"     {len(checked.differences)} agree, worst difference {checked.worst:.0e}")
        say("4/4  adapting it to five characters it has never seen, one drawing each")
        table = answers(package, report)
    print(table)


def answers(package: Path, report: Bars) -> str:
    """Accuracy beside what it has to beat, as text; draws the picture of one task."""
    run = FOLDER / "run"
    recorded = RecordedData.of_run(run)
    test, meta_train = (recorded.load(part) for part in ("meta_test", "meta_train"))
    (result,) = evaluate_package(
        package,
        Plan(ways=[SIZE.way], shots=[SIZE.shot], queries=SIZE.queries, episodes=EPISODES),
        features=run_features(load_run(run, test), test, meta_train),
        count=report.count,
        recorded=recorded,
    )
    against = [c for c in result.compared if is_start(c.name) or not is_step(c.name)]
    pixels = nearest_on_pixels(test)
    picture = draw_one_task(handful.load(package), test)
    rows = [
        ("chance", f"{100 / SIZE.way:.1f} %"),
        ("nearest neighbour, pixels", percent(pixels.value, pixels.interval)),
        *((c.name, f"{100 * c.value:.1f} %, LEO {difference(c)}") for c in against),
        ("handful, LEO", percent(result.value, result.interval)),
    ]
    width = max(len(name) for name, _ in rows)
    title = f"{SIZE}, unseen characters, {EPISODES} tasks, by onnxruntime alone"
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows), str(picture)])


def draw_one_task(learner: handful.Learner, test: LabelledSet) -> Path:
    """The picture of the first task: its support set, its queries and the answers."""
    drawn = as_episodes(rows_of(test, SIZE, episodes=1, seed=0))
    names = [f"character {i}" for i in range(SIZE.way)]
    support, queries = (test.x.numpy()[rows[0]] for rows in (drawn.support, drawn.query))
    predicted = learner.adapt(support, names).predict(queries)
    wanted = [names[i] for i in drawn.query_y[0]]
    return draw_answers(FOLDER / "demo.png", support, names, queries, predicted, wanted)


def percent(accuracy: float, interval: float) -> str:
    """As `96.2 ± 0.8 %`."""
    return f"{100 * accuracy:.1f} ± {100 * interval:.1f} %"


def nearest_on_pixels(data: LabelledSet) -> Result:
    """The nearest neighbour on the same tasks."""
    learner = Nearest(NearestConfig(), data.input, SIZE.way)
    embedded = embed_set(learner, {}, data)
    return evaluate(learner, {}, embedded, SIZE, episodes=EPISODES, seed=0)


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
