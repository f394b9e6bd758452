"""The captions that systems write for a split: generated once, saved as they come, taken up again after a stop."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.captioning.captioner import Captioner
from recap_cli.captioning.load_model import EMBEDDED_MODEL
from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.mel_cache import fingerprint, hash_file
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError, ModelError
from recap_cli.escaping import json_text
from recap_cli.evaluation.predictions import Prediction
from recap_cli.files import cannot_write, make_folder, open_to_append, write_json, write_json_lines
from recap_cli.outputs import file_stem, read_json, split_stem
from recap_cli.progress import Progress
from recap_cli.runtime.decoding import DecodingOptions, generate_captions
from recap_cli.runtime.hub import model_path
from recap_cli.runtime.music_cache import cache_features


@dataclass(frozen=True)
class SongSet:
    """The songs that captions are scored on.

    Attributes:
        ids: unique [songs].
        references: captions of each song [songs][references].
        lyrics: lyrics of each song [songs], None where they are not known.
        tags: on demo songs, the true attributes of each.
        unnamed: the file that the songs came from, where it has no ids and they are named by their places.
    """

    ids: list[str]
    references: Sequence[Sequence[str]]
    lyrics: list[str | None]
    tags: list[dict[str, str]]
    unnamed: Path | None = None

    def without(self, left_out: Collection[str]) -> "SongSet":
        """Returns the other songs.

        Raises:
            DataError: there are none.
        """
        kept = [place for place, song in enumerate(self.ids) if song not in left_out]
        if not kept:
            raise DataError("all songs to score failed when they were captioned", "caption them again")
        return replace(
            self,
            ids=[self.ids[place] for place in kept],
            references=[self.references[place] for place in kept],
            lyrics=[self.lyrics[place] for place in kept],
            tags=[self.tags[place] for place in kept] if self.tags else [],
        )

    @classmethod
    def from_prepared(cls, songs: Sequence[PreparedSong], is_demo: bool) -> "SongSet":
        """Take the songs of a split."""
        return cls(
            [entry.song.id for entry in songs],
            [[caption.text for caption in entry.song.captions] for entry in songs],
            [entry.song.lyrics for entry in songs],
            [entry.song.tags for entry in songs] if is_demo else [],
        )

    @classmethod
    def from_predictions(cls, path: Path, rows: Sequence[Prediction]) -> "SongSet":
        """Take the songs of a file of captions; rows without ids are named by their places.

        Raises:
            DataError: the file has no references.
        """
        rows = [row for row in rows if not row.error] or list(rows)
        if not rows[0].references:
            raise DataError(f"{path} has no references to compare with", "add a column reference, or name --data")
        return cls(
            [row.id or row.place for row in rows],
            [row.references for row in rows],
            [row.lyrics for row in rows],
            [],
            None if rows[0].id else path,
        )


def captioned_songs(data: PreparedData, split: str) -> list[PreparedSong]:
    """Give the songs of a split that have captions to compare with.

    Raises:
        DataError: there are none.
    """
    songs = [entry for entry in data.split(split) if any(one.text.strip() for one in entry.song.captions)]
    if not songs:
        raise DataError(
            f"split {split!r} of {data.folder} has no captions to compare with", "choose another with --split"
        )
    return songs


@dataclass(frozen=True)
class CaptionFile:
    """Where a system's captions are kept, and what they were made with.

    Attributes:
        path: JSON lines, one a song.
        made: what decides the captions; captions made with anything else are written anew.
    """

    path: Path
    made: dict[str, Any]

    @property
    def partial(self) -> Path:
        """The file while it grows."""
        return self.path.with_name(self.path.name + ".partial")

    @property
    def note(self) -> Path:
        """The file that says how the captions were made."""
        return self.path.with_name(self.path.stem + ".made.json")

    def read(self, songs: Sequence[PreparedSong]) -> list[str]:
        """Give the captions that are there already: the first ones of the songs, in order.

        A torn line ends them. Anything that was made in another way is taken away.

        Raises:
            DataError: the folder cannot be written.
        """
        if read_json(self.note) != self.made:
            make_folder(self.path.parent)
            try:
                for path in (self.path, self.partial):
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(self.path, error) from error
            write_json(self.note, self.made)
        captions: list[str] = []
        for entry, record in zip(songs, self.records(), strict=False):
            if record.get("song") != entry.song.id or not isinstance(record.get("prediction"), str):
                break
            captions.append(record["prediction"])
        return captions

    def records(self) -> Iterator[dict[str, Any]]:
        """Give the rows of the finished file, or else those of the growing one, as far as they are whole."""
        path = self.path if self.path.is_file() else self.partial
        for line in path.read_bytes().split(b"\n") if path.is_file() else []:
            try:
                record = json.loads(line)
            except ValueError:
                return
            if not isinstance(record, dict):
                return
            yield record

    def write(self, songs: Sequence[PreparedSong], done: Sequence[str], more: Iterable[str]) -> Iterator[str]:
        """Pass captions on, each written as it comes; the file gets its name when all songs have one.

        Args:
            songs: the songs, in order.
            done: captions of the first songs.
            more: captions of the others.

        Raises:
            DataError: the file cannot be written.
        """

        def row(entry: PreparedSong, text: str) -> dict[str, Any]:
            references = [caption.text for caption in entry.song.captions]
            return {"song": entry.song.id, "prediction": text, "references": references}

        write_json_lines(self.partial, (row(entry, text) for entry, text in zip(songs, done, strict=False)))
        try:
            with open_to_append(self.partial) as lines:
                for entry, text in zip(songs[len(done) :], more, strict=True):
                    lines.write(json_text(row(entry, text)) + "\n")
                    yield text
            self.partial.replace(self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error


def caption_split(
    captioner: Captioner,
    data: PreparedData,
    songs: Sequence[PreparedSong],
    decoding: DecodingOptions,
    progress: Progress,
    music: Mapping[str, np.ndarray] | ShardReader | None = None,
    file: CaptionFile | None = None,
) -> list[str]:
    """Caption prepared songs, each once and in order.

    Args:
        captioner: the model.
        data: the songs' folder.
        songs: the songs.
        decoding: how captions are written.
        progress: where to report.
        music: music states by mel key; None takes the model's own of these songs.
        file: keeps the captions; those that are there are not written again.

    Raises:
        ModelError: the model heard its songs with other audio settings.
        DataError: the file cannot be written.
    """
    check_audio(captioner, data)
    done = file.read(songs) if file else []
    if len(done) == len(songs):
        return done
    # Taken up at a batch's start, so that batches are those of an uninterrupted run; drawn words are drawn anew.
    done = [] if decoding.sample else done[: len(done) // decoding.batch_size * decoding.batch_size]
    music = music_states(captioner, data, progress) if music is None else music
    dataset = SongDataset(songs[len(done) :], captioner.processor, music, per_caption=False)
    collate = SongCollator(captioner.processor, "states" if music is not None else "")
    batches = collate.batches(dataset, decoding.batch_size)
    written = generate_captions(captioner.model, captioner.processor, batches, decoding)
    texts: Iterator[str] = (text.captions[0] for text in written)
    progress.start(f"Captioning {len(songs)} songs", len(songs))
    progress.advance(len(done))
    captions = list(done)
    for text in file.write(songs, done, texts) if file else texts:
        captions.append(text)
        progress.advance()
    progress.finish()
    return captions


def check_audio(captioner: Captioner, data: PreparedData) -> None:
    """Refuse data that were heard in another way than the model's.

    Raises:
        ModelError: they were.
    """
    if captioner.processor.audio != data.audio and captioner.model.config.use_music:
        raise ModelError(
            f"{captioner.name} was trained on audio prepared in another way than {data.folder}",
            "prepare the data with the model's settings, see recap_processor.json",
        )


def music_states(captioner: Captioner, data: PreparedData, progress: Progress) -> ShardReader | None:
    """Give the model's own music states of all songs of a folder; None where it does not listen."""
    model = captioner.model
    if not model.config.use_music:
        return None
    return cache_features(data, model.model.encoder.music_encoder, progress, str(model.device))


