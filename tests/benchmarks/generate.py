"""Speed of captioning: our decoder step against stock transformers 5 and against the way the public code runs.

    python tests/benchmarks/generate.py [--songs 8] [--tokens 128] [--repeats 2] [--lengths 260,0.5] [--arms ...]

Random weights of bart-base size, 4 beams, exactly `--tokens` new tokens a song, lyrics of log-normal lengths (median,
sigma) of which the longest has 433 tokens, padded to it, and music states (the music encoder is not part of it). All
arms run in turn in one process; times are medians. The last line is JSON.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.fast_decoder import CACHE, FastDecoder, SongCache, packed_linear, plain_linear

LONGEST, BEAMS = 433, 4
STEPS = ("stock", "published", "own step", "shared", "packed")


class UnmovedCache(EncoderDecoderCache):
    """The public code's: a cross-attention cache for every beam, left where it is when beams change places."""

    def __init__(self) -> None:
        super().__init__(DynamicCache(), DynamicCache())

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.self_attention_cache.reorder_cache(beam_idx)


def make_batch(songs: int, lengths: tuple[float, float], config: RecapConfig) -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.lognormal(np.log(lengths[0]), lengths[1], songs), 16, LONGEST).round().astype(int)
    sizes[0] = LONGEST
    ids = torch.full((songs, LONGEST), config.pad_token_id)
    mask = torch.zeros(songs, LONGEST, dtype=torch.long)
    for row, size in enumerate(sizes):
        ids[row, :size] = torch.from_numpy(rng.integers(4, config.vocab_size, size))
        mask[row, :size] = 1
    states = torch.from_numpy(rng.standard_normal((songs, 119, config.music_sizes.width)).astype(np.float32))
    return {"input_ids": ids, "attention_mask": mask, "music_states": states}


def make_arms(model: RecapForCaptioning, batch: dict[str, Tensor], tokens: int) -> dict[str, Callable[[], Tensor]]:
    """An arm a step of the way: each makes its decoder ready within the time that is measured."""

    def generate(attention: str = "sdpa", **choice: Any) -> Tensor:
        model.set_attn_implementation(attention)
        length = {"min_new_tokens": tokens, "max_new_tokens": tokens}
        with torch.inference_mode():
            return model.generate(**batch, **length, num_beams=BEAMS, early_stopping=True, **choice)

    return {
        "stock": lambda: generate("eager", fast=False),
        "published": lambda: generate("eager", **{CACHE: UnmovedCache()}),
        "own step": lambda: generate(**{CACHE: SongCache(FastDecoder(model), copies=1)}),
        "shared": lambda: generate(decoder=FastDecoder(model)),
        "packed": lambda: generate(decoder=FastDecoder(model, pack=True)),
    }


def measure(arms: dict[str, Callable[[], Tensor]], repeats: int) -> tuple[dict, dict, dict]:
    """Give seconds, CPU seconds and ids of each arm; CPU seconds of one thread suffer least from other work."""
    wall: dict[str, list[float]] = {name: [] for name in arms}
    cpu: dict[str, list[float]] = {name: [] for name in arms}
    ids = {}
    for _ in range(repeats):
        for name, arm in arms.items():
            began, worked = time.perf_counter(), time.process_time()
            ids[name] = arm()
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - worked)
            print(f"{name:10} {wall[name][-1]:6.2f} s, {cpu[name][-1]:6.2f} s of CPU", flush=True)
    return *({name: statistics.median(found) for name, found in times.items()} for times in (wall, cpu)), ids


def output_layer(model: RecapForCaptioning, rows: int) -> dict[str, float]:
    """Milliseconds of the output layer a step."""
    states, found = torch.randn(rows, model.config.d_model), {}
    for name, make in (("plain", plain_linear), ("packed", packed_linear)):
        multiply = make(model.lm_head.weight, model.final_logits_bias[0])
        times = []
        with torch.inference_mode():
            for _ in range(25):
                began = time.perf_counter()
                multiply(states)
                times.append(time.perf_counter() - began)
        found[name] = round(1000 * statistics.median(times), 2)
    return found


