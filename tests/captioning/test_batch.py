"""Many songs: a folder, a manifest, a prepared folder; resumed, in parts, in any batches, from any tags."""

import csv
import errno
import json
import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile

from recap_cli import Captioner
from recap_cli.audio.settings import AudioSettings
from recap_cli.captioning import caption as module
from recap_cli.captioning import caption_input
from recap_cli.captioning.batch import Catalogue, KnownSongs
from recap_cli.captioning.caption import CaptionOptions, Tally, caption_songs, plan_captions
from recap_cli.captioning.caption_file import song_number
from recap_cli.captioning.caption_input import decode_audio
from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import AudioError, DataError, MachineError, ModelError, OptionError
from recap_cli.preparation.prepare import PrepareOptions, prepare
from recap_cli.processor import RecapProcessor
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.settings import Slice

SHORT = DecodingOptions(max_caption_tokens=10, min_caption_tokens=5, beams=2)
WORDS = ["the", "rain", "falls", "over", "the", "river", "and", "I", "sing", "alone", "we", "dance", "all", "night"]
ODD_NAMES = ("a b.wav", 'it\'s "q".wav', "two\nlines.wav", "café 雨 🎵.wav", "deep/er/x.wav", "-dash.wav", "[b].wav")


def sound(path: Path, seed: int = 0, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, round(16000 * seconds)), 16000)
    return path


