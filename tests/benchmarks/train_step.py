"""A training step at the paper's size: ours beside the published way of computing it, and beside per-batch padding.

    python tests/benchmarks/train_step.py [--batches 2] [--rounds 3] [--lengths FILE] [--device cpu]

Random weights of facebook/bart-base's exact size with the published fusion; effective batch 8; music features
119 x 256; lengths drawn as field measurements have them (lyrics lognormal, median 260, sigma 0.5; captions median 90,
sigma 0.8; both clipped to 512) or read from FILE: {"batches": [{"lyrics": [...], "comments": [...]}, ...]}. The same
examples, dropout, float32, optimiser (AdamW, fused) and threads on every side; ours may regroup the examples by length,
as its sampler does. Each side runs in a process of its own, in turn. The last line is JSON.

Sides: `published`, a page of code from stock classes: all padded to 512, pads in the loss, eager attention, all hidden
states kept. `batch-padding`: the same page, padded to each batch's longest, pads masked, stock attention. `ours`.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

# On every side: threads that wait by spinning starve each other beside another busy process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BartConfig, BartForConditionalGeneration
from transformers.models.bart.modeling_bart import shift_tokens_right

from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.training.batches import group_order, mark_aligned_rows, split_batch

SIDES = ("published", "batch-padding", "ours")
LONGEST, BATCH, ALPHA = 512, 8, 0.02
MUSIC = (119, 256)
# facebook/bart-base's config, as far as it differs from BartConfig's own values
BART = {
    "vocab_size": 50265, "d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12,
    "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072, "dropout": 0.1,
    "attention_dropout": 0.1, "activation_dropout": 0.1, "max_position_embeddings": 1024,
}  # fmt: skip


class PublishedFusion(nn.Module):
    """Stock BART with the published fusion after encoder layers 4 and 5, and the positive-pair loss."""

    def __init__(self, attention: str, keep_states: bool) -> None:
        super().__init__()
        self.bart = BartForConditionalGeneration._from_config(BartConfig(**BART), attn_implementation=attention)
        width, self.keep_states = BART["d_model"], keep_states
        self.query, self.key = nn.Linear(width, width), nn.Linear(MUSIC[1], width)
        self.value, self.projection = nn.Linear(MUSIC[1], width), nn.Linear(width, MUSIC[1])
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, music_states: Tensor, labels: Tensor) -> Tensor:
        encoder, states = self.bart.model.encoder, []
        state = encoder.embed_tokens(input_ids) + encoder.embed_positions(input_ids)
        state = nn.functional.dropout(encoder.layernorm_embedding(state), 0.1, self.training)
        mask = torch.zeros(attention_mask.shape, dtype=state.dtype).masked_fill(attention_mask == 0, torch.finfo().min)
        for index, layer in enumerate(encoder.layers):
            states.append(state)
            state = layer(state, mask[:, None, None].expand(-1, 1, mask.shape[1], -1))
            if index in (4, 5):
                query, key, value = self.query(state), self.key(music_states), self.value(music_states)
                found, _ = self.attention(query, key, value, need_weights=self.keep_states)
                state = self.norm(state + 0.1 * found)
        output = self.bart(
            encoder_outputs=(state,),
            attention_mask=attention_mask,
            decoder_input_ids=shift_tokens_right(labels, 1, 2),
            output_hidden_states=self.keep_states,
            output_attentions=self.keep_states,
        )
        caption = nn.functional.cross_entropy(output.logits.flatten(0, 1), labels.flatten())
        lyrics = self.projection(states[4].mean(dim=1))
        return caption + ALPHA * (1 - nn.functional.cosine_similarity(music_states.mean(dim=1), lyrics).mean())


def draw_lengths(batches: int) -> np.ndarray:
    """Lyrics and caption tokens of each example [batches x 8, 2]."""
    random = np.random.default_rng(0)
    drawn = [random.lognormal(np.log(median), sigma, batches * BATCH) for median, sigma in ((260, 0.5), (90, 0.8))]
    return np.clip(np.round(np.stack(drawn, axis=1)), 4, LONGEST).astype(int)


def read_lengths(path: Path) -> np.ndarray:
    batches = json.loads(path.read_text())["batches"]
    pairs = [pair for batch in batches for pair in zip(batch["lyrics"], batch["comments"], strict=True)]
    return np.clip(np.array(pairs), 4, LONGEST)


def make_batch(rows: list[int], lengths: np.ndarray, whole: bool, pad_label: int) -> dict[str, Tensor]:
    """Pad examples, each drawn from its own number, to 512 or to the batch's longest."""
    size = (LONGEST, LONGEST) if whole else tuple(lengths[rows].max(axis=0))
    batch = {
        "input_ids": torch.full((len(rows), size[0]), 1),
        "attention_mask": torch.zeros(len(rows), size[0], dtype=torch.long),
        "labels": torch.full((len(rows), size[1]), pad_label),
        "music_states": torch.empty(len(rows), *MUSIC),
    }
    for place, row in enumerate(rows):
        random = torch.Generator().manual_seed(row)
        for name, length in (("input_ids", lengths[row, 0]), ("labels", lengths[row, 1])):
            batch[name][place, :length] = torch.randint(4, BART["vocab_size"], (int(length),), generator=random)
        batch["attention_mask"][place, : lengths[row, 0]] = 1
        batch["music_states"][place] = torch.randn(*MUSIC, generator=random)
    return batch


