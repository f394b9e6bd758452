"""From a corpus to a catalogue of songs and captions with their splits."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from recap_cli.corpus.catalogue import Catalogue
from recap_cli.corpus.cleaning import clean_caption, plain_lyrics
from recap_cli.corpus.readers import choose_layout, read_corpus
from recap_cli.corpus.song import Caption, Rejected, Song
from recap_cli.corpus.splits import Leakage, assign_splits, freeze_splits, join_kin, measure_leakage, publish_splits
from recap_cli.demo.songs import DemoSettings, make_songs
from recap_cli.errors import DataError
from recap_cli.preparation.options import PrepareOptions
from recap_cli.progress import Progress
from recap_cli.tables.cells import is_blank

BLANK_CAPTIONS, BLANK_SONGS = "blank captions, left out", "songs whose captions were all blank"
TOLD_ENTRIES = 100  # a bar that moves with each of 300,000 captions costs more than reading them


@dataclass
class Reading:
    """What was read: the layout, captions that were cleaned or left out, odd lyrics, and what the splits leak."""

    layout: str
    cleaned: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    leakage: Leakage | None = None

    def cleaned_kinds(self) -> dict[str, int]:
        """Give the kinds of debris that were found."""
        return {kind: count for kind, count in sorted(self.cleaned.items()) if count}


def demo_settings(options: PrepareOptions) -> DemoSettings | None:
    """The demo corpus that the options ask for, None when they name a source; `limit` shrinks every split alike."""
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
    """Give the corpus's entries.

    Raises:
        DataError: there is no corpus, or it is damaged as a whole.
    """
    demo = demo_settings(options)
    if demo is not None or options.source is None:
        return make_songs(demo or DemoSettings())
    return read_corpus(
        options.source,
        options.audio,
        options.layout,
        variant=options.variant,
        metadata=options.metadata,
        follow_outside=options.follow_outside,
    )


def fill_catalogue(catalogue: Catalogue, options: PrepareOptions, progress: Progress) -> Reading:
    """Read the corpus, make its texts what the options ask for, and decide its splits.

    Raises:
        DataError: there is no corpus, or votes are asked for where there are none.
    """
    layout = "demo" if options.source is None else options.layout or choose_layout(options.source)
    reading = Reading(layout)
    progress.start("Reading the corpus", None)
    try:
        for number, entry in enumerate(read_entries(options)):
            if isinstance(entry, Rejected):
                catalogue.reject(entry)
            elif is_full(catalogue, entry, options):
                break
            else:
                take_song(catalogue, entry, options, reading)
            if number % TOLD_ENTRIES == 0:
                progress.advance(TOLD_ENTRIES)
    finally:
        progress.finish()
    if options.split_file is not None:
        frozen, unknown = freeze_splits(catalogue, options.split_file)
        progress.say(f"{options.split_file} gives {frozen} songs their split; {unknown} of its ids are not here.")
    join_kin(catalogue)
    if options.published_split:
        publish_splits(catalogue)
    else:
        assign_splits(catalogue, options.seed)
    reading.leakage = measure_leakage(catalogue)
    return reading


def is_full(catalogue: Catalogue, song: Song, options: PrepareOptions) -> bool:
    """Whether a song would be one too many."""
    if options.limit is None or options.source is None or catalogue.songs < options.limit:
        return False
    return catalogue.one("SELECT 1 FROM songs WHERE id = ?", song.id) is None


def take_song(catalogue: Catalogue, song: Song, options: PrepareOptions, reading: Reading) -> None:
    """Add a song with its texts as asked for, or say why not."""
    lyrics = plain_lyrics(song.lyrics, options.newlines)
    if not lyrics and options.instrumentals == "reject":
        catalogue.reject(Rejected(song.id, song.audio, "it has no lyrics"))
        return
    reading.warnings.update(song.warnings)
    captions = spoken_captions(song, reading.cleaned)
    captions = chosen_captions(replace(song, captions=captions), options, reading.cleaned)
    split = "" if options.resplit else song.split
    catalogue.add(replace(song, lyrics=lyrics, captions=captions, split=split))


def spoken_captions(song: Song, cleaned: Counter[str]) -> tuple[Caption, ...]:
    """Leaves out captions without a letter or digit, from which nothing can be learned; counts them, and songs left."""
    kept = tuple(one for one in song.captions if not is_blank(one.text))
    cleaned[BLANK_CAPTIONS] += len(song.captions) - len(kept)
    cleaned[BLANK_SONGS] += bool(song.captions) and not kept
    return kept


def chosen_captions(song: Song, options: PrepareOptions, cleaned: Counter[str]) -> tuple[Caption, ...]:
    """Filter captions by votes, and clean them.

    Raises:
        DataError: the captions have no votes.
    """
    captions = song.captions
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
