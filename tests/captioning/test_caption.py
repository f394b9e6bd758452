"""One song, or many, to captions: what is heard, which lyrics count, which model answers, and what is warned of."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from benchmarks import batch_caption
from hostile_models import copy_model
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartForConditionalGeneration

from recap_cli import Captioner
from recap_cli.audio.decode import read_excerpt
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.captioning.caption import CaptionOptions, caption_songs, find_lyrics, load_captioner
from recap_cli.captioning.captioner import NO_LYRICS
from recap_cli.errors import AudioError, LyricsError, ModelError, OptionError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.published import FUSION_NAMES
from recap_cli.processor import RecapProcessor
from recap_cli.progress import SilentProgress
from recap_cli.runtime import hub
from recap_cli.runtime.decoding import DecodingOptions, generate_captions

SHORT = DecodingOptions(max_caption_tokens=12)
LYRICS = "the rain falls over the river and I sing alone"


def tone(path: Path, hertz: float = 330.0, seconds: float = 8.0, rate: int = 16000, peak: float = 0.4) -> Path:
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, peak * np.sin(2 * np.pi * hertz * time * (1 + time / 4)), rate)
    return path


@pytest.fixture
def captioner(tiny_model, tiny_processor) -> Captioner:
    return Captioner(tiny_model, tiny_processor, "tiny")


@pytest.fixture
def song(tmp_path) -> Path:
    return tone(tmp_path / "song.wav")


@pytest.fixture
def copy(tiny_run, tmp_path) -> Path:
    """A model folder of one's own, to be damaged."""
    shutil.copytree(tiny_run, tmp_path / "copy")
    return tmp_path / "copy"


# one song -------------------------------------------------------------------------------------------------------------


def test_a_caption_is_made_door_by_door(captioner, song):
    """Excerpt, log-mel, processor, generate, decode: `caption` adds nothing and leaves nothing out."""
    result = captioner.caption(song, LYRICS, decoding=SHORT)
    mel = log_mel(read_excerpt(song, AudioSettings()).samples, AudioSettings())
    batch = captioner.processor([LYRICS], [mel])
    written = next(iter(generate_captions(captioner.model, captioner.processor, [batch], SHORT)))
    assert result.captions == written.captions == [result.caption]
    assert result.scores == written.scores
    assert result.lyrics_tokens == int(batch["attention_mask"].sum())
    assert (result.audio, result.model, result.warnings) == (str(song), "tiny", [])
    assert result.excerpt == {"start": 0.0, "seconds": 8.0}


def test_music_and_lyrics_both_count(captioner, song, tmp_path):
    other = tone(tmp_path / "other.wav", hertz=2000, seconds=6)
    captions = {
        captioner.caption(audio, lyrics, decoding=SHORT).scores[0] for audio in (song, other) for lyrics in (LYRICS, "")
    }
    assert len(captions) == 4


def test_the_same_song_gives_the_same_record(captioner, song):
    first = captioner.caption(song, LYRICS, decoding=SHORT).to_json()
    assert first == captioner.caption(song, LYRICS, decoding=SHORT).to_json()
    made_by = ["model", "excerpt", "settings", "lyrics_tokens", "warnings", "weights", "recap", "schema"]
    assert list(first) == ["id", "audio", "caption", "captions", "scores", *made_by]
    assert first["settings"]["beams"] == 4
    json.dumps(first, allow_nan=False)


def test_lyrics_are_text_or_a_file(captioner, song, tmp_path):
    (tmp_path / "lyrics.txt").write_text(f"[Verse 1]\r\n{LYRICS}\r\n", encoding="utf-16")
    (tmp_path / "lyrics.lrc").write_text(f"[ar:Nobody]\n[00:01.00]{LYRICS}\n")
    told = captioner.caption(song, LYRICS, decoding=SHORT)
    assert captioner.caption(song, tmp_path / "lyrics.txt", decoding=SHORT).scores == told.scores
    assert captioner.caption(song, tmp_path / "lyrics.lrc", decoding=SHORT).scores == told.scores
    with pytest.raises(LyricsError, match=r"none\.txt cannot be read: No such file"):
        captioner.caption(song, tmp_path / "none.txt", decoding=SHORT)
    for name in ("none.txt", "Words.LRC", str(tmp_path / "lyrics.txt"), str(song)):
        with pytest.raises(LyricsError, match="are the name of a file") as caught:
            captioner.caption(song, name, decoding=SHORT)
        assert caught.value.hint == f"pass Path({name!r}) to have it read"


