"""Formats that libsndfile does not know, such as m4a: ffmpeg decodes them where it is installed, through a pipe."""

import shlex
import shutil
import struct
import subprocess
from pathlib import Path
from subprocess import DEVNULL, PIPE
from threading import Timer
from time import monotonic
from typing import Self

import numpy as np

from recap_cli.errors import AudioError, MachineError

TIMEOUT = 60.0  # seconds that we wait for ffmpeg in all, while it decodes one file
PROCESSOR_SECONDS = 600  # after which ffmpeg ends by itself, even where nobody waits any more
LARGEST = 2**34  # bytes that one run may give
MEMORY = 2**28  # bytes of one allocation within ffmpeg
AT_ONCE = 1 << 20  # bytes
UNPLAYABLE = "Is it damaged? Try to play it."

# Containers that hold sound and nothing but it: no playlist, no list of files, no pictures, no device.
DEMUXERS = (
    "aa,aac,ac3,adx,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,gsm,iff,ircam,loas,"
    "matroska,webm,mlp,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,nut,ogg,oma,qcp,rm,shn,sln,sox,tak,truehd,"
    "tta,voc,vqf,w64,wav,wsd,wv,xa,xwma"
)
# How files begin that libsndfile does not read and ffmpeg does: offset and bytes.
BEGINNINGS = (
    *((4, name) for name in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")),
    *((0, name) for name in (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75", b"wvpk", b"MAC ", b"TTA1", b"TTA2", b"MPCK")),
    *((0, name) for name in (b"MP+", b"DSD ", b"FRM8", b"ADIF", b"FLV\1", b"#!AMR", b".RMF", b".ra\xfd")),
    *(
        (0, name)
        for name in (b"tBaK", b"ajkg", b"\x0b\x77", b"\x7f\xfe\x80\x01", b"\0\0\1\xba", b"OMA", b"ea3", b"TWIN")
    ),
    *((0, name) for name in (b"\xff\xf1", b"\xff\xf9", b"\xff\xf0", b"\xff\xf8", b"\x56\xe0", b"NUT", b"RIFX")),
    *((8, name) for name in (b"AVI ", b"XWMA", b"AIFC", b"QLCM")),
    (28, b"Speex   "),
)
SOUNDFILE_CODECS = (1, 2, 3, 6, 7, 0x11, 0x31, 0x40, 0xFFFE)  # of WAV, that libsndfile decodes


class FfmpegReader:
    """What ffmpeg decodes of a file, from its start, at its own rate and channels.

    Samples come through a pipe, so neither disk nor memory holds more than a block. ffmpeg is allowed this one file,
    and no format that names others; it stops after N `seconds`, None goes on to the end.

    Raises:
        AudioError: ffmpeg takes too long, or cannot decode the file.
        MachineError: ffmpeg is not installed, or cannot be started.
    """

    def __init__(self, path: Path, seconds: float | None = None) -> None:
        self.path, self.late, self.waited, self.pending = path, False, 0.0, b""
        try:
            self.process = subprocess.Popen(_command_for(path, seconds), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
        except OSError as error:
            message = f"{path}: ffmpeg could not be started: {error.strerror or error}"
            raise MachineError(message, "does it run by itself, and is there memory left?") from error
        try:
            self.samplerate, self.channels = self._read_header()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends ffmpeg where it has not ended."""
        self.process.kill()
        if self.process.stdout:
            self.process.stdout.close()
        self.process.wait()

    def _read_header(self) -> tuple[int, int]:
        """Returns the rate and the channels that the AU header says."""
        head = self._take(24)
        magic, offset, _, _, rate, channels = struct.unpack(">4sIIIII", head.ljust(24, b"\0"))
        if len(head) < 24 or magic != b".snd" or not 24 <= offset <= AT_ONCE or not 0 < channels <= 1024:
            raise AudioError(f"{self.path} is not audio that can be decoded", UNPLAYABLE)
        self._take(offset - 24)
        return rate, channels

    def read_block(self, frames: int) -> np.ndarray:
        """Returns the next frames, float32 [frames, channels]; none at the end."""
        width = 4 * self.channels
        content = self._take(frames * width)
        whole = len(content) // width * width
        return np.frombuffer(content[:whole], ">f4").astype(np.float32).reshape(-1, self.channels)

    def _take(self, size: int) -> bytes:
        """Returns N bytes, fewer at the end only."""
        while len(self.pending) < size:
            content = self._wait_for(AT_ONCE)
            if not content:
                break
            self.pending += content
        content, self.pending = self.pending[:size], self.pending[size:]
        return content

    def _wait_for(self, size: int) -> bytes:
        """Returns what comes next; ffmpeg is killed when we have waited for too long in all."""
        assert self.process.stdout is not None
        began, timer = monotonic(), Timer(max(0.0, TIMEOUT - self.waited), self._give_up)
        timer.daemon = True
        timer.start()
        try:
            content = self.process.stdout.read1(size)  # type: ignore[attr-defined]  # a BufferedReader
        finally:
            timer.cancel()
            self.waited += monotonic() - began
        if self.late:
            hint = f"Convert it first: {_conversion(self.path)}"
            raise AudioError(f"{self.path}: ffmpeg took over {TIMEOUT:g} s", hint)
        return bytes(content)

    def _give_up(self) -> None:
        self.late = True
        self.process.kill()  # which ends the reading of its pipe


def _command_for(path: Path, seconds: float | None) -> list[str]:
    if (program := shutil.which("ffmpeg")) is None:
        hint = f"Install it, or convert the file where it is: {_conversion(path)}"
        raise MachineError(f"{path}: this format needs ffmpeg, which is not installed", hint)
    command = [program, "-nostdin", "-v", "quiet", "-max_alloc", str(MEMORY), "-timelimit", str(PROCESSOR_SECONDS)]
    command += ["-protocol_whitelist", "file", "-format_whitelist", DEMUXERS, "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1"]
    command += [] if seconds is None else ["-t", f"{seconds:.3f}"]
    return [*command, "-c:a", "pcm_f32be", "-fs", str(LARGEST), "-f", "au", "pipe:1"]


def ffmpeg_is_there() -> bool:
    """Whether ffmpeg is installed."""
    return shutil.which("ffmpeg") is not None


def is_for_ffmpeg(path: Path) -> bool:
    """Whether a file begins like a format that ffmpeg decodes and libsndfile does not, whatever its name says."""
    with path.open("rb") as file:
        head = file.read(64)
        if head[:3] == b"ID3":
            a, b, c, d = (byte & 0x7F for byte in head[6:10].ljust(4, b"\0"))
            file.seek(10 + (a << 21 | b << 14 | c << 7 | d))
            head = file.read(64)
    if head[8:12] == b"WAVE" and head[12:16] == b"fmt ":
        return struct.unpack_from("<H", head.ljust(64, b"\0"), 20)[0] not in SOUNDFILE_CODECS
    transport = head[:1] == b"\x47" and path.stat().st_size % 188 == 0
    return transport or any(head[offset : offset + len(name)] == name for offset, name in BEGINNINGS)


def _conversion(path: Path) -> str:
    """Returns the command that makes a WAV, safe to paste into a shell."""
    names = (str(path), str(path.with_suffix(".wav")))
    quoted = (shlex.quote(name) if set(name) & set('"$`\\!') else f'"{name}"' for name in names)
    return "ffmpeg -i {} {}".format(*quoted)
