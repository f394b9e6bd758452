"""`recap prepare --corpus real`: from lyrics and folders of music to songs that a model learns to caption."""

import gzip
import json

import numpy as np
import pytest
import soundfile
from small_minilm import make_small_minilm

from recap_cli import Captioner, CaptionOptions, PrepareOptions, TrainOptions, caption_songs, prepare, train
from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import DataError, OptionError
from recap_cli.facts.lexicon import read_facts
from recap_cli.facts.theme_labels import keep_out
from recap_cli.preparation import real_corpus
from recap_cli.real.song_lyrics import read_tracks_lyrics
from recap_cli.training.train import estimate

RATE = 16_000
LINES = ("I was walking down the road with you", "and all of the time that we had was gone", "so it is what it was")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Folders of 12 noisy tunes, of lyrics of 24 songs, and of a small MiniLM."""
    folder = tmp_path_factory.mktemp("sources")
    random = np.random.default_rng(0)
    (folder / "music").mkdir()
    for number in range(12):
        time = np.arange(13 * RATE) / RATE
        tune = sum(np.sin(2 * np.pi * pitch * time) for pitch in random.uniform(100, 2000, 3))
        sound = 0.1 * tune * random.uniform(0.2, 1, 13).repeat(RATE) + 0.05 * random.standard_normal(len(time))
        soundfile.write(folder / "music" / f"{number}.flac", sound, RATE)
    tracks = [*sorted(keep_out())[:3], *map(str, range(1, 22))]
    rows = [{"track": track, "lyrics": f"{LINES[0]}\n{LINES[1]}\n\n{LINES[2]} {track}"} for track in tracks]
    with gzip.open(folder / "lyrics.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder, make_small_minilm(folder / "minilm")


@pytest.fixture(scope="module")
def prepared(sources, tmp_path_factory):
    folder, bart = sources
    options = PrepareOptions(
        corpus="real", lyrics=folder / "lyrics.jsonl.gz", music=(folder / "music",), bart=bart,
        out=tmp_path_factory.mktemp("real") / "data", limit=60, jobs=1,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(real_corpus, "RENDERED", 3)
        patched.setattr(real_corpus, "COUNTS", {"train": 40, "validation": 8, "test": 12})
        result = prepare(options)
        before = {path: path.read_bytes() for path in options.out.glob("*.jsonl")}
        again = prepare(options)
        assert before == {path: path.read_bytes() for path in options.out.glob("*.jsonl")}
    assert result.splits == again.splits
    return options.out


def test_songs_have_states_lyrics_and_a_caption_that_can_be_read(prepared):
    data = PreparedData(prepared)
    assert data.corpus == "real" and data.states is not None and not (prepared / "unfinished.json").exists()
    assert {name: len(songs) for name, songs in data.splits.items()} == {"test": 12, "train": 40, "validation": 8}
    for entry in data.songs:
        states = data.states[entry.mel]
        assert states.shape[1] == 100 and states.min() >= 0 and states.max() <= 1
        assert len(entry.song.captions) == 1
    told = [read_facts(entry.song.captions[0].text) for entry in data.songs]
    assert sum(one.voice is not None for one in told) > 20


def test_songs_that_judge_are_in_the_test_split_alone(prepared):
    judging = sorted(keep_out())[:3]
    for entry in PreparedData(prepared).songs:
        assert any(track in entry.song.lyrics for track in judging) <= (entry.song.split == "test")


def test_a_model_is_trained_on_it_from_the_layers_that_read_verses(prepared, sources, tmp_path):
    options = TrainOptions(prepared, out=tmp_path / "run", bart=str(sources[1]), epochs=1, limit=8, batch_size=4)
    train(options)
    captioner = Captioner.from_pretrained(tmp_path / "run")
    config = captioner.model.config
    assert config.states_facts and config.verse_layers == 3 and config.music_encoder == "musicnn"
    wav = sources[0] / "music" / "1.flac"
    assert isinstance(captioner.caption(wav, LINES[0], any_sound=True).caption, str)


def test_states_stand_for_the_music_in_every_command(prepared, sources, tmp_path):
    """They are captioned, and a dry run times its steps with them; there is no music encoder to train on them."""
    how = {"out": tmp_path / "run", "bart": str(sources[1]), "epochs": 1, "limit": 8, "batch_size": 4}
    assert estimate(TrainOptions(prepared, **how)).measured > 0
    train(TrainOptions(prepared, **how))
    options = CaptionOptions((prepared,), model=str(tmp_path / "run"), limit=3, any_sound=True)
    assert [song.error for song in caption_songs(options)] == ["", "", ""]
    with pytest.raises(OptionError, match="hold music states alone"):
        train(TrainOptions(prepared, **how, train_music_encoder=True))


def test_what_it_needs_and_what_it_has_no_use_for(sources, tmp_path):
    folder, bart = sources
    lyrics, music = folder / "lyrics.jsonl.gz", (folder / "music",)
    with pytest.raises(OptionError, match="needs lyrics and music"):
        PrepareOptions(corpus="real", lyrics=lyrics)
    with pytest.raises(OptionError, match="no use for SOURCE"):
        PrepareOptions(folder, corpus="real", lyrics=lyrics, music=music)
    with pytest.raises(OptionError, match="--music is for the real corpus"):
        PrepareOptions(music=music)
    damaged = tmp_path / "lyrics.jsonl"
    damaged.write_text('{"track": "1", "lyrics": "la"}\n{"track": "2"}\n')
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.flac").write_bytes((folder / "music" / "0.flac").read_bytes())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(real_corpus, "RENDERED", 2)
        with pytest.raises(DataError, match="tracks are too few"):
            prepare(PrepareOptions(corpus="real", lyrics=lyrics, music=(few,), bart=bart, out=tmp_path / "a", jobs=1))
    with pytest.raises(DataError, match=r"lyrics.jsonl line 2"):
        read_tracks_lyrics(damaged)
