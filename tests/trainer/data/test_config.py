"""What a data configuration refuses, and sources that do not exist."""

from typing import Any

import pytest

from handful.trainer.data import SOURCES, DataConfig, DataError, load_data

from ...each import each

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no source": ({"source": ""}, "data.source is empty"),
    "no pixels": ({"image_size": 0}, "data.image_size is 0, wanted 1 to 4096 pixels"),
    "too many": ({"resize": 5000}, "data.resize is 5000, wanted 1 to 4096 pixels"),
}


@each("case", BAD)
def test_bad_settings_are_named(case: str) -> None:
    settings, message = BAD[case]
    with pytest.raises(DataError) as error:
        DataConfig(**settings)
    assert str(error.value) == message


def test_a_source_that_is_not_there() -> None:
    with pytest.raises(DataError) as error:
        load_data(DataConfig(source="birds"), "meta_train")
    assert str(error.value) == "no data source birds"
    assert error.value.hint == (
        "there are: omniglot, glyphs, bands, sinusoid, sensor, navigation, cart, FOLDER,"
        " FILE.npz, MODULE:CLASS; no folder of that name exists"
    )


def test_what_there_is_in_one_line_each() -> None:
    assert list(SOURCES) == [
        "omniglot",
        "glyphs",
        "bands",
        "sinusoid",
        "sensor",
        "navigation",
        "cart",
        "FOLDER",
        "FILE.npz",
        "MODULE:CLASS",
    ]
    assert all(1 <= len(words) <= 90 and "\n" not in words for words in SOURCES.values())