def caption_file(
    out: Path | None, name: str, run: Path | None, data: PreparedData, split: str, decoding: DecodingOptions
) -> CaptionFile | None:
    """Name the file of a system's captions; None where no folder is named.

    Args:
        out: the folder.
        name: the system, such as the path of a run, or a control of it.
        run: the run's folder; None is the embedded model.
        data: the songs' folder.
        split: the songs' split.
        decoding: how captions are written.
    """
    if out is None:
        return None
    made = {
        "system": name,
        "weights": weights_fingerprint(EMBEDDED_MODEL if run is None else run),
        "data": data.fingerprint,
        "split": split,
        "decoding": decoding.to_json(),
    }
    return CaptionFile(out / f"{file_stem(name)}.{split_stem(split)}.jsonl", made)


def weights_fingerprint(run: Path) -> str:
    """Name the content of a model, weights and settings; of a hub model, that of its snapshot.

    Raises:
        ModelError: there is nothing to name.
    """
    place = model_path(run)
    suffixes = (".safetensors", ".json", ".bin")
    files = [place] if place.is_file() else sorted(path for path in place.glob("*") if path.suffix in suffixes)
    if not files:
        raise ModelError(f"{run} holds no model", "name a run folder of recap train")
    return fingerprint([[path.name, hash_file(path)] for path in files])


