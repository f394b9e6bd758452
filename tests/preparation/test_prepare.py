"""From a corpus to a data folder: what is written, reused, rejected, and left alone."""

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import BusyError, DataError, OptionError
from recap_cli.preparation import prepare as module
from recap_cli.preparation import records as writing
from recap_cli.preparation.prepare import PrepareOptions, PrepareResult, demo_folder, plan, prepare
from recap_cli.progress import SilentProgress

RECORDS = ("songs.jsonl", "captions.jsonl", "dataset.json")


def tone(path: Path, hertz: float, seconds: float = 2.0, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * hertz * time * (1 + time)), rate)


def read_json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def corpus(tmp_path) -> Path:
    """A manifest of six songs of 2 s, two captions each, the second with fewer votes."""
    rows = []
    for number in range(6):
        tone(tmp_path / "corpus" / "audio" / f"{number}.wav", 200 + 150 * number)
        rows.append(
            {
                "id": f"song-{number}",
                "audio": f"audio/{number}.wav",
                "lyrics": f"line {number}",
                "captions": [{"text": f"good {number}", "votes": 3}, {"text": f"bad {number}", "votes": -1}],
                "tags": {"mode": "minor" if number % 2 else "major"},
            }
        )
    return write_rows(tmp_path / "corpus" / "songs.jsonl", rows)


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "data"


def run(source: Path | None, out: Path, **options) -> PrepareResult:
    return prepare(PrepareOptions(source=source, out=out, **{"seconds": 2.0, "jobs": 1, **options}))


def add(corpus: Path, *rows: dict) -> None:
    with corpus.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def records(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in RECORDS}


def shards(out: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (out / "mels").iterdir()}


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def tree(folder: Path, but: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if not path.is_relative_to(but)
    }


# what is written ------------------------------------------------------------------------------------------------------


def test_demo_corpus(tmp_path):
    """`limit` shrinks every split alike; every song has lyrics, five captions and its attributes."""
    result = prepare(PrepareOptions(out=tmp_path / "data", limit=12, jobs=1, seconds=2.0))
    assert result.splits == {"test": 2, "train": 6, "unseen": 2, "validation": 2}
    assert (result.songs, result.captions, result.rejected, result.reused) == (12, 60, 0, 0)
    assert result.hours == pytest.approx(12 * 2 / 3600)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        ".recap.json",
        "captions.jsonl",
        "dataset.json",
        "mels",
        "rejected.jsonl",
        "songs.jsonl",
    ]
    assert len(list((tmp_path / "data" / "mels").iterdir())) == 1
    info = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert info["source"] == "demo"
    assert info["demo"]["train"] == 6
    assert info["music_tags"] == ["tempo", "mode", "timbre", "drums"]
    assert info["splits"] == result.splits
    data = PreparedData(tmp_path / "data")
    assert all(len(entry.song.captions) == 5 and entry.song.lyrics for entry in data.songs)
    assert all(entry.seconds == 2.0 and data.mels[entry.mel].shape == (128, 126) for entry in data.songs)


def test_the_demo_corpus_does_not_depend_on_where_or_when(tiny_data, tmp_path):
    """Two processes give what one gave, byte for byte, mels included."""
    result = prepare(PrepareOptions(out=tmp_path / "data", limit=24, jobs=2))
    assert result.reused == 0
    assert records(tmp_path / "data") == records(tiny_data.folder)
    ours, theirs = shards(tmp_path / "data"), shards(tiny_data.folder)
    assert {name: content for name, (content, _) in ours.items()} == {
        name: content for name, (content, _) in theirs.items()
    }


