"""The captions that a model makes of a split, kept in a file that is resumed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recap_cli.captioning.caption_file import CaptionFile, Record, read_captions, why_not_resumed
from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError, ModelError
from recap_cli.files import cannot_write, hash_file
from recap_cli.outputs import file_stem, split_stem
from recap_cli.progress import Progress
from recap_cli.records import SCHEMA
from recap_cli.runtime.decoding import Decoded, DecodingOptions, generate_captions
from recap_cli.runtime.feature_cache import cache_features, cache_verses
from recap_cli.runtime.hub import EMBEDDED_MODEL, model_path


def captioned_songs(data: PreparedData, split: str) -> list[PreparedSong]:
    """Returns the songs of a split that have captions to compare with; those made of tags by templates are none.

    Raises:
        DataError: there are none.
    """
    songs = [
        entry for entry in map(without_made, data.split(split)) if any(one.text.strip() for one in entry.song.captions)
    ]
    if not songs:
        raise DataError(
            f"split {split!r} of {data.folder} has no captions to compare with", "choose another with --split"
        )
    return songs


def without_made(entry: PreparedSong) -> PreparedSong:
    """Returns a song with the captions that people wrote."""
    captions = tuple(one for one in entry.song.captions if not one.made)
    return (
        entry
        if len(captions) == len(entry.song.captions)
        else replace(entry, song=replace(entry.song, captions=captions))
    )


@dataclass(frozen=True)
class SplitFile:
    """Where a system's captions are kept, and what they are made with; see `CaptionFile`."""

    path: Path
    made_by: Record

    def drop_outdated(self, songs: Sequence[PreparedSong], progress: Progress) -> None:
        """Deletes captions that cannot be resumed, and says why: the folder is an evaluation's, so all are made anew.

        Raises:
            DataError: the disk refuses.
        """
        reason = why_not_resumed(self.path, self.made_by)
        if not reason and self.made_by["settings"]["sample"] and self.path.exists():
            # Words are drawn batch by batch: a part of the songs would go on with other random numbers.
            finished = read_captions(self.path).keys() >= {entry.song.id for entry in songs}
            reason = "" if finished else "it was interrupted, and words are drawn anew from the seed"
        if not reason:
            return
        progress.say(f"{self.path} is made anew: {reason}")
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def record(self, entry: PreparedSong, found: Decoded) -> Record:
        """Returns a song's line, which has the keys of `recap caption --out` and the references."""
        return {
            "id": entry.song.id,
            "audio": entry.song.audio or entry.song.id,
            "caption": found.captions[0],
            "captions": found.captions,
            "scores": [None if score is None else round(score, 4) for score in found.scores],
            **self.made_by,
            "warnings": [],
            "references": [caption.text for caption in entry.song.captions],
            "schema": SCHEMA,
        }


def caption_file(
    out: Path | None,
    name: str,
    run: Path | None,
    data: PreparedData,
    split: str,
    decoding: DecodingOptions,
    partners: Sequence[str] = (),
) -> SplitFile | None:
    """Returns the file of a system's captions in the folder `out`; None where no folder is named.

    Args:
        out: the folder.
        name: the system, such as the path of a run, or a control of it.
        run: the run's folder; None is the embedded model.
        data: the songs' folder.
        split: the songs' split.
        decoding: how captions are generated.
        partners: ids of the songs whose music or lyrics stand in for each song's own; other ones make other captions.
    """
    if out is None:
        return None
    settings = {**decoding.to_json(), "excerpt": "prepared", "data": data.fingerprint, "split": split}
    if decoding.sample:
        settings["drawn_by"] = decoding.batch_size  # drawn words do depend on the batch
    if partners:
        settings["partners"] = fingerprint(list(partners))
    weights = weights_fingerprint(EMBEDDED_MODEL if run is None else run)
    made_by = {"model": name, "weights": weights, "settings": settings}
    return SplitFile(out / f"{file_stem(name)}.{split_stem(split)}.jsonl", made_by)