@pytest.mark.parametrize("excerpt", ["middle", 1.0, "1"])
def test_excerpts(tiny_model, tiny_tokenizer, song, excerpt):
    captioner = Captioner(tiny_model, RecapProcessor(tiny_tokenizer, AudioSettings(seconds=0.5)), "tiny")
    result = captioner.caption(song, LYRICS, excerpt=excerpt, decoding=SHORT)
    assert result.excerpt == {"start": 3.75 if excerpt == "middle" else 1.0, "seconds": 0.5}
    assert result.scores != captioner.caption(song, LYRICS, decoding=SHORT).scores


def test_an_excerpt_behind_the_end(captioner, song):
    with pytest.raises(AudioError, match=r"song\.wav is 8\.0 s long, no excerpt starts at 9 s"):
        captioner.caption(song, LYRICS, excerpt=9.0)


def test_warnings(captioner, song, tmp_path, monkeypatch):
    monkeypatch.setattr(captioner.processor, "decode", lambda ids: ["la"])

    def warnings(audio, lyrics):
        return captioner.caption(audio, lyrics, decoding=SHORT).warnings

    assert warnings(song, LYRICS) == []
    assert warnings(song, None) == []
    assert warnings(song, "") == [NO_LYRICS]
    assert warnings(song, "[Instrumental]\n\n") == [NO_LYRICS]
    silent = tone(tmp_path / "silent.wav", peak=0.0)
    assert warnings(silent, LYRICS) == ["silent: the excerpt peaks below -80 dBFS"]
    assert warnings(tone(tmp_path / "short.wav", seconds=0.2), LYRICS) == ["very short: 0.20 s of audio"]
    half = ["short: the excerpt has less than half of the 15 s that the model can hear"]
    assert warnings(tone(tmp_path / "half.wav", seconds=7.0), LYRICS) == half
    long = captioner.caption(song, f"{LYRICS}\n" * 9, decoding=SHORT)
    assert long.warnings == [f"lyrics cut at 64 tokens: they have {long.lyrics_tokens}"]
    assert long.lyrics_tokens > 64


def test_a_model_that_does_not_listen_says_so(tiny_config, tiny_processor, song, tmp_path):
    torch.manual_seed(0)
    model = RecapForCaptioning(RecapConfig(**{**tiny_config.to_dict(), "use_music": False}))
    captioner = Captioner(model, tiny_processor, "deaf")
    result = captioner.caption(song, LYRICS, decoding=SHORT)
    assert result.warnings == ["the model does not use the music: it was trained without"]
    other = captioner.caption(tone(tmp_path / "other.wav", hertz=2000), LYRICS, decoding=SHORT)
    assert other.captions == result.captions


def test_an_empty_caption_is_warned_of(captioner, song, monkeypatch):
    monkeypatch.setattr(captioner.processor, "decode", lambda ids: [""])
    assert captioner.caption(song, LYRICS, decoding=SHORT).warnings == ["the model wrote an empty caption"]


# which lyrics ---------------------------------------------------------------------------------------------------------


def test_lyrics_beside_the_audio_are_found(song, tmp_path):
    assert find_lyrics(CaptionOptions(song)).text == ""
    (tmp_path / "song.txt").write_text("beside")
    (tmp_path / "named.txt").write_text("named")
    assert find_lyrics(CaptionOptions(song)).text == "beside"
    assert find_lyrics(CaptionOptions(song)).source == str(tmp_path / "song.txt")
    assert find_lyrics(CaptionOptions(song, lyrics=tmp_path / "named.txt")).text == "named"
    assert find_lyrics(CaptionOptions(song, lyrics_text="[Chorus]\ntyped\n")).text == "typed"
    assert find_lyrics(CaptionOptions(song, instrumental=True)) is None


# many songs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three songs: one with lyrics, one that is no audio, one without lyrics."""
    folder = tmp_path / "songs"
    folder.mkdir()
    tone(folder / "a.wav")
    (folder / "a.txt").write_text(LYRICS)
    (folder / "b.wav").write_text("this is no audio")
    tone(folder / "c.wav", hertz=900)
    return folder


