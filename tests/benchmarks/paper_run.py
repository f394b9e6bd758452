"""The `paper` recipe at its real size, from published-like weights: it trains, is killed, goes on, and finishes.

    python tests/benchmarks/paper_run.py [--songs 200] [--steps 4] [--device auto] [--folder NEW] [--tiny]

facebook/bart-base and the published CNNSA are stood in for by random weights of their exact shapes and key names, made
on the spot; the songs are demo songs. The run validates and makes a checkpoint every second step; it is killed
(SIGKILL) after its first checkpoint and started again. `--tiny` takes the same road with small stand-ins and few
songs, in a minute. The last line is JSON.
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
from safetensors.torch import load_file
from transformers import BartConfig, BartForConditionalGeneration

from recap_cli.corpus.dataset import PreparedData
from recap_cli.training.pretrain import train_tokenizer
from recap_cli.training.recipes import recipe_settings

ROOT = Path(__file__).parents[2]
PARITY = ROOT / "tests" / "fixtures" / "parity"
# facebook/bart-base's config, as far as it differs from BartConfig's own values
BART = {
    "vocab_size": 50265, "d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12,
    "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072, "dropout": 0.1,
    "attention_dropout": 0.1, "activation_dropout": 0.1, "max_position_embeddings": 1024,
}  # fmt: skip
TINY_BART = BART | {
    "vocab_size": 1600, "d_model": 32, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
}  # fmt: skip
TINY_SONGS = 24
EVERY = 2  # steps between validations, and between checkpoints


def recap(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "recap_cli", *map(str, arguments)]


def make_bart(folder: Path, data: PreparedData, sizes: dict) -> None:
    torch.manual_seed(0)
    BartForConditionalGeneration(BartConfig(**sizes)).save_pretrained(folder)
    train_tokenizer(data.split("train"), 1600).save_pretrained(folder)


def make_cnnsa(path: Path) -> None:
    torch.manual_seed(1)
    state = {}
    for key, entry in json.loads((PARITY / "cnnsa_full_keys.json").read_text()).items():
        shape = entry["shape"]
        if "int" in entry["dtype"]:
            state[key] = torch.zeros(shape, dtype=torch.long)
        elif key.endswith("running_var") or (len(shape) == 1 and key.endswith("weight")):
            state[key] = torch.ones(shape)
        else:
            state[key] = 0.02 * torch.randn(shape)
    torch.save(state, path)


def make_tiny_cnnsa(path: Path) -> None:
    """The parity fixtures' reduced CNNSA, under its original keys."""
    tensors = load_file(PARITY / "cnnsa.safetensors")
    torch.save({key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}, path)


def train_until_killed(command: list[str], out: Path) -> float:
    """Start the run, wait for its first whole checkpoint, kill it in the step after; give the seconds it had."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not whole_checkpoints(out):
        if process.poll() is not None:
            sys.exit("the run ended before it could be killed: give more --steps")
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        sys.exit("the run ended before it could be killed: give more --steps")
    return time.monotonic() - began


def whole_checkpoints(out: Path) -> list[int]:
    return sorted(int(path.parent.name.partition("-")[2]) for path in out.glob("checkpoints/*/recap_state.json"))


def train(command: list[str]) -> tuple[dict, str, float]:
    """Run to the end; give the result, what was said, and the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stderr, file=sys.stderr)
    if done.returncode:
        sys.exit(f"the run failed with exit code {done.returncode}")
    return json.loads(done.stdout), done.stderr, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int)
    parser.add_argument("--steps", type=int, default=2 * EVERY)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    songs = options.songs or (TINY_SONGS if options.tiny else 200)
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        data, bart, cnnsa, out = (folder / part for part in ("data", "bart", "best_model.pth", "run"))
        subprocess.run(recap("prepare", "--limit", songs, "--out", data, "-q"), check=True, stdout=subprocess.DEVNULL)
        prepared = PreparedData(data)
        make_bart(bart, prepared, TINY_BART if options.tiny else BART)
        (make_tiny_cnnsa if options.tiny else make_cnnsa)(cnnsa)
        captions = sum(len(entry.song.captions) for entry in prepared.split("train"))
        steps_an_epoch = -(-captions // recipe_settings("paper")["batch_size"])
        command = recap(
            "train", data, "--recipe", "paper", "--bart", bart, "--music-encoder", cnnsa,
            "--epochs", (options.steps - 0.5) / steps_an_epoch, "--checkpoint-every", EVERY,
            "--validate-every", EVERY / steps_an_epoch, "--validation-songs", 8, "--max-caption-tokens", 64,
            "--device", options.device, "--out", out, "--json",
        )  # fmt: skip
        print(" ".join(command), flush=True)
        first = train_until_killed(command, out)
        found, validated = whole_checkpoints(out), len((out / "log.jsonl").read_text().splitlines())
        print(f"killed after {first:.0f} s with whole checkpoints at steps {found}", flush=True)
        result, said, second = train(command)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        again, _, _ = train(command)
        print(json.dumps({
            "steps": result["figures"]["steps"], "went_on": f"checkpoint-{found[-1]}." in said,
            "validated_before_the_kill": validated, "validations": len(result["log"]),
            "first_seconds": round(first, 1), "second_seconds": round(second, 1),
            "validation_loss": result["figures"]["best"]["caption_loss"], "peak_gb": round(peak / 1e9, 2),
            "finished_run_is_kept": again["figures"] == result["figures"], "songs": songs, "captions": captions,
            "parameters": sum(value.numel() for value in load_file(out / "model.safetensors").values()),
            "batch": result["settings"]["batch_size"], "lr": result["settings"]["lr"],
            "device": options.device, "tiny": options.tiny,
        }))  # fmt: skip


if __name__ == "__main__":
    main()