def find_failed(path: Path, rows: Sequence[Prediction], progress: Progress) -> set[str]:
    """Returns the ids of songs that `recap caption` could not caption, and says how many there are.

    Raises:
        DataError: such a row has no id, so that nobody can tell which song it was.
    """
    failed = [row for row in rows if row.error]
    if not failed:
        return set()
    first = failed[0]
    if not first.id:
        raise DataError(f"{path}, {first.place}: a song without an id failed: {first.error}", "caption it again")
    progress.say(
        f"{path}: {len(failed)} of {len(rows)} songs failed when they were captioned and are left out for all systems, "
        f"such as {first.id}: {first.error}"
    )
    return {row.id for row in failed}


def match_predictions(
    path: Path, rows: Sequence[Prediction], songs: SongSet, progress: Progress, limit: int | None = None
) -> list[str]:
    """Puts the captions of a file in the order of the songs.

    Args:
        path: the file, for messages.
        rows: what it holds.
        songs: the songs.
        progress: where to report.
        limit: where rows have no ids, only so many of them stand for songs.

    Raises:
        DataError: the file has other songs, or other references and no ids.
    """
    if not rows[0].id:
        rows = rows[:limit]
        match_by_place(path, rows, songs)
        return [row.prediction for row in rows]
    if songs.unnamed is not None:
        hint = "add a column song with the songs' ids, or leave them out in all files"
        raise DataError(f"{songs.unnamed} has no ids, so its songs cannot be found in {path}", hint)
    by_id = {row.id: row for row in rows}
    lacking = [song for song in songs.ids if song not in by_id]
    if lacking:
        raise DataError(
            f"{path} lacks {len(lacking)} of the {len(songs.ids)} songs, such as {lacking[0]}",
            "give a row for each song, or choose the songs with --split and --limit",
        )
    if others := sum(not row.error for row in rows) - len(songs.ids):
        progress.say(f"{path}: {others} rows belong to other songs and are left out.")
    texts = zip(songs.ids, songs.references, strict=True)
    if others := sum(not set(by_id[song].references) <= set(references) for song, references in texts):
        progress.say(f"{path} has other references for {others} songs; all systems are scored on the same, not these")
    return [by_id[song].prediction for song in songs.ids]


def match_by_place(path: Path, rows: Sequence[Prediction], songs: SongSet) -> None:
    """Checks that rows without ids are the songs, one by one: their references tell.

    Raises:
        DataError: they are not, or nothing tells.
    """
    hint = "add a column song with the songs' ids"
    if not rows[0].references:
        raise DataError(f"{path} has no ids, and no references that would tell its songs", hint)
    if len(rows) != len(songs.ids):
        raise DataError(f"{path} has no ids, and {len(rows)} rows for {len(songs.ids)} songs", hint)
    for row, references in zip(rows, songs.references, strict=True):
        if list(row.references) != list(references):
            raise DataError(
                f"{path} has no ids, and the references in {row.place} are not those of the song in its place", hint
            )
