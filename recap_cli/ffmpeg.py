"""Formats that libsndfile does not know, such as m4a: ffmpeg makes a WAV of them where it is installed."""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL

from recap_cli.errors import AudioError

TIMEOUT = 60.0  # seconds
SPAN = 1800.0  # seconds from the start of a file that are decoded at most
LARGEST = 2**30  # bytes
UNPLAYABLE = "Is it damaged? Try to play it."


@contextmanager
def wav_by_ffmpeg(path: Path, end: float | None = None) -> Iterator[Path]:
    """Give a WAV of a file's first `end` seconds, half an hour at most, at its own rate and channels.

    Raises:
        AudioError: ffmpeg is not installed, takes too long, or cannot decode the file.
    """
    if (program := shutil.which("ffmpeg")) is None:
        hint = f"Install it, or convert the file where it is: {conversion(path)}"
        raise AudioError(f"{path}: this format needs ffmpeg, which is not installed", hint)
    command = [program, "-nostdin", "-v", "quiet", "-protocol_whitelist", "file,pipe", "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-t", f"{min(end or SPAN, SPAN):.3f}", "-c:a", "pcm_f32le"]
    command += ["-fs", str(LARGEST), "-f", "wav", "pipe:1"]
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        try:
            subprocess.run(command, check=True, timeout=TIMEOUT, stdin=DEVNULL, stdout=wav, stderr=DEVNULL)
        except subprocess.TimeoutExpired as error:
            message = f"{path}: ffmpeg took over {TIMEOUT:g} s"
            raise AudioError(message, f"Convert it first: {conversion(path)}") from error
        except (OSError, subprocess.CalledProcessError) as error:
            raise AudioError(f"{path} is not audio that can be decoded", UNPLAYABLE) from error
        yield Path(wav.name)


def ffmpeg_is_there() -> bool:
    """Whether ffmpeg is installed."""
    return shutil.which("ffmpeg") is not None


def conversion(path: Path) -> str:
    """Give the command that makes a WAV, safe to paste into a shell."""
    names = (str(path), str(path.with_suffix(".wav")))
    quoted = (shlex.quote(name) if set(name) & set('"$`\\!') else f'"{name}"' for name in names)
    return "ffmpeg -i {} {}".format(*quoted)