def test_manifest(corpus, out):
    result = run(corpus, out)
    assert (result.out, result.songs, result.captions, result.rejected) == (out, 6, 12, 0)
    assert sum(result.splits.values()) == 6
    assert set(result.splits) == {"train", "validation", "test"}
    data = PreparedData(out)
    assert not data.is_demo
    assert data.info["source"] == str(corpus)
    assert data.info["music_tags"] == ["mode"]
    assert [entry.song.id for entry in data.songs] == [f"song-{number}" for number in range(6)]
    entry = data.songs[3]
    assert entry.song.audio == str(corpus.parent / "audio" / "3.wav")
    assert [(caption.text, caption.votes) for caption in entry.song.captions] == [("good 3", 3), ("bad 3", -1)]
    assert entry.song.tags == {"mode": "minor"}
    assert entry.seconds == 2.0
    mel = data.mels[entry.mel]
    assert mel.dtype == np.float16
    assert mel.shape == (128, 126)
    assert len({data.mels[entry.mel].tobytes() for entry in data.songs}) == 6
    assert (out / "rejected.jsonl").read_text() == ""


def test_precision(corpus, out):
    """fp32 mels are new ones; fp16 is their rounding."""
    run(corpus, out)
    half = PreparedData(out)
    assert run(corpus, out, precision="fp32").reused == 0
    whole = PreparedData(out)
    for before, after in zip(half.songs, whole.songs, strict=True):
        assert whole.mels[after.mel].dtype == np.float32
        assert np.array_equal(whole.mels[after.mel].astype(np.float16), half.mels[before.mel])


def test_given_splits_are_kept(corpus, out):
    add(corpus, {"id": "fixed", "audio": "audio/0.wav", "split": "dev"})
    run(corpus, out)
    assert {entry.song.id: entry.song.split for entry in PreparedData(out).songs}["fixed"] == "validation"


def test_the_same_audio_twice_is_kept_once(corpus, out):
    add(corpus, {"id": "twin", "audio": "audio/0.wav", "lyrics": "other words"})
    run(corpus, out)
    data = PreparedData(out)
    assert data.songs[0].mel == data.songs[6].mel
    assert len(data.mels.files) == 6


def test_nothing_is_written_outside_the_folder(corpus, out, tmp_path):
    """Whatever a manifest calls its songs."""
    add(corpus, {"id": "../../evil", "audio": "audio/1.wav"}, {"id": "/tmp/evil", "audio": "audio/2.wav"})
    before = tree(tmp_path, out)
    run(corpus, out)
    assert tree(tmp_path, out) == before
    assert {"../../evil", "/tmp/evil"} <= {entry.song.id for entry in PreparedData(out).songs}
    assert not list(out.rglob("*.partial"))


# doing only what is new -----------------------------------------------------------------------------------------------


def test_a_second_run_reuses_everything(corpus, out):
    run(corpus, out)
    before, arrays = records(out), shards(out)
    assert run(corpus, out).reused == 6
    assert records(out) == before
    assert shards(out) == arrays  # the very files, untouched


def test_new_and_changed_songs_only(corpus, out):
    run(corpus, out)
    first = {entry.song.id: entry.mel for entry in PreparedData(out).songs}
    tone(corpus.parent / "audio" / "2.wav", 999)
    tone(corpus.parent / "audio" / "new.wav", 555)
    add(corpus, {"id": "new", "audio": "audio/new.wav"})
    assert run(corpus, out).reused == 5
    second = {entry.song.id: entry.mel for entry in PreparedData(out).songs}
    assert {name for name in second if second[name] != first.get(name)} == {"song-2", "new"}


def test_other_seconds_make_new_mels(corpus, out):
    run(corpus, out)
    before = PreparedData(out)
    assert run(corpus, out, seconds=1.0).reused == 0
    data = PreparedData(out)
    assert data.audio.seconds == 1.0
    assert data.fingerprint != before.fingerprint
    assert all(entry.seconds == 0.992 and data.mels[entry.mel].shape == (128, 63) for entry in data.songs)
    assert run(corpus, out).reused == 6  # the first ones are still there
    assert PreparedData(out).fingerprint == before.fingerprint


