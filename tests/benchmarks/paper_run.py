"""The `paper` recipe at its real size, from published-like weights: it trains, is killed, goes on, and finishes.

    python tests/benchmarks/paper_run.py [--songs 200] [--epochs 0.25] [--device auto] [--folder NEW]

facebook/bart-base and the published CNNSA are stood in for by random weights of their exact shapes and key names, made
on the spot; the songs are demo songs. The run is killed (SIGKILL) after its first checkpoint and started again. The
last line is JSON.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import BartConfig, BartForConditionalGeneration

from recap_cli.corpus.dataset import PreparedData
from recap_cli.workflows.pretrain import train_tokenizer

ROOT = Path(__file__).parents[2]
KEYS = ROOT / "tests" / "parity" / "cnnsa_full_keys.json"
# facebook/bart-base's config, as far as it differs from BartConfig's own values
BART = {
    "vocab_size": 50265, "d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12,
    "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072, "dropout": 0.1,
    "attention_dropout": 0.1, "activation_dropout": 0.1, "max_position_embeddings": 1024,
}  # fmt: skip


def recap(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "recap_cli", *map(str, arguments)]


def make_bart(folder: Path, data: Path) -> None:
    torch.manual_seed(0)
    BartForConditionalGeneration(BartConfig(**BART)).save_pretrained(folder)
    train_tokenizer(PreparedData(data).split("train"), 1600).save_pretrained(folder)


def make_cnnsa(path: Path) -> None:
    torch.manual_seed(1)
    state = {}
    for key, entry in json.loads(KEYS.read_text()).items():
        shape = entry["shape"]
        if "int" in entry["dtype"]:
            state[key] = torch.zeros(shape, dtype=torch.long)
        elif key.endswith("running_var") or (len(shape) == 1 and key.endswith("weight")):
            state[key] = torch.ones(shape)
        else:
            state[key] = 0.02 * torch.randn(shape)
    torch.save(state, path)


def train_until_killed(command: list[str], out: Path) -> float:
    """Start the run, wait for its first whole checkpoint and one step more, kill it; give the seconds it had."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not list((out / "checkpoints").glob("checkpoint-*/recap_state.json")):
        if process.poll() is not None:
            sys.exit("the run ended before it could be killed")
        time.sleep(0.2)
    time.sleep(5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=200)
    parser.add_argument("--epochs", type=float, default=0.25)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        data, bart, cnnsa, out = (folder / part for part in ("data", "bart", "best_model.pth", "run"))
        subprocess.run(
            recap("prepare", "--limit", options.songs, "--out", data, "-q"), check=True, stdout=subprocess.DEVNULL
        )
        make_bart(bart, data)
        make_cnnsa(cnnsa)
        command = recap(
            "train", data, "--recipe", "paper", "--bart", bart, "--music-encoder", cnnsa, "--epochs", options.epochs,
            "--checkpoint-every", 2, "--validation-songs", 8, "--max-caption-tokens", 64, "--device", options.device,
            "--out", out, "--json",
        )  # fmt: skip
        first = train_until_killed(command, out)
        found = sorted(int(path.parent.name.partition("-")[2]) for path in out.glob("checkpoints/*/recap_state.json"))
        print(f"killed after {first:.0f} s with whole checkpoints at steps {found}", flush=True)
        began = time.monotonic()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        again = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(json.dumps({
            "steps": result["figures"]["steps"], "resumed_from": found[-1], "epochs": options.epochs,
            "first_seconds": round(first, 1), "second_seconds": round(time.monotonic() - began, 1),
            "validation_loss": result["figures"]["best"]["caption_loss"], "peak_gb": round(peak / 1e9, 2),
            "finished_run_is_kept": again["figures"] == result["figures"], "songs": options.songs,
            "batch": result["settings"]["batch_size"], "lr": result["settings"]["lr"], "device": options.device,
        }))  # fmt: skip


if __name__ == "__main__":
    main()