def caption_split(
    captioner: Captioner,
    data: PreparedData,
    songs: Sequence[PreparedSong],
    decoding: DecodingOptions,
    progress: Progress,
    music: Mapping[str, np.ndarray] | ShardReader | None = None,
    file: SplitFile | None = None,
) -> list[str]:
    """Returns a caption for each prepared song, in order.

    Args:
        captioner: the model.
        data: the songs' folder.
        songs: the songs.
        decoding: how captions are generated.
        progress: where to report.
        music: music states by mel key; None takes the model's own of these songs.
        file: keeps the captions; songs that have one are not captioned again.

    Raises:
        ModelError: the model was trained on other audio settings.
        DataError: the file cannot be written.
    """
    captioner.check_audio(data)
    if file is None:
        found = generate_split(captioner, data, songs, decoding, progress, music)
        return [decoded.captions[0] for decoded in found]
    file.drop_outdated(songs, progress)
    with CaptionFile(file.path, file.made_by) as lines:
        captions = read_captions(file.path)
        lacking = [entry for entry in songs if entry.song.id not in captions]
        decodings = generate_split(captioner, data, lacking, decoding, progress, music) if lacking else ()
        for entry, decoded in zip(lacking, decodings, strict=True):
            lines.append(file.record(entry, decoded))
            captions[entry.song.id] = decoded.captions[0]
    return [captions[entry.song.id] for entry in songs]


def generate_split(
    captioner: Captioner,
    data: PreparedData,
    songs: Sequence[PreparedSong],
    decoding: DecodingOptions,
    progress: Progress,
    music: Mapping[str, np.ndarray] | ShardReader | None,
) -> Iterator[Decoded]:
    """Yields the captions of prepared songs, in order; see `caption_split`."""
    music = music_states(captioner, data, progress) if music is None else music
    verses = verse_states(captioner, data, songs, progress)
    dataset = SongDataset(songs, captioner.processor, music, per_caption=False, verses=verses)
    collate = SongCollator(captioner.processor, "states" if music is not None else "")
    batches = collate.batches(dataset, decoding.batch_size)
    progress.start(f"Captioning {len(songs)} songs", len(songs))
    for decoded in generate_captions(captioner.model, captioner.processor, batches, decoding):
        yield decoded
        progress.advance()
    progress.finish()


def music_states(captioner: Captioner, data: PreparedData, progress: Progress) -> ShardReader | None:
    """Returns the model's own music states of all songs of a folder; None for a model without music."""
    model = captioner.model
    if not model.config.use_music:
        return None
    return cache_features(data, model.model.encoder.music_encoder, progress, str(model.device))


def verse_states(
    captioner: Captioner, data: PreparedData, songs: Sequence[PreparedSong], progress: Progress
) -> ShardReader | None:
    """Returns the model's own states of the verses of songs; None where it reads lyrics anew each time."""
    model = captioner.model
    if not model.config.freeze_verses:
        return None
    tokens = (captioner.processor.encode_lyrics(entry.song.lyrics)[0] for entry in songs)
    return cache_verses(data.folder, model.model.encoder, tokens, progress, str(model.device))


def weights_fingerprint(run: Path) -> str:
    """Returns a fingerprint of a model, weights and settings; of a hub model, that of its snapshot.

    Raises:
        ModelError: there is nothing to name, or it cannot be read.
    """
    place = model_path(run)
    suffixes = (".safetensors", ".json", ".bin")
    files = [place] if place.is_file() else sorted(path for path in place.glob("*") if path.suffix in suffixes)
    if not files:
        raise ModelError(f"{run} holds no model", "name a run folder of recap train")
    try:
        return fingerprint([[path.name, hash_file(path)] for path in files])
    except OSError as error:
        raise ModelError(f"{run} cannot be read: {error}", "check its files") from error