def test_a_bad_song_does_not_stop_the_others(folder, tiny_run):
    a, b, c = caption_songs(CaptionOptions(folder, model=str(tiny_run), decoding=SHORT, device="cpu"))
    assert [Path(one.audio).name for one in (a, b, c)] == ["a.wav", "b.wav", "c.wav"]
    assert a.caption and c.caption and not a.error and not c.error
    assert (a.warnings, c.warnings) == ([], [NO_LYRICS])
    assert b.captions == [] and b.caption == ""
    assert b.error == f"{folder / 'b.wav'} is not audio that can be decoded"
    assert b.to_json()["error"] == b.error
    alone = next(caption_songs(CaptionOptions(folder / "a.wav", model=str(tiny_run), decoding=SHORT, device="cpu")))
    assert {**alone.to_json(), "id": "a.wav"} == a.to_json()


def test_a_manifest(folder, tiny_run):
    manifest = folder / "songs.jsonl"
    rows = [{"audio": "c.wav", "lyrics": LYRICS}, {"lyrics": "of nothing"}, {"audio": "../outside.wav"}]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second, third = caption_songs(CaptionOptions(manifest, model=str(tiny_run), decoding=SHORT, device="cpu"))
    assert (first.audio, first.warnings, first.error) == (str(folder / "c.wav"), [], "")
    assert second.error == "the row names no audio"
    assert third.error == f"the audio lies outside {folder}"


def test_one_lyrics_for_many_songs(folder):
    with pytest.raises(OptionError, match="stands for many songs, so one LYRICS does not fit"):
        CaptionOptions(folder, lyrics=folder / "a.txt")
    with pytest.raises(OptionError, match="stands for many songs"):
        CaptionOptions(Path("songs.csv"), lyrics_text="la")


@pytest.mark.parametrize("excerpt", ["random", "foo", "-1", "nan", "inf", ""])
def test_no_place_in_a_song(folder, song, excerpt):
    """Refused before any work: it is no fault of the songs, each of which would fail."""
    for audio in (folder, song):
        with pytest.raises(OptionError, match="is no place in a song"):
            CaptionOptions(audio, excerpt=excerpt)


# which model ----------------------------------------------------------------------------------------------------------


def test_what_is_used_without_a_model_is_said(tmp_path, monkeypatch):
    """The embedded model; where something was trained here, also how to caption with that."""
    told = []
    progress = SilentProgress()
    monkeypatch.setattr(progress, "say", told.append, raising=False)
    monkeypatch.setattr(Captioner, "from_pretrained", lambda *_, **__: None)
    monkeypatch.chdir(tmp_path)
    load_captioner(CaptionOptions(Path("x.wav")), progress)
    assert len(told) == 1 and told[0].startswith("No --model: captioning with the embedded model")
    (tmp_path / "runs" / "my run").mkdir(parents=True)
    (tmp_path / "runs" / "my run" / "figures.json").write_text("{}")
    load_captioner(CaptionOptions(Path("x.wav")), progress)
    assert len(told) == 3 and told[2].endswith("--model 'runs/my run'")
    load_captioner(CaptionOptions(Path("x.wav"), model="m"), progress)
    assert len(told) == 3
    load_captioner(CaptionOptions(Path("x.wav"), model="demo"), progress)
    assert len(told) == 4 and "does not understand real ones" in told[3]


