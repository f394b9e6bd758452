"""Song Describer: several captions a track, audio under other names, and no training on it unless asked."""

from pathlib import Path

import pytest
from open_corpora import ARTISTS, SAID, TRACKS, make_song_describer

from recap_cli.corpus.song import Caption, Rejected, Song
from recap_cli.errors import OptionError
from recap_cli.layouts.readers import choose_layout, read_corpus
from recap_cli.preparation.options import PrepareOptions
from recap_cli.preparation.read_corpus import read_songs
from recap_cli.progress import SilentProgress


def expected(folder: Path) -> list[Song]:
    return [
        Song(str(track), str(folder / f"{track % 100}" / f"{track}.2min.mp3"), "", tuple(map(Caption, said)), "test",
             "", str(artist))
        for track, said, artist in zip(TRACKS, SAID, ARTISTS, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["audio", "audio/audio"])
def test_songs_and_their_captions(tmp_path, place):
    """The archive of the audio may have been unpacked into a folder of its own."""
    table = make_song_describer(tmp_path)
    if place != "audio":
        (tmp_path / "audio").rename(tmp_path / "inner")
        (tmp_path / "audio").mkdir()
        (tmp_path / "inner").rename(tmp_path / place)
    assert choose_layout(table) == choose_layout(tmp_path) == "song-describer"
    assert list(read_corpus(table)) == list(read_corpus(tmp_path)) == expected(tmp_path / place)
    assert list(read_corpus(table, tmp_path / place, "song-describer")) == expected(tmp_path / place)


def test_the_validated_subset(tmp_path):
    """Two of the four captions are True; one cell is empty, which is not validated."""
    songs = list(read_corpus(make_song_describer(tmp_path), subset="validated"))
    assert [[one.text for one in song.captions] for song in songs] == [[SAID[0][0]], [], [SAID[2][0]]]
    with pytest.raises(OptionError, match="--subset picks among Song Describer's captions"):
        read_corpus(tmp_path / "audio", subset="validated")


def test_for_testing_only_unless_asked(tmp_path):
    table = make_song_describer(tmp_path)

    def splits(**options) -> set[str]:
        return {one.split for one in read_songs(PrepareOptions(table, **options), SilentProgress()).songs.songs}

    assert splits() == {"test"}
    assert splits(resplit=True) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "Slow waves of sound.,False",
            "Slow waves of sound.,maybe",
            "its is_valid_subset is 'maybe'",
        ),
        ("Slow waves of sound.", "", "it has no caption"),
        (",48/948.mp3", ",", "it has no path"),
        (",48/948.mp3", ",../../948.mp3", "the audio lies outside"),
        ("3,948,", "3,,", "it has no track_id"),
        ("Slow waves of sound.", "Slow, waves, of sound.", "its cells do not fit the header: 11 cells for 9 columns"),
    ],
)
def test_damaged_rows(tmp_path, old, new, reason):
    table = make_song_describer(tmp_path)
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new, 1))
    first, second, third = read_corpus(table)
    assert [first, third] == [expected(tmp_path / "audio")[0], expected(tmp_path / "audio")[2]]
    assert isinstance(second, Rejected) and second.reason.startswith(reason)
    assert (second.song, second.file) == ("song_describer.csv, line 4", str(table))
