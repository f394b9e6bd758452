"""The constants of the signal path check themselves and travel; `--excerpt` is read in one place."""

import math

import pytest

from recap_cli.audio.settings import AudioSettings, read_place
from recap_cli.errors import DataError, OptionError


def test_settings_check_themselves():
    for options in ({"seconds": 0}, {"seconds": math.nan}, {"seconds": 1e6}):
        with pytest.raises(OptionError, match="--seconds"):
            AudioSettings(**options)
    with pytest.raises(OptionError, match="--resampler linear"):
        AudioSettings(resampler="linear")
    for options in ({"n_fft": 511}, {"hop": 0}, {"hop": 600}, {"mels": 0}, {"f_max": 9000.0}, {"power_floor": 0.0}):
        with pytest.raises(OptionError, match="do not fit together"):
            AudioSettings(**options)


def test_settings_derive_lengths():
    settings = AudioSettings()
    assert settings.samples == 240000
    assert settings.frames(settings.samples) == 938
    assert AudioSettings(seconds=7.3).samples == 116800


def test_settings_travel_as_json():
    settings = AudioSettings(seconds=10.0, resampler="soxr")
    assert AudioSettings.from_json(settings.to_json()) == settings
    for record in ({"window": "hann"}, {"seconds": "long"}, {"seconds": -1}, {"resampler": 3}, {"n_fft": None}):
        with pytest.raises(DataError, match="audio settings"):
            AudioSettings.from_json(record)


def test_places_are_words_or_seconds():
    assert [read_place(given) for given in ("start", "random", "12.5", 3)] == ["start", "random", 12.5, 3.0]
    assert read_place("whole", ("start", "whole")) == "whole"
    for given in ("whole", "chorus", "-3", "inf", "nan", ""):
        with pytest.raises(OptionError, match="--excerpt") as caught:
            read_place(given)
        assert "middle" in caught.value.hint