@pytest.mark.parametrize("change", [{"excerpt": "middle"}, {"excerpt": "0.5"}, {"excerpt": "random"}])
def test_other_excerpts_make_new_mels(corpus, out, change):
    run(corpus, out, seconds=1.0)
    before = PreparedData(out)
    assert run(corpus, out, seconds=1.0, **change).reused == 0
    after = PreparedData(out)
    for old, new in zip(before.songs, after.songs, strict=True):
        assert not np.array_equal(before.mels[old.mel], after.mels[new.mel])


def test_random_excerpts_follow_the_seed(corpus, out):
    run(corpus, out, seconds=1.0, excerpt="random", seed=1)
    assert run(corpus, out, seconds=1.0, excerpt="random", seed=1).reused == 6
    assert run(corpus, out, seconds=1.0, excerpt="random", seed=2).reused == 0


class Stop(SilentProgress):
    """Does something after so many songs."""

    def __init__(self, after: int, action) -> None:
        self.left, self.action, self.task = after, action, ""

    def start(self, task, total=None, done=0):
        self.task = task

    def advance(self, count=1, note=""):
        self.left -= self.task == "Preparing songs"
        if self.left == 0:
            self.action()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_goes_on(corpus, out, tmp_path):
    """What was heard stays; the folder says that it is not finished; in the end it is as if nothing had happened."""
    with pytest.raises(KeyboardInterrupt):
        prepare(PrepareOptions(source=corpus, out=out, seconds=2.0, jobs=1), Stop(3, interrupt))
    with pytest.raises(DataError, match="was not finished"):
        PreparedData(out)
    assert run(corpus, out).reused >= 3
    run(corpus, tmp_path / "straight")
    assert contents(out) == contents(tmp_path / "straight")


def test_a_run_interrupted_while_it_writes_records_leaves_the_old_ones(corpus, out, monkeypatch):
    """Old settings beside new songs would be a lie."""
    run(corpus, out)
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "song_to_json", lambda song: interrupt())
        with pytest.raises(KeyboardInterrupt):
            run(corpus, out, seconds=1.0)
    assert before.items() <= contents(out).items()
    assert PreparedData(out).audio.seconds == 2.0
    run(corpus, out, seconds=1.0)
    assert PreparedData(out).audio.seconds == 1.0
    assert not list(out.rglob("*.partial"))


def test_a_process_that_is_killed_costs_nothing(corpus, out, tmp_path):
    """As the kernel does when memory is short: another process takes over."""
    killed = []

    def kill_one():
        for child in multiprocessing.active_children():
            killed.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)

    result = prepare(PrepareOptions(source=corpus, out=out, seconds=2.0, jobs=1), Stop(2, kill_one))
    assert killed and (result.songs, result.rejected) == (6, 0)
    run(corpus, tmp_path / "straight")
    assert contents(out) == contents(tmp_path / "straight")


def test_a_damaged_shard_is_made_again(corpus, out):
    run(corpus, out)
    before = contents(out)
    shard = next((out / "mels").iterdir())
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DataError, match="is damaged"):
        PreparedData(out)
    assert run(corpus, out).reused == 0
    assert contents(out) == before


def test_two_runs_on_one_folder(corpus, out):
    """The second says so and stops; the first is none the worse."""
    refused = []

    def run_again():
        with pytest.raises(BusyError, match="another recap prepare is working on") as caught:
            run(corpus, out)
        refused.append(caught.value)

    prepare(PrepareOptions(source=corpus, out=out, seconds=2.0, jobs=1), Stop(1, run_again))
    assert len(refused) == 1 and "--out" in refused[0].hint
    assert len(PreparedData(out).songs) == 6
    assert not list(out.glob("*.lock"))


