"""Every constant of the signal path, the suffixes of audio files, and what `--excerpt` says."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.records import check_fields, one_of, real, whole

# By who decodes them: libsndfile, which comes with the package soundfile,
NATIVE_SUFFIXES = frozenset(
    (
        *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mp1", ".mpga"),
        *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".voc", ".8svx", ".svx", ".ircam", ".nist", ".sph"),
    )
)
# or ffmpeg, where it is installed. Of containers of films, those in which music videos are passed on.
FFMPEG_SUFFIXES = frozenset(
    (
        *(".m4a", ".m4b", ".m4p", ".m4r", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".3ga", ".aac", ".adts", ".alac"),
        *(".wma", ".asf", ".wmv", ".xwma", ".mka", ".mkv", ".webm", ".weba", ".ogv", ".ogx", ".spx", ".avi", ".flv"),
        *(".wv", ".ape", ".apl", ".mpc", ".mpp", ".mp+", ".tta", ".tak", ".shn", ".dsf", ".dff", ".f4a", ".f4b"),
        *(".ac3", ".eac3", ".ec3", ".dts", ".mlp", ".thd", ".truehd", ".amr", ".awb", ".gsm", ".qcp"),
        *(".ra", ".rm", ".oma", ".aa3", ".at3", ".vqf"),
    )
)
AUDIO_SUFFIXES = NATIVE_SUFFIXES | FFMPEG_SUFFIXES

SOURCE_RATES = (1_000, 768_000)  # Hz; anything else is a damaged header
RESAMPLERS = ("resampy", "soxr", "polyphase")
PLACES = ("start", "middle", "random")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):([0-5]?\d(?:\.\d+)?)", re.ASCII)  # 1:30, 1:02:03, 0:07.5
LENGTHS = (0.1, 600.0)  # seconds an excerpt may have
WHOLE_SONG = 1800.0  # seconds that are heard at most of a whole song
MUSIC_ENCODERS = ("cnnsa", "musicnn")  # each takes another log-mel
MUSICNN_TAGS = 100  # of both taggers, the width of its music states
MUSICNN_WINDOW = 187  # frames that musicnn takes at a time, 3 s
LARGEST_SPECTRUM = 1 << 26  # frames of an excerpt times samples in a window, for a GB of memory
# Its weights fit no others.
MUSICNN = {"sample_rate": 16000, "n_fft": 512, "hop": 256, "mels": 96, "f_min": 0.0, "f_max": 8000.0}
# What a file of settings may say.
RULES = {
    "sample_rate": whole(*SOURCE_RATES),
    "seconds": real(LENGTHS[0], WHOLE_SONG),
    "n_fft": whole(2, 65_536),
    "hop": whole(1, 65_536),
    "mels": whole(1, 1024),
    "f_min": real(0.0, 1e6),
    "f_max": real(0.0, 1e6),
    "power_floor": real(1e-30, 1.0),
    "resampler": one_of(RESAMPLERS),
    "music_encoder": one_of(MUSIC_ENCODERS),
}


@dataclass(frozen=True)
class AudioSettings:
    """Every constant of the signal path; the defaults are CNNSA's (Won et al., 2019), 15 s as in the paper.

    Those of musicnn, which takes whole songs, are had from `of_encoder`. A value that cannot be used is an OptionError
    that names its flag.
    """

    sample_rate: int = 16000  # Hz that songs are resampled to
    seconds: float = 15.0  # length of the excerpt
    n_fft: int = 512  # samples in a Fourier window, even
    hop: int = 256  # samples between frames
    mels: int = 128  # mel bands
    f_min: float = 0.0  # Hz where the mel scale begins
    f_max: float = 8000.0  # Hz where it ends
    power_floor: float = 1e-10  # mel power below which everything counts as silence
    # kaiser_best; "soxr", HQ, needs the extra `fast`; "polyphase", ours, takes a tenth of the time, for whole songs
    resampler: str = "resampy"
    music_encoder: str = "cnnsa"  # that takes the log-mel; for musicnn padding, mel scale and logarithm are others

    def __post_init__(self) -> None:
        shortest, longest = LENGTHS[0], WHOLE_SONG if self.takes_whole_songs else LENGTHS[1]
        if not shortest <= self.seconds <= longest:
            raise OptionError(f"--seconds {self.seconds:g} is out of range", f"give {shortest} to {longest} seconds")
        if self.resampler not in RESAMPLERS:
            raise OptionError(f"--resampler {self.resampler} is unknown", f"choose {' or '.join(RESAMPLERS)}")
        framed = self.n_fft >= 2 and self.n_fft % 2 == 0 and 0 < self.hop <= self.n_fft
        banded = self.mels >= 1 and 0 <= self.f_min < self.f_max <= self.sample_rate / 2 and self.power_floor > 0
        if not (framed and banded):
            rule = "n_fft is even, hop <= n_fft, mels >= 1, 0 <= f_min < f_max <= sample_rate / 2, power_floor > 0."
            values = ", ".join(f"{name} {getattr(self, name):g}" for name in RULES if name in rule)
            raise OptionError(f"the audio settings do not fit together: {values}", rule)
        if self.seconds * self.sample_rate / self.hop * self.n_fft > LARGEST_SPECTRUM:
            raise OptionError(f"hop {self.hop} makes too many frames of {self.seconds:g} s", "give a larger one")
        if self.takes_whole_songs and any(getattr(self, name) != value for name, value in MUSICNN.items()):
            raise OptionError("the audio settings are not those of musicnn", f"they are {MUSICNN}")

    @classmethod
    def of_encoder(cls, name: str, seconds: float | None = None, resampler: str | None = None) -> Self:
        """Returns the settings of a music encoder, one of `MUSIC_ENCODERS`; None takes its own.

        CNNSA takes 15 s of a song, and musicnn all of it, half an hour at most.
        """
        given: dict[str, Any] = {"seconds": seconds, "resampler": resampler}
        own: dict[str, Any] = {}
        if name == "musicnn":
            own = {"seconds": WHOLE_SONG, "resampler": "polyphase", "mels": MUSICNN["mels"], "music_encoder": name}
        return cls(**own | {key: value for key, value in given.items() if value is not None})

    @property
    def takes_whole_songs(self) -> bool:
        """Whether the music encoder takes whole songs, not excerpts."""
        return self.music_encoder == "musicnn"

    @property
    def silence(self) -> float:
        """The log-mel of silence, which also pads."""
        return 0.0 if self.takes_whole_songs else 10 * math.log10(self.power_floor)

    @property
    def samples(self) -> int:
        """Samples in a full window at `sample_rate`."""
        return round(self.seconds * self.sample_rate)

    def frames(self, samples: int) -> int:
        """Returns the frames that `log_mel` makes of N samples: 1 + N // hop, very short clips padded first."""
        return 1 + max(samples, self.n_fft // 2 + 1) // self.hop

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as plain JSON values; CNNSA goes without saying, as before there were others."""
        record = asdict(self)
        return record if self.takes_whole_songs else {key: record[key] for key in record if key != "music_encoder"}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Returns the settings of `to_json`'s values; a missing key defaults, an unknown or bad one is a DataError."""
        if names := ", ".join(sorted(set(record) - set(RULES))):
            raise DataError(f"audio settings: unknown {names}", "was it written by a newer version?")
        try:
            return cls(**check_fields(record, RULES, "audio settings"))
        except ModelError as error:
            raise DataError(error.message, "the file is damaged or was edited") from error
        except OptionError as error:
            raise DataError(f"audio settings: {error}", "the file is damaged or was edited") from error


def read_place(excerpt: str | float, words: Sequence[str] = PLACES) -> str | float:
    """Returns what `--excerpt` says: one of `words`, or seconds from the start, given as 90, 90s, 1:30 or 1:02:03.

    An OptionError where it says neither.
    """
    if excerpt in words:
        return excerpt
    if clock := _CLOCK.fullmatch(str(excerpt)):
        hours, minutes, seconds = clock.groups("0")
        return 3600.0 * int(hours) + 60 * int(minutes) + float(seconds)
    try:
        start = float(str(excerpt).removesuffix("s"))
    except ValueError:
        start = math.nan
    if not 0 <= start < 1e9:
        hint = f"give {', '.join(words)}, or a time such as 90 (seconds) or 1:30"
        raise OptionError(f"--excerpt {excerpt} is no place in a song", hint)
    return start
