"""The corpus of made-up songs from real lyrics and real music: `recap prepare --corpus real`."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recap_cli.audio.settings import MUSICNN_WINDOW
from recap_cli.corpus.data_folder import DATASET_FILE, STATES, end
from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.shards import ShardWriter, own_shards
from recap_cli.corpus.song import Caption, Song
from recap_cli.corpus.splits import ListedSong
from recap_cli.errors import DataError
from recap_cli.facts.theme_labels import keep_out
from recap_cli.files import make_folder
from recap_cli.model.musicnn import load_musicnn
from recap_cli.preparation.options import PrepareOptions
from recap_cli.preparation.records import Record, folder_record, write_records
from recap_cli.preparation.results import PrepareResult
from recap_cli.progress import Progress
from recap_cli.real.music_windows import TagMover, Track, read_tracks
from recap_cli.real.pairs import Pair, make_pairs
from recap_cli.real.song_lyrics import LyricsPool, cut_song, read_tracks_lyrics, split_songs
from recap_cli.real.verse_states import VerseReader
from recap_cli.runtime.hub import minilm_folder

MUSIC = "music"  # folder of the prepared music
RENDERED = 60  # songs of the demo corpus, whose music is among the real one
COUNTS = {"train": 16_000, "validation": 400, "test": 1_000}
TRACK_SHARES = {"validation": 0.1, "test": 0.1}  # of the tracks of music
LEAST_TRACKS = 10


@dataclass(frozen=True)
class Sources:
    """What made-up songs are made of, by split."""

    tracks: dict[str, list[Track]]
    lyrics: dict[str, LyricsPool]


def prepare_real(options: PrepareOptions, music: Sequence[Path], progress: Progress) -> PrepareResult:
    """Prepares the corpus from prepared folders of music.

    Raises:
        DataError: there are no lyrics or too little music, or the disk refuses.
    """
    began = time.monotonic()
    states = options.out / STATES
    make_folder(states)
    (options.out / DATASET_FILE).unlink(missing_ok=True)
    for path in own_shards(states):
        path.unlink()
    sources = read_sources(options, music, progress)
    writer, listed = ShardWriter(states), []
    counts = share_counts(options.limit)
    progress.start("Making songs", sum(counts.values()))
    for pair, split in all_pairs(sources, counts, options.seed):
        writer.add(pair.id, pair.states)
        listed.append(list_pair(pair, split))
        progress.advance()
    writer.close()
    progress.finish()
    splits = {split: count for split, count in sorted(counts.items()) if count}
    write_records(listed, [], options.out, options.slice, options.settings, describe(options, splits, sources))
    end(options.out, options.slice)
    seconds = sum(one.frames - 1 for one in listed) * options.settings.hop / options.settings.sample_rate
    return PrepareResult(
        out=options.out,
        songs=len(listed),
        captions=len(listed),
        hours=seconds / 3600,
        splits=splits,
        rejected=0,
        reasons={},
        reused=0,
        layout="real",
        seconds=time.monotonic() - began,
        resampler=options.settings.resampler,
    )


def music_options(options: PrepareOptions) -> list[PrepareOptions]:
    """Returns how the folders of music are prepared, each into its own: those that are named, and our renderings."""
    folder = options.out / MUSIC
    given = replace(options, corpus=None, lyrics=None, bart=None, music=(), limit=None)
    rendered = replace(given, out=folder / "rendered", limit=RENDERED)
    named = (replace(given, source=path, out=folder / fingerprint(str(path.resolve()))) for path in options.music)
    return [rendered, *named]


def share_counts(limit: int | None) -> dict[str, int]:
    """Returns the number of songs in each split; `limit` shrinks all."""
    if limit is None:
        return COUNTS
    share = limit / sum(COUNTS.values())
    return {split: max(2, round(count * share)) for split, count in COUNTS.items()}


def all_pairs(sources: Sources, counts: dict[str, int], seed: int) -> Iterator[tuple[Pair, str]]:
    """Yields the songs of all splits, each with its split."""
    mover = TagMover(load_musicnn())
    for split, count in counts.items():
        for pair in make_pairs(split, count, sources.tracks[split], sources.lyrics[split], mover, seed):
            yield pair, split


def list_pair(pair: Pair, split: str) -> ListedSong:
    """Returns a made-up song as records list it."""
    facts = {
        name: ", ".join(value) if isinstance(value, list) else value for name, value in pair.facts.to_json().items()
    }
    tags = {name: str(value) for name, value in facts.items() if value}
    song = Song(pair.id, "", pair.lyrics, tags=tags)
    return ListedSong(song, split, [Caption(pair.caption)], mel=pair.id, frames=len(pair.states) * MUSICNN_WINDOW)


def read_sources(options: PrepareOptions, music: Sequence[Path], progress: Progress) -> Sources:
    """Reads music and lyrics, and divides both: nothing that a validation or test song is made of is learnt from."""
    assert options.lyrics is not None
    encoder = load_musicnn()
    tracks = {one.key: one for folder in music for one in read_tracks(PreparedData(folder), encoder, progress)}
    if len(tracks) < LEAST_TRACKS:
        raise DataError(
            f"--music: {len(tracks)} tracks are too few", f"name folders with {LEAST_TRACKS} tracks or more"
        )
    texts = read_tracks_lyrics(options.lyrics)
    reader = VerseReader.from_folder(options.bart or minilm_folder())
    reader.fill(list(texts.values()), options.out, progress)
    random = np.random.default_rng(options.seed)
    songs = split_songs(sorted(texts.items()), keep_out(), random)
    if empty := [split for split, some in songs.items() if not some]:
        raise DataError(f"--lyrics {options.lyrics}: no songs for the {empty[0]} split", "name the whole of MulJam")
    pools = {split: LyricsPool([cut_song(*song, reader) for song in some], reader) for split, some in songs.items()}
    return Sources(split_tracks(list(tracks.values()), random), pools)


def split_tracks(tracks: Sequence[Track], random: np.random.Generator) -> dict[str, list[Track]]:
    """Returns tracks by split."""
    order = [tracks[place] for place in random.permutation(len(tracks))]
    found, start = {}, 0
    for split, share in TRACK_SHARES.items():
        stop = start + max(1, round(share * len(order)))
        found[split], start = order[start:stop], stop
    return {"train": order[start:], **found}


def describe(options: PrepareOptions, splits: dict[str, int], sources: Sources) -> Record:
    """Returns what `dataset.json` says of how the folder was made."""
    return {
        **folder_record(options, "real", splits),
        "music": STATES,
        "music_tags": [],
        "real": {
            "tracks": {split: len(some) for split, some in sources.tracks.items()},
            "lyrics": {split: len(pool.songs) for split, pool in sources.lyrics.items()},
        },
    }