def run_side(side: str, lengths: np.ndarray, budget: int, device: str) -> dict[str, float]:
    """Train on all examples once; give seconds a step (after one step to warm up) and the peak memory in GB."""
    torch.manual_seed(0)
    ours = side == "ours"
    order = group_order(lengths, BATCH, np.random.default_rng(0)) if ours else list(range(len(lengths)))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    if ours:
        model = RecapForCaptioning(RecapConfig(**BART, alpha=ALPHA))
        model.model.encoder.music_encoder = None  # its states are given
    else:
        published = side == "published"
        model = PublishedFusion("eager" if published else "sdpa", keep_states=published)
    model = model.to(device).train()
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=6e-5, fused=True)
    seconds, before = [], 0.0
    for number, rows in enumerate([batches[0], *batches]):
        began = time.perf_counter()
        batch = make_batch(rows, lengths, side == "published", 1 if side == "published" else -100)
        if ours:
            batch |= {"music_mask": torch.ones(len(rows), MUSIC[0], dtype=torch.long), "song_ids": torch.tensor(rows)}
        step(model, {name: value.to(device) for name, value in batch.items()}, budget if ours else None)
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds += [time.perf_counter() - began] if number else []
        before = before or time.process_time()
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes()
    cpu = (time.process_time() - before) / len(seconds)
    return {"seconds": statistics.mean(seconds), "cpu_seconds": cpu, "peak_gb": peak / 1e9}


def step(model: nn.Module, batch: dict[str, Tensor], budget: int | None) -> None:
    """Forward and backward: the stock way at once, ours in micro-batches with the step's own counts."""
    if budget is None:
        model(**batch).backward()
        return
    tokens, songs = (batch["labels"] != -100).sum(), mark_aligned_rows([batch])
    for part in split_batch(batch, budget):
        model(**part, num_items_in_batch=tokens, num_songs_in_batch=songs).loss.backward()


def ratio(found: dict[str, list[dict[str, float]]], upper: str, lower: str, figure: str) -> float:
    """Median over the rounds of one side's figure over another's."""
    rounds = zip(found[upper], found[lower], strict=True)
    return round(statistics.median(one[figure] / other[figure] for one, other in rounds), 3)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048)
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    lengths = read_lengths(options.lengths) if options.lengths else draw_lengths(options.batches)
    if options.side:
        print(json.dumps(run_side(options.side, lengths, options.micro_batch_tokens, options.device)))
        return
    settings = {
        "batch": BATCH, "steps": len(lengths) // BATCH, "rounds": options.rounds, "threads": torch.get_num_threads(),
        "device": options.device, "dtype": "float32", "optimizer": "AdamW fused", "dropout": 0.1,
        "micro_batch_tokens": options.micro_batch_tokens, "torch": torch.__version__,
        "lyrics_pads_at_512": round(1 - lengths[:, 0].mean() / LONGEST, 3),
        "caption_pads_at_512": round(1 - lengths[:, 1].mean() / LONGEST, 3),
    }  # fmt: skip
    print(json.dumps(settings))
    found: dict[str, list[dict[str, float]]] = {side: [] for side in options.sides.split(",")}
    for _ in range(options.rounds):
        for side, runs in found.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            last = runs[-1]
            figures = f"{last['seconds']:8.2f} s a step{last['cpu_seconds']:8.2f} CPU s{last['peak_gb']:8.2f} GB"
            print(f"{side:14}{figures}", flush=True)
    if set(found) != set(SIDES):
        return
    ratios = {
        "speedup_over_published": ratio(found, "published", "ours", "seconds"),
        "speedup_over_batch_padding": ratio(found, "batch-padding", "ours", "seconds"),
        "memory_ratio": ratio(found, "ours", "published", "peak_gb"),
        "cpu_speedup_over_published": ratio(found, "published", "ours", "cpu_seconds"),
        "cpu_speedup_over_batch_padding": ratio(found, "batch-padding", "ours", "cpu_seconds"),
    }
    sides = {
        name: {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
        for name, runs in found.items()
    }
    print(json.dumps({**ratios, **settings, "sides": sides}))


if __name__ == "__main__":
    main()