def on_cuda(model: RecapForCaptioning, lengths: tuple[float, float], tokens: int, songs: int = 64) -> dict[str, float]:
    """Captions/s in bf16, and the share of the time that the memory alone would take to read weights and caches."""
    model = model.to("cuda", torch.bfloat16)
    model.set_attn_implementation("sdpa")
    batch = {name: part.cuda() for name, part in make_batch(songs, lengths, model.config).items()}
    batch["music_states"] = batch["music_states"].bfloat16()
    decoder, times = FastDecoder(model), []
    for _ in range(4):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.inference_mode():
            model.generate(**batch, min_new_tokens=tokens, max_new_tokens=tokens, num_beams=BEAMS, decoder=decoder)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    block = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    began = time.perf_counter()
    for _ in range(20):
        block.clone()
    torch.cuda.synchronize()
    bandwidth = 20 * 2 * block.numel() / (time.perf_counter() - began)
    config, seconds = model.config, statistics.median(times[1:])
    weights = sum(part.numel() for part in model.model.decoder.parameters())  # the output layer is the embedding
    keys = 2 * config.decoder_layers * config.d_model
    step_bytes = 2 * (weights + keys * songs * (LONGEST + BEAMS * tokens / 2))
    share = step_bytes * tokens / bandwidth / seconds
    return {"cuda_captions_per_s": round(songs / seconds, 1), "cuda_bandwidth_share": round(share, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--lengths", default="260,0.5", help="median and sigma of the lyrics' log-normal lengths")
    parser.add_argument("--arms", default=",".join(STEPS), help="leave out 'own step' or 'shared' to save time")
    arguments = parser.parse_args()
    median, sigma = (float(part) for part in arguments.lengths.split(","))
    torch.manual_seed(0)
    # wider than BART's own start, so that random logits are no near-ties that rounding decides
    model = RecapForCaptioning(RecapConfig(init_std=0.1)).eval()
    batch = make_batch(arguments.songs, (median, sigma), model.config)
    print(
        f"bart-base size, {arguments.songs} songs, {BEAMS} beams, {arguments.tokens} tokens, lyrics padded to {LONGEST}"
    )
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores", flush=True)
    arms = make_arms(model, batch, arguments.tokens)
    chosen = {name: arms[name] for name in arguments.arms.split(",")}
    times, cpu, ids = measure(chosen, arguments.repeats)
    same = {name: sum(torch.equal(a, b) for a, b in zip(ids[name], ids["stock"], strict=True)) for name in chosen}
    before = times["stock"]
    for name in chosen:
        gain = f"{before / times[name]:5.2f} x the step before, " if name != "stock" else ""
        ratio = f"{times['stock'] / times[name]:5.2f} x stock"
        print(f"{name:10} {times[name]:6.2f} s, {gain}{ratio}, same ids for {same[name]} of {arguments.songs}")
        before = times[name]
    layer = output_layer(model, arguments.songs * BEAMS)
    print("output layer, ms a step:", ", ".join(f"{name} {value}" for name, value in layer.items()))
    figures = {
        "speedup": round(times["stock"] / times["packed"], 2),
        "speedup_published": round(times["published"] / times["packed"], 2),
        "same_captions": f"{same['packed']}/{arguments.songs}",
        "cpu_speedup": round(cpu["stock"] / cpu["packed"], 2),
        "cpu_speedup_published": round(cpu["published"] / cpu["packed"], 2),
        "threads": torch.get_num_threads(),
        "captions_per_s": round(arguments.songs / times["packed"], 3),
        "seconds": {name: round(value, 2) for name, value in times.items()},
        "output_layer_ms": layer,
    }
    if torch.cuda.is_available():
        figures |= on_cuda(model, (median, sigma), arguments.tokens)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
