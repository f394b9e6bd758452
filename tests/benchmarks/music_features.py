"""Music features of 8 clips of 15 s at the size of the published CNNSA: the frozen form against the plain model.

    python tests/benchmarks/music_features.py [--clips 8] [--repeats 7] [--threads N]

Both run in this process, in turn, with the same threads, on random weights and random batch norm statistics: the plain
`MusicEncoder` in float32 and eval mode on one batch without padding (and, for comparison, clip by clip), and
`FrozenMusicEncoder`, which `recap train` and `recap eval` compute features with. Times are medians; the differences are
absolute, to the plain model's float32 states and, for both, to the plain model in float64. The last line is JSON.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor

from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.model.config import MusicEncoderSizes
from recap_cli.model.frozen_encoder import FrozenMusicEncoder
from recap_cli.model.music_encoder import MusicEncoder


def random_encoder() -> MusicEncoder:
    torch.manual_seed(0)
    encoder = MusicEncoder(MusicEncoderSizes()).eval()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    return encoder


def random_clips(count: int) -> Tensor:
    """Log-mels of noise whose loudness wanders."""
    settings = AudioSettings()
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(count):
        loudness = np.interp(np.arange(settings.samples), np.linspace(0, settings.samples, 60), rng.uniform(0, 0.5, 60))
        clips.append(log_mel((loudness * rng.standard_normal(settings.samples)).astype(np.float32), settings))
    return torch.from_numpy(np.stack(clips))


def time_in_turn(ways: dict[str, Callable[[], Tensor]], repeats: int) -> dict[str, float]:
    """Median seconds of each way, after one run that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    encoder, mels = random_encoder(), random_clips(arguments.clips)
    frozen = FrozenMusicEncoder(encoder)
    with torch.inference_mode():
        plain = encoder(mels)[0]
        fast = frozen(mels)
        exact = encoder.double()(mels[:1].double())[0]
        encoder.float()
        seconds = time_in_turn(
            {
                "plain": lambda: encoder(mels)[0],
                "plain, clip by clip": lambda: torch.cat([encoder(mel[None])[0] for mel in mels]),
                "frozen": lambda: frozen(mels),
            },
            arguments.repeats,
        )
    print(f"{arguments.clips} clips, mels {list(mels.shape)}, states {list(plain.shape)}, {encoder.sizes}")
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, {arguments.repeats} turns"
    )
    for name, value in seconds.items():
        print(f"{name:20}{value:8.3f} s")
    figures = {
        "time_ratio": round(seconds["frozen"] / seconds["plain"], 3),
        "max_abs_difference": float(f"{(fast - plain).abs().max():.2e}"),
        "time_ratio_clip_by_clip": round(seconds["frozen"] / seconds["plain, clip by clip"], 3),
        "max_abs_difference_to_float64": float(f"{(fast[:1] - exact).abs().max():.2e}"),
        "plain_max_abs_difference_to_float64": float(f"{(plain[:1] - exact).abs().max():.2e}"),
        "largest_state": round(float(plain.abs().max()), 3),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "clips": arguments.clips,
        "repeats": arguments.repeats,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
