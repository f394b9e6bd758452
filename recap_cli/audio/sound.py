"""Sound files as sources of samples: as libsndfile reads them, or the parts that they are really made of, in order."""

import io
import os
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import soundfile

from recap_cli.audio.chunks import Pieces
from recap_cli.audio.ffmpeg import UNPLAYABLE, FfmpegReader, ffmpeg_is_there, is_for_ffmpeg
from recap_cli.audio.lengths import find_layout
from recap_cli.audio.settings import NATIVE_SUFFIXES, SOURCE_RATES
from recap_cli.errors import AudioError, MachineError

REFUSED = (soundfile.SoundFileError, TypeError)  # TypeError: a .raw file, which says nothing about itself
UNKNOWN_FRAMES = 2**40  # a header that claims this much does not know its length
BLOCK_FRAMES = 8192  # libsndfile drops the whole block around a damaged FLAC frame, so blocks are small
MOST_ZEROS = 1 << 16  # bytes at a file's beginning; libsndfile gives up after as many, too
SYSTEM_ERROR = 2  # libsndfile's code where the system refuses
NONE = np.zeros((0, 1), np.float32)
STRETCH = 4  # seconds that are brought to another rate at once, with a second before and after


Reader = TypeVar("Reader", "AudioReader", FfmpegReader)


class Source(Protocol):
    """What samples are read from, in order."""

    @property
    def samplerate(self) -> int:
        """Hz."""

    @property
    def channels(self) -> int:
        """Channels of every block."""

    def read_block(self, frames: int) -> np.ndarray:
        """Returns the next frames, float32 [frames, channels]; fewer or none at the end."""


def check_file(path: Path) -> None:
    """Refuses what no decoder should be handed: missing, not a regular file, unreadable, empty, zeros.

    Raises:
        AudioError: the song's fault.
        MachineError: there is a file, but it may not be read.
    """
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", error)
        kind = MachineError if isinstance(error, PermissionError) else AudioError
        raise kind(f"{path} cannot be opened: {reason}", "Check the path of the audio file.") from error
    if not path.is_file():
        raise AudioError(f"{path} is a {'folder' if path.is_dir() else 'device'}, not an audio file", "name a file")
    if not os.access(path, os.R_OK):
        raise MachineError(f"{path} may not be read", "check the file's permissions")
    if not size:
        raise AudioError(f"{path} is empty (0 bytes)", "fetch the file again")
    if not _begins(path):
        raise AudioError(f"{path} begins with nothing but zeros, as no audio file does", "fetch the file again")


def _begins(path: Path) -> bool:
    """Whether there is anything but zeros where a file begins; decoders search a sparse file of zeros for minutes."""
    try:
        with path.open("rb") as file:
            return any(file.read(16)) or any(file.read(MOST_ZEROS))
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror or error}", "try again later") from error


@dataclass(frozen=True)
class Opened:
    """A source, and the frames that the file's header promises, 0 where it promises none."""

    source: Source
    promised: int


@contextmanager
def open_in_order(path: Path, seconds: float | None = None) -> Iterator[Opened]:
    """Opens a file that `check_file` has seen, to be read to its real end, whatever its header says of its length.

    After N `seconds` nothing is wanted any more.

    Raises:
        AudioError: it is no audio, or claims a sample rate that no sound has.
        MachineError: the system refuses to open it, or it needs ffmpeg, which is not installed.
    """
    with ExitStack() as stack:
        try:
            reader: AudioReader = stack.enter_context(open_file(path, path))
            claimed = reader.frames
        except REFUSED as error:
            refused = _open_refused(path, seconds, error)
            stack.push(refused)
            yield Opened(refused, 0)
            return
        layout = find_layout(path, claimed)
        promised = 0 if layout.promised >= UNKNOWN_FRAMES else layout.promised
        yield Opened(stack.enter_context(_PartsReader(path, layout.parts)) if layout.parts else reader, promised)


def _open_refused(path: Path, seconds: float | None, error: Exception) -> "_PartsReader | FfmpegReader":
    """Opens a file that libsndfile does not know: an mp3 behind junk, or what ffmpeg decodes."""
    if not is_for_ffmpeg(path):
        if parts := find_layout(path, 0).parts:
            with suppress(AudioError):
                return _PartsReader(path, parts)
        if path.suffix.lower() in NATIVE_SUFFIXES and not ffmpeg_is_there():
            raise AudioError(f"{path} is not audio that can be decoded", UNPLAYABLE) from error
    return _checked(FfmpegReader(path, seconds), path)


