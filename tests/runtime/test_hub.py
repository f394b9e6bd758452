"""Models of the hub: named by a prefix only, said, pinned to a commit; a missing path is never looked for there."""

import http.server
import json
import threading
from pathlib import Path

import huggingface_hub.constants as hub
import numpy as np
import pytest
import soundfile
from hostile_models import change, copy_model

from recap_cli.captioning.captioner import Captioner
from recap_cli.cli.app import main
from recap_cli.cli.checks import check_model
from recap_cli.errors import ModelError
from recap_cli.evaluation.captions import weights_fingerprint
from recap_cli.runtime import hub as ours
from recap_cli.runtime.hub import find_model

COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty local cache of the hub."""
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(ours, "FOUND", {})
    return tmp_path / "hub"


def add_model(cache: Path, name: str, commit: str = COMMITS[0]) -> Path:
    """Put the demo model into the cache as owner/name, and its main branch at `commit`."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "snapshots").mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return copy_model(folder / "snapshots" / commit)


@pytest.fixture
def song(tmp_path) -> Path:
    path = tmp_path / "song.wav"
    soundfile.write(path, np.sin(np.arange(32000) / 9).astype(np.float32) / 4, 16000)
    return path


@pytest.fixture
def requests(monkeypatch):
    """The requests that reach a hub which is there and knows nothing."""
    seen = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    yield seen
    server.shutdown()
    server.server_close()


def test_a_model_of_the_cache_is_said_and_pinned(cache, song, capfd):
    add_model(cache, "owner/name")
    words = ["caption", str(song), "--instrumental", "--json", "--max-caption-tokens", "8"]
    assert main([*words, "--model", "hf://owner/name"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["model"] == f"hf://owner/name@{COMMITS[0]}"
    assert "no network; taking hf://owner/name from the local cache" in err


def test_a_revision_is_kept(cache):
    for commit in COMMITS:
        add_model(cache, "owner/name", commit)
    assert find_model("hf://owner/name", "--model").name == f"hf://owner/name@{COMMITS[1]}"
    old = find_model(f"hf://owner/name@{COMMITS[0]}", "--model")
    assert (old.name, old.path.name) == (f"hf://owner/name@{COMMITS[0]}", COMMITS[0])
    with pytest.raises(ModelError, match="not in the local cache"):
        find_model("hf://owner/name@v3", "--model")


def test_a_branch_that_moves_meanwhile_is_looked_up_once(cache):
    add_model(cache, "owner/name")
    first = find_model("hf://owner/name", "--model")
    add_model(cache, "owner/name", COMMITS[1])
    assert find_model(Path("hf://owner/name"), "RUN") == first


def test_evaluation_names_commits_and_contents(cache, tiny_data, tmp_path, capfd):
    """Two models of the hub have two fingerprints; a Path of their names works as well as the text."""
    for name in ("owner/one", "owner/other"):
        change(add_model(cache, name) / "recap_processor.json", max_caption_tokens=16 if "one" in name else 17)
    out = tmp_path / "eval"
    runs = ["hf://owner/one", "hf://owner/other"]
    assert main(["eval", *runs, "--data", str(tiny_data.folder), "--out", str(out), "--limit", "2"]) == 0
    capfd.readouterr()
    record = json.loads((out / "evaluation.json").read_text())
    assert [row["source"] for row in record["systems"]] == [f"{name}@{COMMITS[0]}" for name in runs]
    assert len(set(record["made"]["weights"])) == 2
    assert len({weights_fingerprint(Path(name)) for name in runs}) == 2


def test_fingerprints_are_of_contents_and_not_of_names(cache):
    for name in ("owner/one", "owner/twin"):
        add_model(cache, name)
    one, twin = (weights_fingerprint(Path(f"hf://owner/{name}")) for name in ("one", "twin"))
    assert one == twin
    with pytest.raises(ModelError, match="holds no model"):
        weights_fingerprint(Path("owner/absent"))


def test_a_run_keeps_the_commit_that_it_starts_from(cache, tiny_data, tmp_path, capfd):
    add_model(cache, "owner/name")
    words = ["train", str(tiny_data.folder), "--init", "hf://owner/name", "--epochs", "1", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "run"), "--max-caption-tokens", "8", "--limit", "8"]) == 0
    capfd.readouterr()
    assert json.loads((tmp_path / "run" / "options.json").read_text())["starts_from"] == f"hf://owner/name@{COMMITS[0]}"


@pytest.mark.parametrize("name", ["runs/recap", "./runs/recap", "facebook/bart-base", "owner/name", "recap", "a/b/c"])
def test_a_missing_path_is_never_a_download(cache, requests, tiny_data, song, name, monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    add_model(cache, "owner/name")
    data = str(tiny_data.folder)
    for words in (
        ["eval", name, "--data", data],
        ["caption", str(song), "--model", name],
        ["train", data, "--init", name],
    ):
        assert main(words) == 1
        err = capfd.readouterr().err
        assert f"no folder {Path(name) if words[0] != 'caption' else name}" in err
        assert "hf://owner/name" in err
    if name != "facebook/bart-base":
        assert main(["train", data, "--bart", name, "--no-music"]) == 1
    assert requests == []


def test_the_hub_is_asked_where_it_is_named_and_that_is_said(cache, requests, song, capfd):
    assert main(["caption", str(song), "--model", "hf://owner/name"]) == 1
    err = capfd.readouterr().err
    assert "--model: fetching hf://owner/name from the Hugging Face hub" in err
    assert "no model hf://owner/name: no such model could be fetched" in err
    assert requests


def test_the_recipes_bart_needs_no_prefix(cache, requests, capfd):
    with pytest.raises(ModelError, match="no model hf://facebook/bart-base"):
        find_model("facebook/bart-base", "--bart")
    assert any("facebook/bart-base" in path for path in requests)


@pytest.mark.parametrize("name", ["hf://", "hf://name", "hf://a/b/c", "hf://../../etc", "hf://a/b@", "hf://a b/c",
                                  "hf://a/..", "hf://a/b@../x"])  # fmt: skip
def test_names_that_the_hub_cannot_have(cache, requests, name):
    with pytest.raises(ModelError, match="is no name of the hub"):
        find_model(name, "--model")
    assert requests == []


def test_a_snapshot_is_checked_as_any_folder(cache, capfd):
    change(add_model(cache, "owner/name") / "config.json", auto_map={"AutoConfig": "code.C"})
    with pytest.raises(ModelError, match="names code of its own"):
        Captioner.from_pretrained("hf://owner/name")


def test_the_demo_model_is_named_everywhere(tmp_path, monkeypatch):
    """As a model to caption with, a run to score, and a run to start from; it is no BART."""
    monkeypatch.chdir(tmp_path)
    for flag in ("--model", "RUN", "--init"):
        check_model(Path("demo"), flag, ("recap",))
        assert find_model("demo", flag).path == ours.DEMO_MODEL
    with pytest.raises(ModelError, match="--bart: no folder demo"):
        check_model("demo", "--bart", ("bart",))
    assert weights_fingerprint(Path("demo")) == weights_fingerprint(ours.DEMO_MODEL)