@pytest.mark.parametrize("jobs", [1, 3])
def test_slices_merge_to_the_whole(corpus, out, tmp_path, monkeypatch, jobs):
    """Two slices in folders of their own, copied together: the songs, captions and mels of one run, in order."""
    monkeypatch.setattr(module, "CHUNK_SONGS", 2)
    add(corpus, {"id": "gone", "audio": "audio/gone.wav"}, {"lyrics": "no audio"})
    run(corpus, out, max_rejected=1.0)
    merged = tmp_path / "merged"
    for number in (1, 2):
        part = run(corpus, tmp_path / f"part-{number}", max_rejected=1.0, shard=f"{number}/2", jobs=jobs)
        assert part.slice == f"{number}/2" and part.songs > 0
        shutil.copytree(tmp_path / f"part-{number}", merged, dirs_exist_ok=True)
        if number == 1:
            with pytest.raises(DataError, match="lacks other parts"):
                PreparedData(merged)
    whole, data = PreparedData(out), PreparedData(merged)
    assert data.songs == whole.songs
    assert data.info["splits"] == whole.info["splits"]
    assert {path.name for path in (merged / "mels").iterdir()} == {path.name for path in (out / "mels").iterdir()}
    rejected = [list(read_json_lines(merged / f"rejected-{number}-of-2.jsonl")) for number in (1, 2)]
    assert rejected[0] + rejected[1] == list(read_json_lines(out / "rejected.jsonl"))
    assert run(corpus, merged, max_rejected=1.0).reused == 6  # a whole run takes the slices over
    assert PreparedData(merged).songs == whole.songs
    run(corpus, merged, max_rejected=1.0, shard="1/2", seconds=1.0)
    with pytest.raises(DataError, match="parts 1 and 2 differ in audio"):
        PreparedData(merged)


def test_a_dry_run_writes_nothing(damaged, out):
    found = plan(PrepareOptions(source=damaged, out=out, seconds=2.0, jobs=2))
    assert (found.songs, found.missing, found.rejected, found.layout) == (10, 2, 1, "manifest")
    assert found.seconds > 0 and found.gigabytes == pytest.approx(8 * 128 * 126 * 2 / 1e9)
    assert not out.exists()


# rejected songs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(corpus) -> Path:
    """The six songs and five that cannot be used."""
    audio = corpus.parent / "audio"
    (audio / "text.wav").write_text("this is no audio")
    (audio / "empty.wav").write_bytes(b"")
    add(
        corpus,
        {"id": "text", "audio": "audio/text.wav"},
        {"id": "empty", "audio": "audio/empty.wav"},
        {"id": "gone", "audio": "audio/gone.wav"},
        {"id": "long", "audio": "x" * 3000 + ".wav"},
        {"id": "outside", "audio": "../../etc/passwd"},
    )
    return corpus


def test_damaged_songs_are_set_aside(damaged, out):
    result = run(damaged, out, max_rejected=0.5)
    assert result.songs == 6
    audio = damaged.parent / "audio"
    rejected = list(read_json_lines(out / "rejected.jsonl"))
    assert (result.rejected, sum(result.reasons.values())) == (5, 5)
    assert result.reasons["is empty (0 bytes)"] == result.reasons["no audio file"] == 1
    assert {entry["id"]: entry["file"] for entry in rejected} == {
        "outside": "../../etc/passwd",
        "text": str(audio / "text.wav"),
        "empty": str(audio / "empty.wav"),
        "gone": str(audio / "gone.wav"),
        "long": str(damaged.parent / ("x" * 3000 + ".wav")),
    }
    reasons = {entry["id"]: entry["reason"] for entry in rejected}
    assert reasons["text"] == f"{audio / 'text.wav'} is not audio that can be decoded"
    assert reasons["empty"] == f"{audio / 'empty.wav'} is empty (0 bytes)"
    assert reasons["gone"] == f"no audio file {audio / 'gone.wav'}"
    assert "File name too long" in reasons["long"]
    assert reasons["outside"] == f"the audio lies outside {damaged.parent}"
    assert [entry.song.id for entry in PreparedData(out).songs] == [f"song-{number}" for number in range(6)]


def test_too_many_rejected_songs(damaged, out):
    """An error at the end; the folder is whole and usable all the same."""
    with pytest.raises(DataError, match=r"5 of 11 songs were rejected, see .*rejected\.jsonl") as caught:
        run(damaged, out)
    assert "--max-rejected" in caught.value.hint
    assert len(PreparedData(out).songs) == 6
    assert run(damaged, out, max_rejected=5 / 11).reused == 6


