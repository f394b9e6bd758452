"""What captions are scored by beside their references, where it is asked for: a sentence encoder, uploaders' tags."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from recap_cli.errors import DataError
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.evaluation.songs import SongSet
from recap_cli.progress import Progress
from recap_cli.runtime.sentence_encoder import SentenceEncoder
from recap_cli.scoring.cider import CiderReferences
from recap_cli.scoring.facts import count_all_facts, fact_table, facts_of, read_facts, read_tags, taggable
from recap_cli.scoring.meaning import MeaningReferences
from recap_cli.scoring.song_scores import Judges
from recap_cli.specificity.moving import PairScores, SongTables
from recap_cli.tables.text_files import numbered_lines, open_text

Table = Callable[[Sequence[str]], Mapping[str, np.ndarray]]  # captions to figures of all sets [captions, sets]
SONG_COLUMNS = ("track_id", "song", "id", "track")
TAG = re.compile(r"(?:genre|instrument|mood/theme)---[\w-]+")
TRACK = re.compile(r"track_0*(\d+)")  # as MTG-Jamendo's tables spell 1004034: track_1004034


def find_judges(songs: SongSet, options: EvaluateOptions, progress: Progress) -> Judges:
    """Returns what the options ask for.

    Raises:
        DataError: the tags cannot be used, or are of other songs.
        ModelError: the sentence encoder cannot be had.
    """
    tags = {}
    if options.tags is not None:
        known = read_tag_table(options.tags)
        tags = {song: known[key] for song, key in zip(songs.ids, songs.keys, strict=True) if key in known}
        if not tags:
            raise DataError(f"{options.tags} has tags of none of the songs, such as {songs.keys[0]}", "name their tags")
        if lacking := len(songs.ids) - len(tags):
            progress.say(f"{options.tags} has no tags of {lacking:,} of the {len(songs.ids):,} songs")
    encoder = None
    if options.embedding is not None:
        encoder = SentenceEncoder.from_pretrained(options.embedding, options.device, progress)
    return Judges(encoder, tags)


def read_tag_table(path: Path) -> dict[str, frozenset[str]]:
    """Returns the facts that uploaders' tags state of each song, songs without such facts left out.

    A line is a song: its id in the column `track_id`, `song` or `id`, else in the first one, and anywhere behind tags
    such as `genre---rock`. MTG-Jamendo's own tables have this layout.

    Raises:
        DataError: the file cannot be read, or has no such tags.
    """
    found: dict[str, frozenset[str]] = {}
    with open_text(path) as file:
        column = None
        for number, line in numbered_lines(file):
            if line is None:
                raise DataError(f"{path}, line {number} is too long for a line of tags", "correct it")
            cells = [cell.strip(' "\n') for cell in re.split("[\t,;]", line)]
            if column is None:  # the header
                names = [cell.lower() for cell in cells]
                column = next((names.index(name) for name in SONG_COLUMNS if name in names), 0)
            elif (facts := read_tags(TAG.findall(line))) and column < len(cells):
                song = TRACK.sub(r"\1", cells[column])
                found[song] = found.get(song, frozenset()) | facts
    if not found:
        raise DataError(
            f"{path} has no tags such as genre---rock", "name a table with a song and its tags in each line"
        )
    return found


def pair_scorers(songs: SongSet) -> list[PairScores]:
    """Returns what scores captions that are moved to other songs, beside ROUGE: CIDEr-D, facts, any meaning.

    Of facts it is each pair's F1, since a mean over songs is wanted.
    """
    whole = [[text for text in texts if text.strip()] for texts in songs.references]
    weights, encoder = CiderReferences(whole), songs.judges.encoder

    def cider(sets: Sequence[Sequence[str]]) -> Table:
        weighed = weights.weighing(sets)
        return lambda captions: {"cider": weighed.matrix(captions)}

    def facts(sets: Sequence[Sequence[str]]) -> Table:
        known = fact_table(frozenset().union(*map(read_facts, texts)) for texts in sets)
        return lambda captions: {
            "facts_by_song": facts_of(count_all_facts(fact_table(map(read_facts, captions)), known))
        }

    def meaning(sets: Sequence[Sequence[str]]) -> Table:
        assert encoder is not None
        vectors = MeaningReferences(encoder, sets)
        return lambda captions: {"meaning": vectors.matrix(captions)[..., 0]}

    return [remember(make) for make in (cider, facts, *([meaning] if encoder else []))]


def song_scorers(songs: SongSet) -> list[SongTables]:
    """Returns what scores moved captions by what is known of songs beside references: facts by uploaders' tags."""
    tags = songs.judges.tag_facts
    if not tags:
        return []
    known = fact_table(tags.get(song, ()) for song in songs.ids)
    unknown = np.array([song not in tags for song in songs.ids])

    def by_tags(captions: Sequence[str]) -> Mapping[str, np.ndarray]:
        said = fact_table(read_facts(caption) & taggable() for caption in captions)
        found = facts_of(count_all_facts(said, known))
        return {"tag_facts_by_song": np.where(unknown, np.nan, found)}

    return [by_tags]


def remember(make: Callable[[Sequence[Sequence[str]]], Table]) -> PairScores:
    """Returns a scorer that reads sets of references once, as long as the same ones come again."""
    last: list[tuple[Sequence[Sequence[str]], Table]] = []

    def score(captions: Sequence[str], sets: Sequence[Sequence[str]]) -> Mapping[str, np.ndarray]:
        if not last or last[0][0] != sets:
            last[:] = [(sets, make(sets))]
        return last[0][1](captions)

    return score
