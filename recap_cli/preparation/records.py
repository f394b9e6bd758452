"""The records of a data folder: songs, captions and what was rejected; `dataset.json` comes last."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.catalogue import Catalogue, caption_record
from recap_cli.corpus.data_folder import DATASET_FILE, RECORDS, Slice
from recap_cli.corpus.shards import ShardReader, own_shards, read_shapes
from recap_cli.corpus.song import Rejected, song_to_json
from recap_cli.escaping import json_text
from recap_cli.files import open_atomically

Record = dict[str, Any]


class Fingerprint:
    """Names content that never stands in memory as a whole: `fingerprint` of a list of lists, value by value."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256(b"[")
        self.between = b""

    def add(self, value: Any) -> None:
        """Add a value of the outer list."""
        self.digest.update(self.between + canonical(value))
        self.between = b", "

    def add_list(self, values: Iterator[Any]) -> None:
        """Add a list of values."""
        self.digest.update(self.between + b"[")
        self.between = b""
        for value in values:
            self.add(value)
        self.digest.update(b"]")
        self.between = b", "

    def name(self) -> str:
        """Give the name."""
        closed = self.digest.copy()
        closed.update(b"]")
        return closed.hexdigest()[:16]


def canonical(value: Any) -> bytes:
    """Write a value as JSON that depends on nothing but the value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def write_records(catalogue: Catalogue, folder: Path, part: Slice, audio: AudioSettings, info: Record) -> Record:
    """Write a folder's or a slice's records; give what was written to `dataset.json`.

    All files are written before the first takes its place, so an older state stays whole until then.

    Raises:
        DataError: the disk refuses.
    """
    name = Fingerprint()

    def seconds(frames: int) -> float:
        return round((frames - 1) * audio.hop / audio.sample_rate, 3)

    songs = (
        {"song": song_to_json(song), "mel": mel, "seconds": seconds(frames)}
        for _, song, mel, frames in catalogue.prepared()
    )
    captions = (caption_record(*row) for row in catalogue.captions())
    rejected = (vars(entry) for entry in catalogue.rejected())
    with ExitStack() as opened:
        # They take their places in the reverse order: `dataset.json`, which makes a folder whole, comes last.
        dataset, *files = (
            opened.enter_context(open_atomically(part.file(folder, file), label=part.label))
            for file in (DATASET_FILE, *RECORDS)
        )
        name.add_list(written(files[0], songs))
        name.add_list(written(files[1], captions))
        name.add(audio.to_json())
        for _ in written(files[2], rejected):
            pass
        info = {**info, "fingerprint": name.name()}
        dataset.write(json_text(info, indent=2) + "\n")
        for file in (*files, dataset):
            file.flush()
            os.fsync(file.fileno())
        part.file(folder, DATASET_FILE).unlink(missing_ok=True)
        (folder / DATASET_FILE).unlink(missing_ok=True)  # a folder of slices is not whole
    return info


def written(file: IO[str], records: Iterator[Record]) -> Iterator[Record]:
    """Write records as JSON lines while they pass by."""
    for record in records:
        file.write(json_text(record) + "\n")
        yield record


def count_reasons(rejected: Iterator[Rejected], most: int = 1000) -> dict[str, int]:
    """Count why songs were rejected, most frequent first; the song's own file is left out of its reason."""
    counts: Counter[str] = Counter()
    for entry in rejected:
        reason = entry.reason
        for path in (entry.file, entry.file.rpartition(".")[0]):
            if len(path) > 1:
                reason = reason.replace(f" {path}", "").replace(f"{path} ", "").replace(path, "")
        counts[reason if reason in counts or len(counts) < most else "other reasons"] += 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def drop_orphans(folder: Path, base: tuple[str, ...], used: set[str]) -> None:
    """Delete shards of an interrupted run all of whose mels stand in others, too.

    Args:
        folder: the shards.
        base: names of shards that stay.
        used: names of shards that this run wrote or found.
    """
    stay = {*base, *used}
    loose = [path for path in own_shards(folder) if path.name not in stay]
    if not loose:
        return
    elsewhere = ShardReader(folder, sorted(name for name in stay if (folder / name).is_file()))
    for path in loose:
        if all(key in elsewhere for key in read_shapes(path)):
            path.unlink()
