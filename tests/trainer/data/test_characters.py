"""What is wrong with Omniglot's files, named exactly."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from handful.trainer.data import DataConfig, DataError, Part
from handful.trainer.data.sources.omniglot import HALVES, INDEX, PACKED, PACKED_BITS, load_omniglot

from ...each import each
from .drawings import drawing, folders, packed, png, zips


def lake(where: Path, **changes: Any) -> DataConfig:
    return DataConfig(path=where, split="lake", rotations=False, **changes)


def refusal(config: DataConfig, part: Part = "meta_train") -> tuple[str, str | None]:
    assert config.path is not None
    with pytest.raises(DataError) as error:
        load_omniglot(config, part)
    message, hint = str(error.value), error.value.hint
    return message.replace(str(config.path), "…"), hint


def test_a_folder_without_omniglot(tmp_path: Path) -> None:
    zips(tmp_path)
    (tmp_path / "images_evaluation.zip").unlink()
    assert refusal(lake(tmp_path)) == (
        "no Omniglot in …",
        "wanted in data.path: omniglot_28.npz with its index, or images_background.zip and"
        " images_evaluation.zip, or the folders unpacked from them",
    )


def test_incomplete_data_for_vinyals(tmp_path: Path) -> None:
    assert refusal(DataConfig(path=zips(tmp_path))) == (
        "Omniglot has no character Alphabet_of_the_Magi/character01, which the Vinyals split lists",
        "the data are not complete: download them again",
    )


def test_too_few_alphabets_for_lake(tmp_path: Path) -> None:
    folders(tmp_path)
    for file in (tmp_path / HALVES[0]).glob("Back[1-6]/*/*"):
        file.unlink()
    message = "the split lake leaves no classes for meta_val"
    assert refusal(lake(tmp_path), "meta_val") == (message, None)


def test_broken_zips(tmp_path: Path) -> None:
    file = zips(tmp_path) / "images_background.zip"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    message = "…/images_background.zip is not a whole zip: File is not a zip file"
    assert refusal(lake(tmp_path)) == (message, "remove it and download it again")
    damaged = bytearray(whole)
    damaged[100] ^= 0xFF  # inside the first drawing: its checksum no longer holds
    file.write_bytes(damaged)
    message, _ = refusal(lake(tmp_path))
    assert message.startswith("…/images_background.zip is not a whole zip: Bad CRC-32 for file ")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("README.md", "nothing here")
    assert refusal(lake(tmp_path)) == (
        "no characters in …/images_background.zip",
        "wanted Alphabet/character01/*.png",
    )


def test_a_character_in_both_halves(tmp_path: Path) -> None:
    zips(tmp_path)
    first, second = (tmp_path / f"{half}.zip" for half in HALVES)
    second.write_bytes(first.read_bytes())
    assert refusal(lake(tmp_path)) == (
        "character Back0/character01 is in …/images_background.zip and in …/images_evaluation.zip",
        "one is a copy of the other: get it again",
    )


def test_drawings_that_are_none(tmp_path: Path) -> None:
    file = folders(tmp_path) / "images_background/Back0/character01/0001_01.png"
    file.write_bytes(b"not a picture")
    message, _ = refusal(lake(tmp_path))
    assert message.startswith(
        "cannot read the image …/images_background/Back0/character01/0001_01.png:"
        " cannot identify image file"
    )
    file.write_bytes(png(drawing(0)[:60]))
    assert refusal(lake(tmp_path)) == (
        "the image …/images_background/Back0/character01/0001_01.png has 105 × 60 pixels,"
        " Omniglot's drawings have 105 × 105",
        None,
    )


BAD_INDEX: dict[str, tuple[Any, str]] = {
    "no classes": (
        {},
        "…/omniglot_index.json has no list `classes` of [split, alphabet, character]",
    ),
    "twice": (
        {"classes": [[half, "A", "character01"] for half in ("background", "evaluation")]},
        "…/omniglot_index.json has class A/character01 twice",
    ),
    "too few": (
        {"classes": [["background", f"A{i}", "character01"] for i in range(9)]},
        "…/omniglot_105_bits.npz `images` is uint8 [11, 2, 105, 14], wanted uint8 [9, K, 105, 14]",
    ),
}


@each("case", BAD_INDEX)
def test_bad_indices(tmp_path: Path, case: str) -> None:
    index, message = BAD_INDEX[case]
    (packed(tmp_path) / INDEX).write_text(json.dumps(index))
    assert refusal(lake(tmp_path))[0] == message


def test_packed_files_that_are_not_there(tmp_path: Path) -> None:
    (packed(tmp_path) / PACKED_BITS).rename(tmp_path / PACKED)
    assert refusal(lake(tmp_path, image_size=40)) == (
        "no omniglot_105_bits.npz in …, wanted for data.image_size: 40",
        "set data.image_size = 28 to read omniglot_28.npz",
    )
    assert refusal(lake(tmp_path))[0] == (
        "…/omniglot_28.npz `images` is uint8 [11, 2, 105, 14], wanted uint8 [11, K, 28, 28]"
    )