@pytest.fixture(autouse=True)
def captioner(tiny_model, tiny_tokenizer, monkeypatch) -> Captioner:
    """Stands for every model that is loaded."""
    processor = RecapProcessor(tiny_tokenizer, AudioSettings(seconds=1.0), 64, 32)
    loaded = Captioner(tiny_model, processor, "tiny")
    monkeypatch.setattr(module, "load_captioner", lambda options, progress: loaded)
    return loaded


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ten songs with lyrics of different lengths, two damaged ones among them."""
    for number in range(10):
        sound(tmp_path / "songs" / f"{number}.wav", number, 0.5 + number % 3 / 4)
        (tmp_path / "songs" / f"{number}.txt").write_text(" ".join(WORDS[: 1 + 3 * number % 13]))
    (tmp_path / "songs" / "4.wav").write_text("no audio")
    (tmp_path / "songs" / "7.wav").write_bytes(b"")
    return tmp_path / "songs"


def caption(audio: Path | tuple[Path, ...], tally: Tally | None = None, **options):
    options = {"decoding": SHORT, "jobs": 1, **options}
    return list(caption_songs(CaptionOptions(audio, **options), tally=tally))


def lines(path: Path) -> dict[str, dict]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({record["id"] for record in records}) == len(records)
    return {record["id"]: record for record in records}


# batches --------------------------------------------------------------------------------------------------------------


def test_captions_do_not_depend_on_the_batch_or_the_jobs(folder):
    whole = {one.id: one.to_json() for one in caption(folder)}
    assert len({record["caption"] for record in whole.values()}) >= 4  # or this would show nothing
    for size, jobs in ((1, 1), (3, 1), (4, 2)):
        options = replace(SHORT, batch_size=size)
        found = {one.id: one.to_json() for one in caption(folder, decoding=options, jobs=jobs)}
        assert found.keys() == whole.keys()
        assert [found[name]["caption"] for name in whole] == [record["caption"] for record in whole.values()]
        assert [found[name].get("error") for name in whole] == [record.get("error") for record in whole.values()]


def test_drawn_captions_do_not_depend_on_the_neighbours(folder):
    drawn = DecodingOptions(max_caption_tokens=10, beams=1, sample=True, seed=3)
    many = {one.id: one.captions for one in caption(folder, decoding=drawn)}
    alone = caption(folder / "5.wav", decoding=drawn)[0]
    assert alone.captions == many["5.wav"]


def test_the_first_captions_come_soon(folder, captioner, monkeypatch):
    sizes = []
    generate = captioner.generate
    monkeypatch.setattr(captioner, "generate", lambda songs, *rest: sizes.append(len(songs)) or generate(songs, *rest))
    options = CaptionOptions(folder, decoding=DecodingOptions(max_caption_tokens=6, beams=1, batch_size=2), jobs=1)
    next(caption_songs(options))
    assert sizes == [2]


# resuming -------------------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on(folder, tmp_path):
    out, tally = tmp_path / "captions.jsonl", Tally()
    running = caption_songs(CaptionOptions(folder, decoding=SHORT, jobs=1, out=out, limit=6))
    list(zip(range(3), running, strict=False))
    running.close()
    before = out.read_bytes()
    assert 3 <= before.count(b"\n") < 10
    out.write_bytes(before + b'{"id": "9.wav", "au')
    caption(folder, tally, out=out)
    done = [line for line in before.splitlines(keepends=True) if b'"error"' not in line]
    assert out.read_bytes().startswith(b"".join(done))
    assert (tally.skipped, tally.failed) == (len(done), 2)
    found = lines(out)
    assert sum(bool(record["caption"]) for record in found.values()) == 8
    assert {name for name, record in found.items() if record.get("error")} == {"4.wav", "7.wav"}
    again = Tally()
    assert [one.id for one in caption(folder, again, out=out)] == ["4.wav", "7.wav"]
    assert (again.captioned, again.skipped, again.failed, len(again.reasons)) == (0, 8, 2, 2)
    assert lines(out) == found


def test_a_file_says_how_it_was_made(folder, tmp_path):
    out = tmp_path / "captions.jsonl"
    caption(folder, out=out, limit=2)
    with pytest.raises(OptionError, match="beams 2, now 1"):
        caption(folder, out=out, decoding=replace(SHORT, beams=1))
    with pytest.raises(OptionError, match="excerpt start, now middle"):
        caption(folder, out=out, excerpt="middle")


def test_songs_of_one_name_in_two_folders(folder, tmp_path):
    """Named one by one, each has its own line under its own key, and is found again when more are named."""
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    out, tally = tmp_path / "captions.jsonl", Tally()
    caption((folder / "0.wav", other / "0.wav"), out=out)
    found = caption((other / "0.wav", folder / "0.wav", folder / "1.wav", folder / "4.wav"), tally, out=out)
    assert [(Path(one.id), bool(one.error)) for one in found] == [(folder / "1.wav", False), (folder / "4.wav", True)]
    assert (tally.skipped, tally.captioned, tally.failed) == (2, 1, 1)
    assert lines(out).keys() == {
        str(one) for one in (folder / "0.wav", other / "0.wav", folder / "1.wav", folder / "4.wav")
    }
    both = caption((other, folder / "0.wav"))
    assert {one.id for one in both} == {str(other / f"{n}.wav") for n in range(10)} | {str(folder / "0.wav")}


def test_a_song_has_the_same_words_alone_and_among_others(folder):
    """With the lyrics beside it, under the same id."""
    first, second = caption((folder / "1.wav", folder / "5.wav"))
    assert caption(folder / "1.wav")[0].to_json() == first.to_json()
    assert caption(folder / "5.wav")[0].to_json() == second.to_json()
    assert first.lyrics_tokens != second.lyrics_tokens


def test_a_table_is_there_when_all_songs_are(folder, tmp_path):
    out = tmp_path / "captions.csv"
    running = caption_songs(CaptionOptions(folder, decoding=SHORT, jobs=1, out=out))
    next(running)
    running.close()
    assert not out.exists() and not list(tmp_path.glob(".*"))
    caption(folder, out=out)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["id"] for row in rows] == [f"{number}.wav" for number in range(10)]
    assert [row["id"] for row in rows if row["error"]] == ["4.wav", "7.wav"]
    before = out.read_text()
    caption(folder, out=out)  # ours may be replaced
    assert out.read_text() == before


def test_a_loaded_model_captions_many_songs(folder, captioner, monkeypatch):
    monkeypatch.setattr(module, "load_captioner", lambda *_: pytest.fail("the model was loaded"))
    songs = (folder / "1.wav", folder / "5.wav")
    options = CaptionOptions(songs, decoding=SHORT, jobs=1)
    found = list(caption_songs(options, captioner=captioner))
    assert [one.caption for one in found] == [
        captioner.caption(song, song.with_suffix(".txt"), decoding=SHORT).caption for song in songs
    ]


def test_parts_are_written_apart_and_make_the_whole(folder, tmp_path):
    out = tmp_path / "captions.jsonl"
    for part in (1, 2, 3):
        caption(folder, out=out, shard=Slice(part, 3))
    files = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert files == [f"captions-{part}-of-3.jsonl" for part in (1, 2, 3)]
    ids = [name for file in files for name in lines(tmp_path / file)]
    assert sorted(ids) == sorted(f"{number}.wav" for number in range(10))


def test_the_plan_writes_nothing(folder, tmp_path):
    out = tmp_path / "captions.jsonl"
    options = CaptionOptions(folder, decoding=SHORT, jobs=1, out=out)
    plan = plan_captions(options)
    assert not out.exists()
    assert (plan["songs"], plan["to_caption"], plan["with_lyrics"]) == (10, 10, 10)
    assert plan["songs_per_hour"] > 0
    caption(folder, out=out, limit=6)
    before = out.read_bytes()
    plan = plan_captions(options)
    assert (plan["songs"], plan["done_before"], plan["to_caption"]) == (10, 5, 5)  # one of six failed
    assert out.read_bytes() == before


def test_failures_are_tried_again(folder, tmp_path, monkeypatch):
    """One was mended, one is of a format that can be decoded now, one has gone, one is in a folder that opens."""
    out, tally = tmp_path / "captions.jsonl", Tally()
    shutil.copy(folder / "0.wav", folder / "8.m4a")
    sound(folder / "locked" / "x.wav")
    with monkeypatch.context() as patch:
        deny(patch, "locked")
        patch.setattr(caption_input, "decode_audio", needs_ffmpeg)
        caption(folder, tally, out=out)
    assert {Path(name).name: reason.partition(": ")[2] for name, reason in tally.reasons.items()} == {
        "4.wav": "", "7.wav": "", "8.m4a": "needs ffmpeg", "locked": "Permission denied",
    }  # fmt: skip
    before = lines(out)
    shutil.copy(folder / "0.wav", folder / "4.wav")
    (folder / "7.wav").unlink()
    (folder / "7.wav").mkdir()
    again = Tally()
    found = {one.id: one.error for one in caption(folder, again, out=out)}
    assert found == {"4.wav": "", "8.m4a": "", "locked/x.wav": ""}
    assert (again.captioned, again.failed, again.skipped) == (3, 0, 8)
    assert lines(out).keys() == (before.keys() - {"7.wav", "locked"}) | {"locked/x.wav"}


def needs_ffmpeg(audio, settings, excerpt):
    if str(audio).endswith(".m4a"):
        raise AudioError(f"{audio}: needs ffmpeg")
    return decode_audio(audio, settings, excerpt)


def deny(monkeypatch, name: str) -> None:
    """A folder that may not be read, by root neither."""
    real = os.scandir

    def scandir(path):
        if Path(path).name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_the_machines_fault_ends_the_run_and_nothing_is_lost(folder, tmp_path, monkeypatch):
    """No song is written down for it, and all that were captioned before it are there."""
    out, heard = tmp_path / "captions.jsonl", []

    def fill_up(audio, settings, excerpt):
        heard.append(audio)
        if len(heard) == 6:
            raise OSError(errno.ENOSPC, "there is no room in /tmp")
        return decode_audio(audio, settings, excerpt)

    with monkeypatch.context() as patch:
        patch.setattr(caption_input, "decode_audio", fill_up)
        with pytest.raises(MachineError, match="no room"):
            caption(folder, out=out, decoding=replace(SHORT, batch_size=2))
    assert [record.get("error", "")[-7:] for record in lines(out).values()] == ["", ""]
    tally = Tally()
    caption(folder, tally, out=out)
    assert (tally.captioned, tally.failed, tally.skipped) == (6, 2, 2)


def test_what_is_told_does_not_depend_on_the_file(folder, tmp_path, monkeypatch):
    """The same songs, captions, reasons and counts, whether lines go to a file or to stdout."""
    deny(monkeypatch, "locked")
    (folder / "locked").mkdir()
    (folder / "self").symlink_to("self")
    (folder / "gone.mp3").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.ogg")
    rows = [("x", "0.wav"), ("x", "1.wav"), ("x", "0.wav"), ("y", "4.wav"), ("x", "2.wav"), ("y", "4.wav")]
    table = folder / "songs.csv"
    table.write_text("id,audio\n" + "".join(f"{name},{audio}\n" for name, audio in rows))
    for source, done, failed in ((folder, 8, 6), (table, 1, 3)):
        one, two = Tally(), Tally()
        shown = [result.to_json() for result in caption(source, one)]
        written = caption(source, two, out=tmp_path / f"{source.name}.jsonl")
        assert shown == [result.to_json() for result in written]
        assert one == two and (one.captioned, one.failed) == (done, failed)
        assert list(lines(tmp_path / f"{source.name}.jsonl")) == [result["id"] for result in shown]


# the file -------------------------------------------------------------------------------------------------------------


def test_a_file_that_would_destroy_something_is_refused_before_the_model_is_loaded(folder, tmp_path, monkeypatch):
    manifest = tmp_path / "songs.jsonl"
    manifest.write_text('{"id": "0", "audio": "songs/0.wav"}\n{"id": "')
    (folder / "empty.flac").touch()
    (folder / "notes.json").write_text('{"id": "my notes"}')
    monkeypatch.setattr(module, "load_captioner", lambda *_: pytest.fail("the model was loaded"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for out, reason in {
        manifest: "is an input of this command",
        folder: "is an input of this command",
        folder / "empty.flac": "has the name of a song",
        folder / "new.MP3": "has the name of a song",
        folder / "0.txt": "not of our making",
        folder / "4.lrc": "has the name of the texts of a song",
        folder / "0.caption.txt": "has the name of the texts of a song",
        folder / "notes.json": "not of our making",
        Path("/dev/null"): "is a device",
    }.items():
        source = manifest if out == manifest else folder
        with pytest.raises(OptionError, match=reason):
            caption(source, out=out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


# sources --------------------------------------------------------------------------------------------------------------


def test_odd_names(tmp_path):
    for name in ODD_NAMES:
        sound(tmp_path / "songs" / name)
    out = tmp_path / "captions.jsonl"
    caption(tmp_path / "songs", out=out)
    assert sorted(lines(out)) == sorted(ODD_NAMES)
    again = Tally()
    caption(tmp_path / "songs", again, out=out)
    assert again.skipped == len(ODD_NAMES)


def test_lyrics_from_lrc_and_tags(tmp_path):
    """Beside the file first, then in it, Windows line ends and several stamps a line and all."""
    tagged, both, lrc = (sound(tmp_path / "songs" / name) for name in ("tagged.flac", "both.flac", "lrc.flac"))
    for path in (tagged, both):
        file = mutagen.File(path)
        file["LYRICS"] = "[00:01.00]the rain falls\r\n[Chorus]\r\nover the river"
        file.save()
    (tmp_path / "songs" / "both.txt").write_text("we dance all night")
    lrc.with_suffix(".lrc").write_bytes("[00:09.00][00:01.00]the rain\r\n[00:05.00]falls\r\n".encode("utf-8-sig"))
    by_name = {Path(one.audio).stem: one for one in caption(tmp_path / "songs")}
    for stem, text in (
        ("tagged", "the rain falls\nover the river"),
        ("both", "we dance all night"),
        ("lrc", "the rain\nfalls\nthe rain"),
    ):
        told = caption(tmp_path / "songs" / f"{stem}.flac", lyrics_text=text)[0]
        assert (by_name[stem].caption, by_name[stem].lyrics_tokens) == (told.caption, told.lyrics_tokens)
        assert by_name[stem].warnings == []
        assert caption(tmp_path / "songs" / f"{stem}.flac")[0].lyrics_tokens == told.lyrics_tokens
    alone = {Path(one.audio).stem: one for one in caption(tmp_path / "songs", instrumental=True)}
    assert {one.lyrics_tokens for one in alone.values()} == {2}
    assert all(one.warnings == [] for one in alone.values())


@pytest.mark.parametrize(
    "text",
    [
        "la lluvia cae sobre el río y canto solo, ¿quién?",
        "la pluie tombe sur la rivière, où es-tu, cœur ?",
        "der Regen fällt über den Fluß, ich singe für dich",
        "雨落在河上\n我独自歌唱",
        "المطر يهطل فوق النهر\nوأنا أغني وحدي",
    ],
)
def test_lyrics_of_every_script(tmp_path, captioner, text):
    sound(tmp_path / "song.wav")
    (tmp_path / "song.txt").write_bytes(text.replace("\n", "\r\n").encode())
    found = caption(tmp_path / "song.wav")[0]
    assert found.lyrics_tokens == captioner.processor.encode_lyrics(text)[1] > 10
    assert found.caption


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 2), (192000, 6)])
def test_every_kind_of_audio(tmp_path, suffix, rate, channels):
    if suffix == "mp3" and (channels > 2 or rate > 48000):
        pytest.skip("there is no such mp3")
    if suffix == "opus" and rate > 48000:
        rate = 48000
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (rate // 2, channels))
    form = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
    soundfile.write(tmp_path / f"song.{suffix}", samples, rate, **form)
    found = caption(tmp_path / f"song.{suffix}", instrumental=True)[0]
    assert found.caption and found.excerpt["seconds"] == pytest.approx(0.5, abs=0.1)


def test_a_manifest(tmp_path):
    """Rows that name a song twice give one line; what is no song keeps its reason; a done row costs no reading."""
    for name in "ab":
        sound(tmp_path / f"{name}.wav", ord(name))
    rows = [
        {"id": "1", "audio": "a.wav", "lyrics": "the rain", "caption": "one"},
        {"id": "1", "audio": "a.wav", "lyrics": "the rain", "caption": "two"},
        {"audio": "b.wav"},
        {"id": "3", "lyrics": "of nothing"},
        {"id": "1", "audio": "a.wav", "lyrics": "the rain", "caption": "three"},
        {"audio": "../outside.wav"},
    ]
    manifest, out = tmp_path / "songs.jsonl", tmp_path / "out.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in [*rows, "no song"]))
    tally = Tally()
    caption(manifest, tally, out=out)
    found = lines(out)
    assert list(found) == ["1", "b.wav", "songs.jsonl, line 4", "../outside.wav", "songs.jsonl, line 7"]
    assert [bool(record["caption"]) for record in found.values()] == [True, True, False, False, False]
    assert (tally.captioned, tally.failed, tally.skipped) == (2, 3, 0)
    again = Tally()
    caption(manifest, again, out=out)
    assert (again.captioned, again.failed) == (0, 3)
    table = tmp_path / "songs.csv"
    table.write_text("id,audio,lyrics,title,artist\n1,a.wav,the rain,Rain,Nina\n2,b.wav,,,\n")
    by_id = {one.id: one for one in caption(table)}
    assert [by_id[name].title for name in "12"] == ["Nina - Rain", ""]
    assert by_id["1"].caption == found["1"]["caption"] and by_id["2"].caption == found["b.wav"]["caption"]


def test_an_id_stands_for_one_song(tmp_path):
    """Rows of an id with other audio are refused by line; rows that say the same again are the same song."""
    for name in ("0", "1", "2"):
        sound(tmp_path / f"{name}.wav", ord(name))
    table, out = tmp_path / "dupe.csv", tmp_path / "out.jsonl"
    rows = ["x,0.wav", "x,1.wav", "x,2.wav", "x,./0.wav", "y,1.wav", "y,1.wav", ",2.wav", "2.wav,0.wav"]
    table.write_text("id,audio\n" + "".join(f"{row}\n" for row in rows))
    for done in (0, 3):  # a second run says the same
        tally = Tally()
        caption(table, tally, out=out)
        assert (tally.captioned, tally.failed, tally.skipped) == (3 - done, 3, done)
        refused = {name: record["error"] for name, record in lines(out).items() if "error" in record}
        told = {f"dupe.csv, line {line}": name for line, name in ((3, "x"), (4, "x"), (9, "2.wav"))}
        assert refused == {line: f"{line}: another song has the same id, {name}" for line, name in told.items()}
    ids = [name for part in (1, 2) for name in lines_of(table, tmp_path / "part.jsonl", Slice(part, 2))]
    assert sorted(ids) == sorted(lines(out))


def test_songs_that_are_known():
    known = KnownSongs()
    rows = ("x 0.ogg", "x 0.ogg", "x ./0.ogg", "x 1.ogg", "y 0.ogg", "x 0.ogg", "x 1.ogg")
    told = [known.meet(song_number(name), audio) for name, audio in map(str.split, rows)]
    assert told == ["new", "again", "again", "other", "new", "again", "other"]


def lines_of(source: Path, out: Path, shard: Slice) -> list[str]:
    """The ids of one part of a catalogue."""
    caption(source, out=out, shard=shard)
    return list(lines(out.with_name(f"{out.stem}-{shard.label}{out.suffix}")))


def test_music4alls_files_of_one_id_are_told(tmp_path):
    for name in ("one.wav", "more/one.wav", "one.flac"):
        sound(tmp_path / "audios" / name, len(name))
    (tmp_path / "lyrics").mkdir()
    tally = Tally()
    found = caption(tmp_path, tally)
    assert (tally.captioned, tally.failed) == (1, 2) and len({one.id for one in found}) == 3
    assert set(tally.reasons.values()) == {"another song has the same id"}


def test_prepared_data_stand_for_the_audio(tiny_data, tiny_model, tiny_processor, captioner, monkeypatch):
    monkeypatch.setattr(module, "load_captioner", lambda *_: Captioner(tiny_model, tiny_processor, "tiny"))
    found = caption(tiny_data.folder, limit=5, decoding=replace(SHORT, beams=1))
    assert [one.id for one in found] == [entry.song.id for entry in tiny_data.songs[:5]]
    assert all(one.caption and not one.error for one in found)
    assert found[0].settings["excerpt"] == "prepared"
    with pytest.raises(OptionError, match="recap prepare chose the excerpts"):
        caption(tiny_data.folder, excerpt="middle")
    monkeypatch.setattr(module, "load_captioner", lambda *_: captioner)  # hears one second
    with pytest.raises(ModelError, match="was trained on audio prepared in another way"):
        caption(tiny_data.folder)


def test_slices_that_were_copied_together_stand_for_the_audio(tmp_path):
    for shard in ("1/2", "2/2"):
        prepare(PrepareOptions(limit=24, test_songs=4, jobs=1, out=tmp_path, shard=shard))
    assert not (tmp_path / "dataset.json").exists()
    assert Catalogue((tmp_path,)).count() == len(PreparedData(tmp_path).songs) > 0


def test_what_holds_no_songs_is_refused_first(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_captioner", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(DataError, match="holds no songs"):
        caption(tmp_path)
    (tmp_path / "songs.csv").write_text("id,lyrics\n1,la\n")
    with pytest.raises(DataError, match="has no column audio"):
        caption(tmp_path / "songs.csv")


def test_how_many_there_are(folder, tiny_data, tmp_path):
    assert Catalogue((folder,)).count() == 10
    assert Catalogue((folder,), limit=3).count() == 3
    assert Catalogue((tiny_data.folder,)).count() == len(tiny_data.songs)
    (tmp_path / "x.jsonl").write_text('{"audio": "a.wav"}\n' * 7)
    assert Catalogue((tmp_path / "x.jsonl",)).count() == 7
    (tmp_path / "x.csv").write_text("audio\na.wav\n")
    assert Catalogue((tmp_path / "x.csv",)).count() is None


# a whole song ---------------------------------------------------------------------------------------------------------


def test_the_whole_song_counts(tmp_path, captioner):
    """Windows of one second: an end that only `whole` hears changes the states, and a song of one window is itself."""
    first = sound(tmp_path / "first.wav", 1, 3.4)
    samples, rate = soundfile.read(first)
    samples[-16000:] *= np.sin(np.arange(16000) / 20)
    other = tmp_path / "other.wav"
    soundfile.write(other, samples, rate)
    heard = captioner.decode_audio(first, "whole")
    assert heard.excerpt == {"start": 0.0, "seconds": pytest.approx(3.4), "windows": 4}
    steps = captioner.processor.audio.frames(16000)
    per_window = 1 + -(-steps // 8)
    assert len(heard.states) == 3 * per_window + round(0.4 / 0.128)
    changed = captioner.decode_audio(other, "whole").states
    assert np.array_equal(changed[: 2 * per_window], heard.states[: 2 * per_window])
    assert not np.array_equal(changed[2 * per_window :], heard.states[2 * per_window :])
    one, two = (caption(path, excerpt="whole", lyrics_text="the rain")[0] for path in (first, other))
    assert one.scores != two.scores
    assert caption(first, lyrics_text="the rain")[0].scores != one.scores
    short = sound(tmp_path / "short.wav", 1, 1.0)
    whole, start = (caption(short, excerpt=excerpt, lyrics_text="the rain")[0] for excerpt in ("whole", "start"))
    assert whole.caption == start.caption and whole.scores == pytest.approx(start.scores, abs=1e-5)


def test_a_whole_song_keeps_a_few_windows_in_memory(tmp_path, captioner):
    """Of a minute more only its states stay: 118 times 8 numbers a window, not its 128 times 938 mel."""
    peaks = []
    for seconds in (8, 68):
        song = sound(tmp_path / "song.wav", 1, seconds)
        tracemalloc.start()
        captioner.decode_audio(song, "whole")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 60 * 10_000


def test_a_folder_of_whole_songs(folder):
    found = {one.id: one for one in caption(folder, excerpt="whole")}
    assert found["1.wav"].caption == caption(folder / "1.wav", excerpt="whole")[0].caption
    assert found["4.wav"].error and found["7.wav"].error


def test_a_silent_song_and_a_silent_part(tmp_path):
    loud = sound(tmp_path / "loud.wav", 1, 2.0)
    samples, rate = soundfile.read(loud)
    samples[:16000] = 0
    soundfile.write(tmp_path / "half.wav", samples, rate)
    soundfile.write(tmp_path / "silent.wav", 0 * samples, rate)
    silence = "silent: the excerpt peaks below -80 dBFS"
    warned = {
        name: caption(tmp_path / f"{name}.wav", excerpt="whole", instrumental=True)[0].warnings
        for name in ("loud", "half", "silent")
    }
    assert warned == {"loud": [], "half": [], "silent": [silence]}


def test_a_copy_of_the_folder_elsewhere_is_the_same_catalogue(folder, tmp_path):
    """Lines carry ids relative to the folder, so that a moved catalogue goes on."""
    out = tmp_path / "captions.jsonl"
    caption(folder, out=out, limit=5)
    shutil.move(folder, tmp_path / "moved")
    tally = Tally()
    caption(tmp_path / "moved", tally, out=out)
    assert tally.skipped == 4 and len(lines(out)) == 10
