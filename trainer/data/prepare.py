"""`handful data prepare`: downloaded collections become the .npz files and splits of the recipes.

Three collections are known, a folder each:

arabic_speech_commands (Ghandoura et al. 2021, CC-BY-4.0): asc_logmel.npz has `logmel`, uint8
[M, 49, 40], ln(energy) = logmel / 10 − 14 by the defaults of log_mel.py, and `keyword` and
`speaker` [M]; asc_index.json has `keywords`, their `keyword_split` (train, val, test) and
`speaker_split_official`.
- words.npz: energies [49, 40, 1], natural logarithms, as (x + 5) / 4: about zero mean and unit
  deviation, by two constants that a device applies as well. The split by keyword is combined with
  the official one by speaker, so the meta-test words are new and their speakers too; recordings of
  a word of one part by a speaker of another are left out.
- commands.npz: all words by all speakers, who are split into the parts; `speaker`, `take`.
- keywords.npz: as words.npz, with each meta-training word backwards as a class of its own, since 25
  words are few to learn from.

pen_strokes (of Omniglot's drawings; Lake et al. 2015, MIT): pen_strokes.npz has `x` [M, 64, 3] and
`label` [M]; pen_strokes_index.json has `classes` and `class_split`. New alphabets are meta-test.
- strokes.npz: [64, 3]. x and y less the trace's own mean, over the root mean square of both; the
  pen as 1 (down) or −1.
- pen.npz: the same traces as they are: x and y in pixels, the pen 1 (down) or 0. The network
  "trace" centres and scales them itself.

personal, where the classes are named and the splits are by persons:
- myo.npz, of myo_emg.npz (A. Frančič 2021, MIT): muscle signals of a forearm. `x` [M, 25, 16] are
  ln(1 + v) of the mean absolute value of each of eight electrodes and of its mean absolute
  difference, in 25 frames of 40 ms; `person`, `session`, `bout`.
- activity.npz, of phone_watch_har.npz (Matey-Sanz et al. 2023, CC-BY-4.0): `x` [M, 50, 6], one
  second at 50 Hz of acceleration and angular rate in the units of their source; `person`,
  `device`, `execution`.

Which persons test is drawn by `split_persons`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.package.files import write_atomic
from handful.runtime.package.npz import pack_npz
from handful.trainer.data.sources.arrays import read_arrays
from handful.trainer.listing import COLLECTIONS
from handful.trainer.settings.errors import DataError

BACKWARDS = " backwards"
PARTS = {"meta_train": "train", "meta_val": "val", "meta_test": "test"}
Split = dict[str, list[str]]
Prepared = dict[str, tuple[dict[str, Array], Split]]  # arrays of x, label and more, by file name

GESTURES = (
    *("rest", "flexion", "extension", "radial deviation", "ulnar deviation", "pronation"),
    *("supination", "fist"),
)
ACTIVITIES = ("seated", "standing up", "walking", "turning", "sitting down")
DEVICES = ("phone", "watch")
FOLDS = {"myo": (4, 6), "activity": (3, 4), "commands": (3, 4)}  # of persons; how many validate


def prepare(folder: Path, out: Path, *, force: bool = False) -> list[Path]:
    """Write what the collections in `folder` give, NAME.npz and NAME.json each; returns the former.

    DataError where `folder` holds none of the collections, where one is not what its authors wrote,
    or where a file is there already and `force` is not set; then nothing is written.
    """
    there = [name for name in COLLECTIONS if (folder / name).is_dir()]
    if not there:
        hint = "FOLDER holds the downloaded collections, a folder each"
        if folder.is_dir() and folder.resolve().name in COLLECTIONS:
            hint = f"it is one of them itself; FOLDER holds it: {folder.resolve().parent}"
        raise DataError(f"no {', '.join(COLLECTIONS)} in {folder}", hint=hint)
    made: Prepared = {}
    for name in there:
        made |= READ[name](folder / name)
    files = {out / f"{name}.npz": name for name in made}
    taken = [file for npz in files for file in (npz, npz.with_suffix(".json")) if file.exists()]
    if taken and not force:
        raise DataError(f"there is a file {taken[0]} already", hint="replace it by --force")
    out.mkdir(parents=True, exist_ok=True)
    for file, name in files.items():
        arrays, split = made[name]
        write_atomic(file, pack_npz(arrays))
        text = json.dumps(split, ensure_ascii=False, indent=1)
        write_atomic(file.with_suffix(".json"), text.encode())
    return list(files)


def words(folder: Path) -> Prepared:
    """The recordings of the words and the speakers of each part."""
    arrays = read_arrays(folder / "asc_logmel.npz", ("logmel", "keyword", "speaker", "take"))
    index = _index(folder / "asc_index.json", "keywords", "keyword_split", "speaker_split_official")
    label = np.array(index["keywords"])[arrays["keyword"]]
    x = ((arrays["logmel"].astype(np.float32) / 10 - 14 + 5) / 4)[..., None]  # as its README says
    spoken = {name: arrays[name] for name in ("speaker", "take")}
    kept = np.zeros(len(label), dtype=bool)
    for part in PARTS.values():
        words_of_part = np.isin(label, index["keyword_split"][part])
        speakers = np.isin(arrays["speaker"], index["speaker_split_official"][part])
        kept |= words_of_part & speakers
    of_commands = {"x": x, "label": label, **spoken}
    x, label = x[kept], label[kept]
    split: Split = {part: index["keyword_split"][short] for part, short in PARTS.items()}
    trained = np.isin(label, split["meta_train"])
    more = np.concatenate([x, x[trained, ::-1]])
    names = np.concatenate([label, np.char.add(label[trained], BACKWARDS)])
    doubled = split["meta_train"] + [word + BACKWARDS for word in split["meta_train"]]
    return {
        "words": ({"x": x, "label": label}, split),
        "keywords": ({"x": more, "label": names}, {**split, "meta_train": doubled}),
        "commands": (of_commands, split_persons("commands", spoken["speaker"])),
    }


def strokes(folder: Path) -> Prepared:
    """The traces, centred and scaled each by itself, and as they are."""
    arrays = read_arrays(folder / "pen_strokes.npz", ("x", "label"))
    index = _index(folder / "pen_strokes_index.json", "classes", "class_split")
    traces = arrays["x"].astype(np.float32)
    place = traces[..., :2] - traces[..., :2].mean(axis=1, keepdims=True)
    place /= np.sqrt((place**2).mean(axis=(1, 2), keepdims=True) + 1e-6)
    x = np.concatenate([place, 2 * traces[..., 2:] - 1], axis=2)
    names = np.array(index["classes"])
    label = names[arrays["label"]]
    split: Split = {part: [str(names[c]) for c in index["class_split"][part]] for part in PARTS}
    return {
        "strokes": ({"x": x, "label": label}, split),
        "pen": ({"x": traces, "label": label}, split),
    }


def personal(folder: Path) -> Prepared:
    """Muscle signals and movements, with whose they are."""
    columns = ("person", "session", "bout")
    muscles = read_arrays(folder / "myo_emg.npz", ("x", "y", *columns))
    moves = read_arrays(folder / "phone_watch_har.npz", ("x", "y", "person", "device", "execution"))
    units = np.array([400] * 3 + [1000] * 3, dtype=np.float32)
    myo = {
        "x": muscles["x"].astype(np.float32) / 45,
        "label": np.array(GESTURES)[muscles["y"]],
        **{name: muscles[name] for name in columns},
    }
    activity = {
        "x": moves["x"].astype(np.float32) / units,
        "label": np.array(ACTIVITIES)[moves["y"]],
        "person": moves["person"],
        "device": np.array(DEVICES)[moves["device"]],
        "execution": moves["execution"],
    }
    return {
        "myo": (myo, split_persons("myo", myo["person"])),
        "activity": (activity, split_persons("activity", activity["person"])),
    }


def split_persons(name: str, persons: Array, *, fold: int = 0) -> Split:
    """The persons of each part: every person tests in one of the folds.

    The order is drawn once; `fold` takes every FOLDS-th of it to test, and of the others some to
    validate.
    """
    folds, validating = FOLDS[name]
    order = np.random.RandomState(0).permutation(np.unique(persons))
    others = np.array([person for i, person in enumerate(order) if i % folds != fold])
    others = np.random.RandomState(100 + fold).permutation(others)
    parts = (others[validating:], others[:validating], order[fold::folds])
    return {
        part: [str(person) for person in sorted(chosen.tolist())]
        for part, chosen in zip(PARTS, parts, strict=True)
    }


def _index(path: Path, *names: str) -> Mapping[str, Any]:
    """An index file, which has to have these names."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no file {path}", hint="download it again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}", hint="download it again") from error
    missing = [name for name in names if not isinstance(found, Mapping) or name not in found]
    if missing:
        raise DataError(f"{path} has no {missing[0]}", hint="download it again")
    return dict(found)


READ: dict[str, Callable[[Path], Prepared]] = {  # a function for each of COLLECTIONS
    "arabic_speech_commands": words,
    "pen_strokes": strokes,
    "personal": personal,
}
