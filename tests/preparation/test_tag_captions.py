"""Captions made of tags: grammatical, the same for a seed, and never a reference."""

import re

import pytest
from make_corpora import write_audio, write_text

from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import DataError
from recap_cli.evaluation.captions import captioned_songs
from recap_cli.preparation.options import PrepareOptions
from recap_cli.preparation.prepare import prepare
from recap_cli.preparation.tag_captions import caption_of_tags, listed, with_article


def wordings(tags: dict[str, str]) -> set[str]:
    return {caption_of_tags(tags, seed, "a").text for seed in range(60)}


@pytest.mark.parametrize(
    ("tags", "some"),
    [
        ({"genre": "rock"}, {"This is a rock song.", "A rock track."}),
        ({"genre": "ambient", "mood/theme": "calm"}, {"This is a calm ambient piece.", "A calm ambient song."}),
        ({"genre": "ambient"}, {"This is an ambient song.", "An ambient piece."}),
        ({"genre": "rnb"}, {"This is an R&B song.", "An R&B track."}),
        ({"mood": "dark, epic, heavy, slow"}, {"The mood is dark, epic and heavy."}),
        ({"instrument": "piano"}, {"It features a piano.", "There is a piano in it."}),
        ({"instrument": "ukulele, electricguitar"}, {"One hears a ukulele and an electric guitar.",
                                                     "There are a ukulele and an electric guitar in it."}),
        ({"instrument": "drums"}, {"It features drums.", "There are drums in it."}),
        ({"instrument": "bass"}, {"There is bass in it."}),
        ({"instrument": "voice"}, {"Somebody sings."}),
        ({"mood/theme": "film, advertising"}, {"It would suit film or advertising."}),
    ],
)  # fmt: skip
def test_sentences(tags, some):
    assert some <= wordings(tags)


def test_one_to_three_sentences_of_every_kind_of_tags():
    kinds = {"genre": "pop, hiphop", "instrument": "organ, strings, voice", "mood/theme": "happy, summer"}
    for chosen in range(1, 8):
        tags = {name: text for place, (name, text) in enumerate(kinds.items()) if chosen >> place & 1}
        for text in wordings(tags):
            assert 1 <= len(re.findall(r"[.](?: |$)", text)) <= 3 and text[0].isupper() and text.endswith(".")
            assert not re.search(r"\ba [aeio]|\ban [^aeiouRE]|  |\ba strings|is strings", text), text


def test_the_seed_and_the_song_decide():
    tags = {"genre": "pop", "instrument": "piano"}
    assert caption_of_tags(tags, 1, "a") == caption_of_tags(tags, 1, "a")
    assert len({caption_of_tags(tags, 1, str(song)).text for song in range(30)}) > 4
    assert caption_of_tags(tags, 1, "a").made
    assert caption_of_tags({"bpm": "90", "live": "yes"}, 1, "a") is None
    assert (with_article("euphonium"), listed(["a"]), listed(["a", "b"], "or")) == ("a euphonium", "a", "a or b")


def test_they_are_for_training_only(tmp_path):
    """Songs that people described keep their words, test songs get none, and evaluation takes none."""
    rows = ["id,audio,caption,split,tags"]
    for number, (caption, split) in enumerate((("", "train"), ("ours", "train"), ("", "validation"), ("", "test"),
                                               ("theirs", "test"), ("mine", "validation"))):  # fmt: skip
        write_audio(tmp_path / f"{number}.ogg", number)
        rows.append(f"s{number},{number}.ogg,{caption},{split},genre=rock;instrument=piano")
    write_text(tmp_path / "songs.csv", "\n".join(rows) + "\n")
    options = {"out": tmp_path / "data", "resampler": "polyphase", "jobs": 1}
    assert prepare(PrepareOptions(tmp_path / "songs.csv", captions="tags", **options)).captions == 5
    data = PreparedData(tmp_path / "data")
    made = {entry.song.id: [one.made for one in entry.song.captions] for entry in data.songs}
    assert made == {"s0": [True], "s1": [False], "s2": [True], "s3": [], "s4": [False], "s5": [False]}
    assert data.info["options"]["captions"] == "tags"
    assert [entry.song.id for entry in captioned_songs(data, "test")] == ["s4"]
    assert [entry.song.id for entry in captioned_songs(data, "validation")] == ["s5"]
    write_text(tmp_path / "songs.csv", "\n".join(row.rpartition(",")[0] for row in rows) + "\n")
    with pytest.raises(DataError, match="none of the 2 songs without a caption has tags to make one of"):
        prepare(PrepareOptions(tmp_path / "songs.csv", captions="tags", **options))