def test_strict(corpus, out):
    """One song of 26 is below the 5 % that are allowed; `strict` allows none."""
    run(corpus, out, strict=True)
    add(corpus, *({"id": f"more-{number}", "audio": "audio/0.wav"} for number in range(19)))
    add(corpus, {"id": "gone", "audio": "audio/gone.wav"})
    assert run(corpus, out).rejected == 1
    with pytest.raises(DataError, match="1 of 26 songs were rejected"):
        run(corpus, out, strict=True)


def test_mended_songs_are_no_longer_rejected(damaged, out):
    run(damaged, out, max_rejected=1.0)
    tone(damaged.parent / "audio" / "gone.wav", 321)
    result = run(damaged, out, max_rejected=1.0)
    assert (result.songs, result.reused) == (7, 6)
    assert "gone" not in {entry["id"] for entry in read_json_lines(out / "rejected.jsonl")}


def test_ids_are_unique(corpus, out):
    add(corpus, {"id": "song-0", "audio": "audio/5.wav"})
    result = run(corpus, out, max_rejected=1.0)
    assert result.songs == 6
    assert result.reasons == {"another song has the same id": 1}


def test_nothing_usable(tmp_path, out):
    """An error, and no trace."""
    corpus = write_rows(tmp_path / "songs.jsonl", [{"audio": "gone.wav"}])
    with pytest.raises(DataError, match=r"no song could be prepared: no audio file .*gone\.wav"):
        run(corpus, out)
    assert not out.exists()
    with pytest.raises(DataError, match="no song could be prepared: the corpus is empty"):
        run(write_rows(tmp_path / "empty.jsonl", []), out)
    assert not out.exists()


def test_odd_audio_is_used_and_told(tmp_path, out):
    soundfile.write(tmp_path / "silent.wav", np.zeros(32000), 16000)
    soundfile.write(tmp_path / "short.wav", np.full(800, 0.5), 16000)
    corpus = write_rows(tmp_path / "songs.jsonl", [{"audio": "silent.wav"}, {"audio": "short.wav"}])
    assert run(corpus, out).warnings == {"silent": 1, "very short": 1, "without lyrics": 2}


# choosing songs and captions ------------------------------------------------------------------------------------------


def test_limit(corpus, out):
    assert run(corpus, out, limit=4).songs == 4
    assert [entry.song.id for entry in PreparedData(out).songs] == ["song-0", "song-1", "song-2", "song-3"]
    assert run(corpus, out, limit=100).songs == 6


def test_min_votes(corpus, out):
    assert run(corpus, out, min_votes=0).captions == 6
    assert [caption.text for entry in PreparedData(out).songs for caption in entry.song.captions] == [
        f"good {number}" for number in range(6)
    ]
    result = run(corpus, out, min_votes=4)
    assert (result.songs, result.captions) == (6, 0)


def test_min_votes_of_the_demo_corpus(tmp_path):
    whole = run(None, tmp_path / "a", limit=12)
    chosen = run(None, tmp_path / "b", limit=12, min_votes=4)
    votes = [record["votes"] for record in read_json_lines(tmp_path / "b" / "captions.jsonl")]
    assert whole.captions == 60
    assert 0 < chosen.captions < 60
    assert min(votes) >= 4


def test_min_votes_without_votes(corpus, out):
    add(corpus, {"id": "bare", "audio": "audio/0.wav", "caption": "no votes"})
    with pytest.raises(DataError, match="--min-votes: the captions of bare have no votes"):
        run(corpus, out, min_votes=0)
    assert not out.exists()