class _Silence:
    """Drops what libmpg123, inside libsndfile, prints to stderr of odd files: no setting of theirs keeps it from that.

    The stream belongs to all threads: the first that decodes turns it away, the last turns it back.
    """

    def __init__(self) -> None:
        self.lock, self.count, self.kept = threading.Lock(), 0, -1

    def __enter__(self) -> None:
        with self.lock:
            self.count += 1
            if self.count == 1:
                with suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123  stderr may be closed
                    self.kept = os.dup(2)
                    os.dup2(nowhere.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.count -= 1
            if not self.count and self.kept >= 0:
                os.dup2(self.kept, 2)
                os.close(self.kept)
                self.kept = -1


silence = _Silence()


class AudioReader(soundfile.SoundFile):
    """A sound file that is read in order."""

    def seekable(self) -> bool:
        """Denies it: soundfile would seek after every read, which mutes MP3 frames and fails at a damaged end."""
        return False

    def read_block(self, frames: int) -> np.ndarray:
        """Returns the next frames, float32 [frames, channels]; none at the end or the first damage."""
        with suppress(soundfile.SoundFileError), silence if self.format == "MP3" else nullcontext():
            return self.read(min(BLOCK_FRAMES, frames), dtype="float32", always_2d=True)
        return np.zeros((0, self.channels), np.float32)


def open_file(source: "Path | _View", path: Path) -> AudioReader:
    """Opens a sound file, or a view of one, as libsndfile reads it; messages call it `path`.

    Raises:
        SoundFileError, TypeError: libsndfile does not know it, see `REFUSED`.
        MachineError: the system refuses to open it.
        AudioError: it claims a sample rate that no sound has.
    """
    try:
        # As bytes: soundfile refuses names that are no UTF-8, which file systems allow.
        with silence:
            reader = AudioReader(os.fsencode(source) if isinstance(source, Path) else source)
    except soundfile.LibsndfileError as error:
        if error.code == SYSTEM_ERROR:
            raise MachineError(f"{path} cannot be opened: {_reason_of(path)}", "try again later") from error
        raise
    return _checked(reader, path)


def _checked(reader: Reader, path: Path) -> Reader:
    """Returns a reader whose sample rate can be true."""
    if not SOURCE_RATES[0] <= reader.samplerate <= SOURCE_RATES[1]:
        reader.close()
        raise AudioError(f"{path} claims a sample rate of {reader.samplerate} Hz", "is it damaged?")
    return reader


def _reason_of(path: Path) -> str:
    """Returns why the system does not open a file, which libsndfile does not say."""
    try:
        path.open("rb").close()
    except OSError as error:
        return error.strerror or str(error)
    return "the system refused"


class _View(io.RawIOBase):
    """A file with parts replaced, as libsndfile shall see it."""

    def __init__(self, path: Path, pieces: Pieces) -> None:
        self.file = path.open("rb")
        self.pieces = [piece for piece in pieces if isinstance(piece, bytes) or piece[0] < piece[1]]
        lengths = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in self.pieces]
        self.ends = list(accumulate(lengths))
        self.place = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self.place, self.ends[-1])[whence]
        self.place = max(0, base + offset)
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer from the place on; returns how many bytes it got, fewer than it holds at the end only."""
        content = self._take(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _take(self, wanted: int) -> bytes:
        found = []
        while wanted > 0 and self.place < self.ends[-1]:
            number = bisect_right(self.ends, self.place)
            piece, left = self.pieces[number], min(wanted, self.ends[number] - self.place)
            if isinstance(piece, bytes):
                start = len(piece) - (self.ends[number] - self.place)
                content = piece[start : start + left]
            else:
                self.file.seek(piece[1] - (self.ends[number] - self.place))
                content = self.file.read(left)
            if not content:  # the file was cut meanwhile
                break
            found.append(content)
            self.place, wanted = self.place + len(content), wanted - len(content)
        return b"".join(found)

    def close(self) -> None:
        self.file.close()
        super().close()


class _PartsReader:
    """The parts of a file, one after the other, at the rate and with the channels of the first that can be read.

    An AudioError where none can be read.
    """

    def __init__(self, path: Path, parts: Sequence[Pieces]) -> None:
        self.path, self.parts = path, deque(parts)
        self.samplerate, self.channels = 0, 0
        self.blocks: Iterator[np.ndarray] = iter(())
        self.rest = self._next_block()
        if not self.samplerate:
            raise AudioError(f"{path} is not audio that can be decoded", UNPLAYABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.parts.clear()
        self.blocks = iter(())

    def read_block(self, frames: int) -> np.ndarray:
        """Returns the next frames, float32 [frames, channels]; none at the end."""
        if not len(self.rest):
            self.rest = self._next_block()
        block, self.rest = self.rest[:frames], self.rest[frames:]
        return block

    def _next_block(self) -> np.ndarray:
        """Returns the next block of this part or of those after it; an empty one at the end of the last."""
        while (block := next(self.blocks, None)) is None:
            if not self.parts:
                return np.zeros((0, self.channels), np.float32)
            self.blocks = self._part_blocks(self.parts.popleft())
        return block

    def _part_blocks(self, pieces: Pieces) -> Iterator[np.ndarray]:
        """Yields a part's blocks; a part that cannot be read has none."""
        with suppress(*REFUSED), _View(self.path, pieces) as view, open_file(view, self.path) as reader:
            self.samplerate, self.channels = self.samplerate or reader.samplerate, self.channels or reader.channels
            blocks = read_blocks(reader, UNKNOWN_FRAMES)
            if reader.samplerate != self.samplerate:
                blocks = _at_rate(blocks, reader.samplerate, self.samplerate)
            for block in blocks:
                if reader.channels != self.channels:
                    block = np.repeat(block.mean(axis=1, keepdims=True), self.channels, axis=1)
                yield block


def read_blocks(source: Source, frames: int) -> Iterator[np.ndarray]:
    """Yields N frames in blocks of float32 [frames, channels]; the source's end ends them."""
    while frames > 0 and len(block := source.read_block(min(BLOCK_FRAMES, frames))):
        frames -= len(block)
        yield block


def _at_rate(blocks: Iterator[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    """Yields blocks brought to another rate, some seconds at a time, each with a second before and after it."""
    import resampy

    pending, before = [next(blocks, np.zeros((0, 1), np.float32))], 0
    while True:
        while (length := sum(map(len, pending))) < before + (STRETCH + 1) * rate and len(block := next(blocks, NONE)):
            pending.append(block)
        samples, ended = np.concatenate(pending), length < before + (STRETCH + 1) * rate
        if len(samples) * wanted < rate:
            return
        changed = resampy.resample(samples, rate, wanted, axis=0)[before // rate * wanted :]
        yield changed if ended else changed[: STRETCH * wanted]
        if ended:
            return
        pending, before = [samples[before + (STRETCH - 1) * rate :]], rate
