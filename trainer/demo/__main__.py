"""The demonstration: meta-train on invented characters, export, adapt to five new ones, draw it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import handful
from handful.runtime.errors import HandfulError
from handful.runtime.tools.evaluate import evaluate as evaluate_by_runtime
from handful.runtime.tools.verify import verify
from handful.trainer.commands import export
from handful.trainer.commands.evaluate import as_episodes
from handful.trainer.commands.export import export_command
from handful.trainer.commands.train import Request, train_command
from handful.trainer.data import LabelledSet, load_data
from handful.trainer.demo.picture import draw_answers
from handful.trainer.evaluation import Result, embed_set, evaluate
from handful.trainer.evaluation.accuracy import rows_of
from handful.trainer.learners.nearest import Nearest, NearestConfig
from handful.trainer.recipe import read_recipe
from handful.trainer.sizes import TaskSize
from handful.trainer.training.progress import Bars, bars

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
        found = answers(package, report)
    print(found)


def answers(package: Path, report: Bars) -> str:
    """Accuracy beside chance and pixels, as text; draws the picture of one task."""
    data = load_data(read_recipe("glyphs-leo", ()).data, "meta_test")
    learner = handful.load(package)
    drawn = as_episodes(rows_of(data, SIZE, episodes=EPISODES, seed=0), SIZE)
    tick = report.count("tasks", EPISODES)
    found = evaluate_by_runtime(learner, data.x.numpy(), drawn, progress=lambda _: tick())
    pixels = nearest_on_pixels(data)
    names = [f"character {i}" for i in range(SIZE.way)]
    support = data.x.numpy()[drawn.support[0]]
    queries = data.x.numpy()[drawn.query[0]]
    task = learner.adapt(support, names)
    wanted = [names[i] for i in drawn.query_y[0]]
    picture = draw_answers(
        FOLDER / "demo.png", support, names, queries, task.predict(queries), wanted
    )
    return "\n".join(
        [
            f"{SIZE}, unseen characters, {EPISODES} tasks, by onnxruntime alone",
            f"  chance                     {100 / SIZE.way:.1f} %",
            f"  nearest neighbour, pixels  {percent(pixels.accuracy, pixels.interval)}",
            f"  handful, LEO               {percent(found.accuracy, found.interval)}",
            f"  picture                    {picture}",
        ]
    )


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
    try:
        main()
    except HandfulError as error:
        say(f"error: {error}" + (f"\n\nhint: {error.hint}" if error.hint else ""))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
