"""The records of a data folder: songs, captions and what was rejected; `dataset.json` comes last."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from recap_cli import __version__
from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.data_folder import DATASET_FILE, RECORDS
from recap_cli.corpus.shards import ShardReader, own_shards, read_shapes
from recap_cli.corpus.song import Rejected, caption_to_json, song_to_json
from recap_cli.corpus.splits import ListedSong
from recap_cli.escaping import json_text
from recap_cli.files import open_atomically
from recap_cli.preparation.options import PrepareOptions
from recap_cli.settings import Slice

Record = dict[str, Any]  # as JSON takes it
MOST_REASONS = 1000


def folder_record(options: PrepareOptions, layout: str, splits: dict[str, int]) -> Record:
    """Returns what the `dataset.json` of any corpus begins with."""
    return {
        "recap": __version__,
        "source": str(options.source or layout),
        "layout": layout,
        "audio": options.settings.to_json(),
        "excerpt": options.excerpt,
        "precision": options.precision,
        "seed": options.seed,
        "options": options.texts,
        "splits": splits,
    }


def song_record(listed: ListedSong, audio: AudioSettings) -> Record:
    """Returns a song's line of `songs.jsonl`."""
    seconds = round((listed.frames - 1) * audio.hop / audio.sample_rate, 3)
    return {"song": {**song_to_json(listed.song), "split": listed.split}, "mel": listed.mel, "seconds": seconds}


def write_records(
    songs: list[ListedSong], rejected: list[Rejected], folder: Path, part: Slice, audio: AudioSettings, info: Record
) -> None:
    """Writes a folder's or a slice's records, `info` with their fingerprint last.

    All files are written before the first takes its place, so an older state stays whole until then.

    Raises:
        DataError: the disk refuses.
    """
    # The name of `fingerprint([songs, captions, audio])`, without a text of the whole corpus in memory.
    digest = hashlib.sha256(b"[")

    def write(file: IO[str], records: Iterable[Record]) -> None:
        digest.update(b"[")
        for number, record in enumerate(records):
            file.write(json_text(record) + "\n")
            digest.update(b", " * (number > 0) + canonical(record))
        digest.update(b"], ")

    with ExitStack() as opened:
        # They take their places in the reverse order: `dataset.json`, which makes a folder whole, comes last.
        dataset, *files = (
            opened.enter_context(open_atomically(part.file(folder, file), label=part.label))
            for file in (DATASET_FILE, *RECORDS)
        )
        write(files[0], (song_record(one, audio) for one in songs))
        write(files[1], (caption_to_json(one.song.id, caption) for one in songs for caption in one.captions))
        files[2].writelines(json_text(one) + "\n" for one in map(rejected_record, rejected))
        digest.update(canonical(audio.to_json()) + b"]")
        dataset.write(json_text({**info, "fingerprint": digest.hexdigest()[:16]}, indent=2) + "\n")
        for file in (*files, dataset):
            file.flush()
            os.fsync(file.fileno())
        part.file(folder, DATASET_FILE).unlink(missing_ok=True)
        (folder / DATASET_FILE).unlink(missing_ok=True)  # a folder of slices is not whole


def rejected_record(entry: Rejected) -> Record:
    """Returns what is kept of a song that cannot be used."""
    return {"id": entry.song, "file": entry.file, "reason": entry.reason}


def canonical(value: Record) -> bytes:
    """Returns a value as JSON that depends on nothing but the value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def count_reasons(rejected: Iterable[Rejected]) -> dict[str, int]:
    """Returns why songs were rejected, most frequent first; the song's own file is left out of its reason."""
    counts: Counter[str] = Counter()
    for entry in rejected:
        reason = entry.reason
        for path in (entry.file, entry.file.rpartition(".")[0]):
            if len(path) > 1:
                reason = reason.replace(f" {path}", "").replace(f"{path} ", "").replace(path, "")
        counts[reason if reason in counts or len(counts) < MOST_REASONS else "other reasons"] += 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def drop_orphans(folder: Path, base: tuple[str, ...], used: set[str]) -> None:
    """Deletes shards of an interrupted run all of whose mels stand in others, too.

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
