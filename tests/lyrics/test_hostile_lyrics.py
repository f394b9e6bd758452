"""A share of the hostile lyrics files and tags: text or a RecapError, in bounded time and memory."""

from time import process_time

import pytest
from hostile_lyrics import hostile_lyrics, hostile_tags

from recap_cli.errors import RecapError
from recap_cli.lyrics.reader import LARGEST, lyrics_of_text, read_lyrics
from recap_cli.lyrics.tags import lyrics_in_tags


def cleaned(text: str) -> str:
    return lyrics_of_text(text).text


def checked(lyrics):
    """The text can be written, and cleaning it again changes next to nothing."""
    lyrics.text.encode()
    assert len(lyrics.text) <= 2 * LARGEST
    assert len(cleaned(lyrics.text)) <= len(lyrics.text)
    return bool(lyrics.text)


def test_lyrics_files(tmp_path):
    read = refused = 0
    for path in hostile_lyrics(tmp_path, seed=1, count=150):
        began = process_time()
        try:
            read += checked(read_lyrics(path))
        except RecapError as error:
            refused += 1
            assert path.name in error.message and error.hint
        assert process_time() - began < 5, path.name
    assert read > 90 and refused > 5


def test_tags(tmp_path):
    read = 0
    for path in hostile_tags(tmp_path, seed=1, count=60):
        began = process_time()
        lyrics = lyrics_in_tags(path)
        read += lyrics is not None and checked(lyrics)
        assert process_time() - began < 5, path.name
    assert read > 15


@pytest.mark.parametrize("make", [hostile_lyrics, hostile_tags])
def test_a_seed_decides_the_files(tmp_path, make):
    one, other = ([path.read_bytes() for path in make(tmp_path / name, 3, 30)] for name in ("one", "other"))
    assert one == other and len(set(one)) > 25