# options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "--precision fp8 is not known"),
        ({"jobs": -1}, "--jobs -1 is not possible"),
        ({"limit": 0}, "--limit 0 is not possible"),
        ({"max_rejected": 1.5}, "--max-rejected 1.5 is not possible"),
        ({"max_rejected": float("nan")}, "--max-rejected nan is not possible"),
        ({"excerpt": "chorus"}, "--excerpt chorus is no place in a song"),
        ({"excerpt": "-3"}, "--excerpt -3 is no place in a song"),
        ({"excerpt": "inf"}, "--excerpt inf is no place in a song"),
        ({"seconds": 0.0}, "--seconds 0 is out of range"),
        ({"resampler": "linear"}, "--resampler linear is not known"),
        ({"layout": "zip"}, "--layout zip is not known"),
        ({"variant": "best"}, "--variant best is not known"),
        ({"newlines": "tabs"}, "--newlines tabs is not known"),
        ({"instrumentals": "maybe"}, "--instrumentals maybe is not known"),
        ({"shard": "9/8"}, "--shard 9/8 is no part"),
        ({"shard": "0/8"}, "--shard 0/8 is no part"),
        ({"shard": "one"}, "--shard one is no part"),
        ({"shard": "1/0"}, "--shard 1/0 is no part"),
        ({"published_split": True, "resplit": True}, "--published-split decides all splits itself"),
        ({"published_split": True}, "--published-split needs a SOURCE, and none is named"),
    ],
)
def test_bad_options_are_refused_at_once(options, message):
    with pytest.raises(OptionError) as caught:
        PrepareOptions(**options)
    assert caught.value.message == message
    assert caught.value.hint


def test_bad_difficulty_writes_nothing(out):
    with pytest.raises(OptionError, match="difficulty"):
        run(None, out, difficulty="impossible")
    assert not out.exists()


def test_missing_source_writes_nothing(tmp_path, out):
    with pytest.raises(DataError, match="no corpus at"):
        run(tmp_path / "nowhere.csv", out)
    assert not out.exists()


def test_progress(damaged, out):
    class Recorder(SilentProgress):
        started, notes, finished = [], [], 0

        def start(self, task, total=None, done=0):
            self.started.append((task, total))

        def advance(self, count=1, note=""):
            self.notes.append(note)

        def finish(self):
            self.finished += 1

    progress = Recorder()
    prepare(PrepareOptions(source=damaged, out=out, seconds=1.0, jobs=1, max_rejected=1.0), progress)
    assert progress.started == [("Reading the corpus", None), ("Preparing songs", 10)]
    assert progress.notes == [""] + ["1 rejected"] * 6 + [f"{count} rejected" for count in (2, 3, 4, 5)]
    assert progress.finished == 2