def test_the_demo_model_has_a_name(tmp_path, monkeypatch):
    """It is the package's wherever the command stands; only a model in a folder of that name goes before it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # of songs, say
    captioner = Captioner.from_pretrained("demo", device="cpu")
    assert captioner.name == "demo" and not captioner.model.config.states_facts
    (tmp_path / "demo").rmdir()
    theirs, told = copy_model(tmp_path / "demo"), []
    change(theirs / "config.json", states_facts=True)
    progress = SilentProgress()
    monkeypatch.setattr(progress, "say", told.append, raising=False)
    captioner = Captioner.from_pretrained("demo", device="cpu", progress=progress)
    assert captioner.name == "demo" and captioner.model.config.states_facts
    assert told == ["--model demo: the model in the folder demo, not the package's."]


def test_the_embedded_model_is_used_where_none_is_named(monkeypatch, tmp_path):
    """One constant decides which it is."""
    monkeypatch.setattr(hub, "EMBEDDED_MODEL", copy_model(tmp_path / "other"))
    monkeypatch.setattr(hub, "EMBEDDED_NAME", "embedded model")
    change(tmp_path / "other" / "config.json", states_facts=True)
    assert Captioner.from_pretrained(device="cpu").model.config.states_facts
    assert Captioner.from_pretrained(device="cpu").name == "embedded model"
    assert not Captioner.from_pretrained("demo", device="cpu").model.config.states_facts


def test_a_run_folder(tiny_run, song):
    captioner = Captioner.from_pretrained(tiny_run, device="cpu")
    assert captioner.name == str(tiny_run)
    assert not captioner.model.training
    assert len(captioner.caption(song, LYRICS, decoding=SHORT).caption) > 0


def refused(source, **options) -> tuple[str, str]:
    with pytest.raises(ModelError) as caught:
        Captioner.from_pretrained(source, device="cpu", **options)
    return caught.value.message, caught.value.hint


def test_no_such_model(tmp_path):
    where = tmp_path / "nothing"
    assert refused(where) == (
        f"--model: no folder {where}",
        "name a folder, or a model of the hub as hf://owner/name",
    )
    assert refused("nobody/nothing")[0] == "--model: no folder nobody/nothing"
    assert refused("hf://nobody/nothing") == (
        "--model: no model hf://nobody/nothing: it is not in the local cache and there is no network",
        "name a folder, or go online",
    )


def test_folders_that_are_no_model(tmp_path):
    assert refused(tmp_path) == (
        f"{tmp_path} holds no model: it has no config.json",
        "name a run folder of recap train",
    )
    (tmp_path / "config.json").write_text("{")
    assert refused(tmp_path)[0].startswith(f"{tmp_path / 'config.json'} cannot be read as JSON")


def test_a_plain_bart(tmp_path):
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 50}
    BartForConditionalGeneration(BartConfig(**sizes, decoder_attention_heads=2)).save_pretrained(tmp_path)
    assert refused(tmp_path) == (
        f"{tmp_path} holds a bart model, not a RECAP model",
        "train one from it: recap train --bart FOLDER",
    )


def test_damaged_model_folders(copy):
    weights = load_file(copy / "model.safetensors")
    less = {key: value for key, value in weights.items() if key != "alignment.projection.weight"}
    save_file(less, copy / "model.safetensors", metadata={"format": "pt"})
    assert refused(copy)[0] == f"the model in {copy} lacks 1 tensors, such as alignment.projection.weight"
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert refused(copy)[0].startswith(f"{copy / 'model.safetensors'} cannot be read as weights")
    (copy / "model.safetensors").unlink()
    assert refused(copy)[0].startswith(f"the model in {copy} cannot be loaded")


def test_a_model_without_its_processor(copy):
    (copy / "recap_processor.json").unlink()
    assert refused(copy) == (
        f"{copy} has no recap_processor.json",
        "is it a model that recap train wrote?",
    )


def change(file: Path, **changes) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **changes}))


def test_a_processor_of_another_model(copy):
    """What does not fit is refused by name, before anything is captioned."""
    settings = json.loads((copy / "recap_processor.json").read_text())
    change(copy / "recap_processor.json", max_lyrics_tokens=4096)
    message, hint = refused(copy)
    assert (
        message
        == f"the processor in {copy} does not fit the model: recap_processor.json allows 4096 tokens, the model 512"
    )
    assert hint == "copy the model folder again"
    change(copy / "recap_processor.json", **{**settings, "audio": {**settings["audio"], "mels": 64}})
    assert refused(copy)[0].endswith("recap_processor.json makes 64 mel bands, the music encoder takes 128")
    change(copy / "recap_processor.json", **settings)
    whole = json.loads((copy / "config.json").read_text())
    weights = load_file(copy / "model.safetensors")
    smaller = whole["vocab_size"] - 7
    cut = {key: value[:smaller] if value.shape[:1] == (smaller + 7,) else value for key, value in weights.items()}
    cut["final_logits_bias"] = weights["final_logits_bias"][:, :smaller]
    save_file({key: value.contiguous() for key, value in cut.items()}, copy / "model.safetensors")
    change(copy / "config.json", vocab_size=smaller)
    assert refused(copy)[0].endswith(f"its tokenizer knows {smaller + 7} tokens, the model {smaller}")


def test_weights_of_another_config(copy):
    change(copy / "config.json", encoder_ffn_dim=128)
    assert refused(copy)[0].endswith("fc1.bias is [256], wanted [128]")
    change(copy / "config.json", encoder_ffn_dim=256, fusion_layers=[1, 9])
    assert refused(copy)[0] == f"{copy / 'config.json'} does not fit: --fusion-layers 1,9 is out of range"


def test_a_model_without_its_music_encoder(copy):
    weights = load_file(copy / "model.safetensors")
    less = {key: value for key, value in weights.items() if "music_encoder" not in key}
    save_file(less, copy / "model.safetensors", metadata={"format": "pt"})
    message, _ = refused(copy)
    assert message.startswith(f"the model in {copy} lacks its music encoder, such as model.encoder.music_encoder.")
    message, _ = refused(copy, music_encoder=Path("cnnsa.pth"))
    assert message == f"--music-encoder cnnsa.pth does not go with {copy}, which holds a music encoder of its own"


def test_mapped_weights_are_the_models(tiny_run):
    """The quick loader gives what transformers gives, tied weights and buffers too."""
    ours = Captioner.from_pretrained(tiny_run, device="cpu").model
    theirs = RecapForCaptioning.from_pretrained(tiny_run)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
    assert ours.lm_head.weight is ours.model.shared.weight is ours.model.encoder.embed_tokens.weight
    assert not any(value.is_meta for value in (*ours.parameters(), *ours.buffers()))
    ours, theirs = ours.generation_config.to_dict(), theirs.generation_config.to_dict()
    assert {name for name in ours if ours[name] != theirs.get(name)} <= {"_from_model_config", "use_cache"}


def test_published_weights(tiny_tokenizer, tiny_config, song, tmp_path):
    """A file with the public code's names, a CNNSA file and a BART folder give the model they were made from."""
    sizes = {**tiny_config.to_dict(), "encoder_layers": 6, "fusion_layers": [4, 5], "align_layer": 4}
    torch.manual_seed(0)
    model = RecapForCaptioning(RecapConfig(**sizes)).eval()
    theirs = {}
    for key, value in model.state_dict().items():
        for name, ours in FUSION_NAMES.items():
            key = name + key.removeprefix(ours) if key.startswith(ours) else key
        theirs[f"bart.{key}"] = value
    music = {key: value for key, value in theirs.items() if "music_encoder." in key}
    torch.save(
        {key: value for key, value in theirs.items() if key not in music and ".alignment." not in f".{key}"},
        tmp_path / "model_3.pt",
    )
    save_file(model.model.encoder.music_encoder.state_dict(), tmp_path / "cnnsa.safetensors")
    bart = {key: value for key, value in sizes.items() if hasattr(BartConfig(), key) and key != "model_type"}
    BartConfig(**bart).save_pretrained(tmp_path / "bart")
    tiny_tokenizer.save_pretrained(tmp_path / "bart")
    parts = {"music_encoder": tmp_path / "cnnsa.safetensors", "bart": str(tmp_path / "bart")}
    loaded = Captioner.from_pretrained(tmp_path / "model_3.pt", device="cpu", **parts)
    ours = Captioner(model, RecapProcessor(tiny_tokenizer, AudioSettings()), "ours")
    assert loaded.caption(song, LYRICS, decoding=SHORT).scores == pytest.approx(
        ours.caption(song, LYRICS, decoding=SHORT).scores
    )
    assert refused(tmp_path / "model_3.pt", bart=str(tmp_path / "bart"))[0].endswith(
        "model_3.pt holds no music encoder"
    )
    assert refused(tmp_path / "model_4.pt", **parts)[0] == f"no weights file {tmp_path / 'model_4.pt'}"
    nowhere = {**parts, "bart": str(tmp_path / "nowhere")}
    assert refused(tmp_path / "model_3.pt", **nowhere) == (
        f"--bart: no folder {tmp_path / 'nowhere'}",
        "name a folder, or a model of the hub as hf://owner/name",
    )


def test_no_such_device(tiny_run):
    assert refused_device(tiny_run, "toaster") == ("--device toaster is not available here", "choose auto or cpu")


def refused_device(source, device) -> tuple[str, str]:
    with pytest.raises(OptionError) as caught:
        Captioner.from_pretrained(source, device=device)
    return caught.value.message, caught.value.hint


def test_the_benchmark_of_many_songs_still_captions(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(batch_caption.module, "BatchCaptioner", batch_caption.module.BatchCaptioner)
    monkeypatch.setattr(batch_caption.module, "load_captioner", None)
    manifest, out = tmp_path / "many.jsonl", tmp_path / "captions.jsonl"
    rows = ({"id": str(number), "audio": f"{number}.mp3", "lyrics": "la la la"} for number in range(3))
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    batch_caption.caption_million(manifest, out, -1)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["captioned"], told["skipped"], len(out.read_text().splitlines())) == (3, 0, 3)
