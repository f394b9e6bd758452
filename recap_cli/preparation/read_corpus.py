"""From a corpus to the list of its songs: texts as the options ask for them, near-duplicates joined, splits decided."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from recap_cli.corpus.song import SPLITS, Caption, Rejected, Song
from recap_cli.corpus.splits import Leakage, SongList, assign_splits, freeze_splits, measure_leakage, publish_splits
from recap_cli.corpus.twins import join_kin
from recap_cli.demo.songs import DemoSettings, make_songs
from recap_cli.errors import DataError, RecapError
from recap_cli.layouts.lyrics_folder import LyricsFolder
from recap_cli.layouts.readers import check_layout, read_source
from recap_cli.preparation.cleaning import clean_caption, plain_lyrics
from recap_cli.preparation.options import PrepareOptions
from recap_cli.preparation.tag_captions import caption_of_tags
from recap_cli.progress import Progress
from recap_cli.tables.cells import is_blank

BLANK_CAPTIONS, BLANK_SONGS = "blank captions, left out", "songs whose captions were all blank"
TOLD_ENTRIES = 100  # a bar that moves with each of 300,000 captions costs more than reading them


@dataclass
class Reading:
    """A corpus that was read."""

    layout: str
    songs: SongList = field(default_factory=SongList)
    cleaned: Counter[str] = field(default_factory=Counter)  # captions that were cleaned or left out, by kind
    warnings: Counter[str] = field(default_factory=Counter)  # songs with odd lyrics
    lyrics: LyricsFolder | None = None  # that songs without any are looked up in
    leakage: Leakage = field(default_factory=lambda: Leakage(0.0, 0.0, 0))

    def cleaned_kinds(self) -> dict[str, int]:
        """Returns the kinds of debris that were found, with their counts."""
        return {kind: count for kind, count in sorted(self.cleaned.items()) if count}


def demo_settings(options: PrepareOptions) -> DemoSettings | None:
    """Returns the demo corpus that the options ask for, None when they name a source; `limit` shrinks all splits."""
    if options.source is not None:
        return None
    whole = DemoSettings(seed=options.seed, difficulty=options.difficulty)
    if options.test_songs is not None:
        whole = replace(whole, test=options.test_songs)
    if options.limit is None:
        return whole
    total = whole.train + whole.validation + whole.test + whole.unseen
    counts = {
        name: max(2, round(getattr(whole, name) * options.limit / total)) for name in ("validation", "test", "unseen")
    }
    train = max(2, options.limit - sum(counts.values()))
    return DemoSettings(seed=options.seed, difficulty=options.difficulty, train=train, **counts)


def read_entries(options: PrepareOptions) -> Iterator[Song | Rejected]:
    """Yields the corpus's entries as they stand there.

    Raises:
        DataError: there is no corpus, or it is damaged as a whole.
    """
    demo = demo_settings(options)
    if demo is not None or options.source is None:
        return make_songs(demo or DemoSettings())
    return read_source(options.corpus_source(options.source), options.layout)


def read_songs(options: PrepareOptions, progress: Progress) -> Reading:
    """Returns the songs of the corpus with their splits.

    Raises:
        DataError: there is no corpus, or votes are asked for where there are none.
    """
    layout = "demo" if options.source is None else check_layout(options.corpus_source(options.source), options.layout)
    reading = Reading(layout, lyrics=None if options.lyrics is None else LyricsFolder.open(options.lyrics))
    songs = reading.songs
    progress.start("Reading the corpus", None)
    try:
        for number, entry in enumerate(read_entries(options)):
            if isinstance(entry, Rejected):
                songs.entries.append(entry)
            elif is_full(songs, entry, options):
                break
            else:
                take_song(entry, options, reading)
            if number % TOLD_ENTRIES == 0:
                progress.advance(TOLD_ENTRIES)
    finally:
        progress.finish()
    if reading.lyrics is not None:
        tell_lyrics(reading, options, progress)
    if options.split_file is not None:
        frozen, unknown = freeze_splits(songs, options.split_file)
        progress.say(f"{options.split_file} gives {frozen} songs their split; {unknown} of its ids are not here.")
    join_kin(songs.songs)
    if options.published_split:
        publish_splits(songs)
    else:
        assign_splits(songs.songs, options.seed)
    if options.captions == "tags":
        caption_by_tags(reading, options, progress)
    reading.leakage = measure_leakage(songs.songs)
    return reading


def caption_by_tags(reading: Reading, options: PrepareOptions, progress: Progress) -> None:
    """Gives songs without a caption one that is made of their tags; none that is for tests.

    Raises:
        DataError: no song has any that say something.
    """
    made = without = 0
    for one in reading.songs.songs:
        if one.captions or one.split not in SPLITS[:2]:
            continue
        caption = caption_of_tags(one.song.tags, options.seed, one.song.id)
        if caption is not None:
            one.captions.append(caption)
            made += 1
        without += caption is None
    if without and not made:
        hint = "give songs tags such as genre=rock; instrument=piano; mood=calm, or leave --captions out"
        raise DataError(
            f"--captions tags: none of the {without:,} songs without a caption has tags to make one of", hint
        )
    progress.say(f"{made:,} captions were made of tags; {without:,} songs without one have no tags that it knows.")


def is_full(songs: SongList, song: Song, options: PrepareOptions) -> bool:
    """Whether a song would be one more than --limit; the demo corpus is smaller from the start."""
    if options.limit is None or options.source is None:
        return False
    return len(songs.by_id) >= options.limit and song.id not in songs.by_id


def take_song(song: Song, options: PrepareOptions, reading: Reading) -> None:
    """Adds a song with its texts as asked for, or the reason why it is left out."""
    if reading.lyrics is not None and not song.lyrics:
        try:
            found = reading.lyrics.read_for(song)
        except RecapError as error:
            reading.songs.entries.append(Rejected(song.id, song.audio, error.message))
            return
        song = song if found is None else replace(song, lyrics=found.text, warnings=found.warnings)
    lyrics = plain_lyrics(song.lyrics, options.newlines)
    if not lyrics and options.instrumentals == "reject":
        reading.songs.entries.append(Rejected(song.id, song.audio, "it has no lyrics"))
        return
    reading.warnings.update(song.warnings)
    captions = chosen_captions(song, options, reading.cleaned)
    split = "" if options.resplit else song.split
    reading.songs.add(replace(song, lyrics=lyrics, captions=captions, split=split))


def tell_lyrics(reading: Reading, options: PrepareOptions, progress: Progress) -> None:
    """Says how many songs have their lyrics from --lyrics, and how many of its texts are of other songs.

    Raises:
        DataError: none has.
    """
    assert reading.lyrics is not None
    count, songs = len(reading.lyrics.used), reading.songs.songs
    if not count and songs:
        first = songs[0].song.id
        hint = f"its files are called after songs, such as {first}.json or {first}.txt"
        raise DataError(f"--lyrics {options.lyrics} has no lyrics of the {len(songs):,} songs", hint)
    others = len(reading.lyrics) - count
    progress.say(f"{options.lyrics} has the lyrics of {count:,} songs here, and {others:,} of others.")


def chosen_captions(song: Song, options: PrepareOptions, cleaned: Counter[str]) -> tuple[Caption, ...]:
    """Returns a song's captions without blank ones and those of too few votes, cleaned where that is asked for.

    Raises:
        DataError: the captions have no votes.
    """
    # From a caption without a letter or digit nothing can be learned.
    captions = tuple(one for one in song.captions if not is_blank(one.text))
    cleaned[BLANK_CAPTIONS] += len(song.captions) - len(captions)
    cleaned[BLANK_SONGS] += bool(song.captions) and not captions
    if options.min_votes is not None:
        if any(caption.votes is None for caption in captions):
            hint = "leave --min-votes out; ALCAP's files are chosen by --variant"
            raise DataError(f"--min-votes: the captions of {song.id} have no votes", hint)
        captions = tuple(one for one in captions if (one.votes or 0) >= options.min_votes)
    if options.clean_captions:
        captions = tuple(replace(one, text=clean_caption(one.text, cleaned)) for one in captions)
        cleaned["nothing left"] += sum(is_blank(one.text) for one in captions)
        captions = tuple(one for one in captions if not is_blank(one.text))
    return captions