def test_where_the_demo_corpus_is_kept(monkeypatch, tmp_path, cache_folder):
    assert demo_folder() == cache_folder / "demo-easy"
    monkeypatch.setenv("RECAP_CACHE", str(tmp_path))
    assert demo_folder("hard") == tmp_path / "demo-hard"
    monkeypatch.delenv("RECAP_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert demo_folder() == tmp_path / "xdg" / "recap-cli" / "demo-easy"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert demo_folder() == tmp_path / "home" / ".cache" / "recap-cli" / "demo-easy"
    monkeypatch.setattr("sys.platform", "darwin")
    assert demo_folder() == tmp_path / "home" / "Library" / "Caches" / "recap-cli" / "demo-easy"


# real layouts ---------------------------------------------------------------------------------------------------------

CORPORA = Path(__file__).parents[1] / "fixtures" / "corpora"
FAST = {"seconds": 0.5, "resampler": "soxr"}


def texts(out: Path) -> list[tuple[str, str, list[str]]]:
    songs = PreparedData(out).songs
    return [(entry.song.id, entry.song.split, [caption.text for caption in entry.song.captions]) for entry in songs]


def test_alcap_keeps_its_splits_or_is_split_anew(out):
    options = {**FAST, "audio": CORPORA / "music4all", "clean_captions": True}
    result = run(CORPORA / "alcap", out, **options)
    first, third = "0a1b2c3d4e5f6g7h", "aaaaBBBBccccDDDD"
    assert texts(out) == [
        (first, "train", ["A song about rain and patience."]),
        ("Zz9Yy8Xx7Ww6Vv5U", "train", ["Someone rides home & thinks."]),
        (f"{first}@validation", "validation", ["To me it says: wait."]),
        (third, "test", ["No words, only water."]),
    ]
    assert (result.layout, result.cleaned, result.leakage.across) == ("alcap", {"page footers": 1}, 1)
    assert len(ShardReader(out / "mels").files) == 3  # the copy shares its mel
    again = run(CORPORA / "alcap", out, **options, resplit=True)
    assert (again.songs, again.captions, again.leakage.across, again.reused) == (3, 4, 0, 3)


def test_lyrics_as_bart_fusion_had_them(out):
    options = {**FAST, "audio": CORPORA / "music4all", "max_rejected": 1.0}
    result = run(
        CORPORA / "song-interpretation" / "dataset.json", out, **options, newlines="semicolon", instrumentals="reject"
    )
    assert {entry.song.title: entry.song.lyrics for entry in PreparedData(out).songs} == {
        "Rain": "the rain falls;over the river",
        "Night Bus": "last bus home;;I sing alone",
    }
    assert result.reasons == {"it has no lyrics": 1}
    assert PreparedData(out).info["options"]["newlines"] == "semicolon"
    kept = run(CORPORA / "song-interpretation" / "dataset.json", out, **options)
    assert {entry.song.title: entry.song.lyrics for entry in PreparedData(out).songs}["Tides"] == ""
    assert (kept.songs, kept.reused) == (3, 2)


def test_published_split(out):
    """Of 5 rows torch's permutation with seed 42 holds out one, whose song is in training, too."""
    source = CORPORA / "song-interpretation" / "dataset.json"
    result = run(source, out, **FAST, audio=CORPORA / "music4all", published_split=True)
    held = [(name, found) for name, split, found in texts(out) if split == "validation"]
    assert len(held) == 1 and sum(result.splits.values()) == result.songs
    assert result.captions == 5


def test_blank_captions_are_left_out_and_told(corpus, out):
    """Spaces, what cannot be seen, marks alone; a song that has no other keeps its place, without a caption."""
    blanks = ["", "  ", "\u200b", "\u00a0\u3000", "...", "\ufeff?!"]
    rows = [
        {"id": str(number), "audio": f"audio/{number}.wav", "captions": [text]} for number, text in enumerate(blanks)
    ]
    rows.append({"id": "x", "audio": "audio/0.wav", "captions": ["", "雨", "7"]})
    source = write_rows(corpus.with_name("blank.jsonl"), rows)
    told = {"blank captions, left out": 7, "songs whose captions were all blank": 6}
    assert plan(PrepareOptions(source, out=out)).cleaned == told
    result = prepare(PrepareOptions(source, out=out, jobs=1))
    assert (result.songs, result.captions, result.cleaned) == (7, 2, told)
    assert json.loads((out / "dataset.json").read_text())["cleaned"] == told
    assert [json.loads(line)["text"] for line in (out / "captions.jsonl").read_text().splitlines()] == ["雨", "7"]


@pytest.mark.parametrize("cell", ["   ", "\u00a0", '" "', "..."])
def test_blank_cells_are_captions_left_out(corpus, out, cell):
    source = corpus.with_name("blank.csv")
    source.write_text(f"id,audio,caption\na,audio/0.wav,{cell}\nb,audio/1.wav,\nc,audio/2.wav,sad\n", encoding="utf-8")
    assert plan(PrepareOptions(source, out=out)).cleaned == {
        "blank captions, left out": 1,
        "songs whose captions were all blank": 1,
    }


def test_frozen_splits(corpus, out, tmp_path):
    """A prepared folder's own songs.jsonl freezes its splits for another seed."""
    run(corpus, tmp_path / "first", seed=1)
    run(corpus, out, seed=2, split_file=tmp_path / "first" / "songs.jsonl")
    assert [split for _, split, _ in texts(out)] == [split for _, split, _ in texts(tmp_path / "first")]
    assert PreparedData(out).info["options"]["split_file"]
