"""Convert the weights of the package musicnn 0.1.0 (PyPI; Pons and Serra 2019, ISC licence) to the two pruned taggers.

Usage: pip download --no-deps musicnn==0.1.0; unzip musicnn-0.1.0-py3-none-any.whl
       python tests/make_musicnn.py FOLDER [OUTPUT]

FOLDER is that of the package (it holds MSD_musicnn and MTT_musicnn). TensorFlow reads the checkpoints, here and nowhere
else; any version from 1.14 on. The same folder gives the same bytes.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "recap_cli" / "data" / "musicnn" / "musicnn.safetensors"
EPSILON = 1e-3  # of TensorFlow's batch norm
FRONT = 5  # kinds of filters on the mel
DEAD = 1e-3  # sum of a filter's absolute weights; the input has a size of some units
Weights = dict[str, np.ndarray]


def read_checkpoint(folder: Path) -> Weights:
    """Read a tagger's variables by their names in TensorFlow, those of its optimiser left out."""
    import tensorflow as tf

    reader = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
    names = [name for name in reader.get_variable_to_shape_map() if "/Adam" not in name and "_power" not in name]
    return {name: reader.get_tensor(name).astype(np.float64) for name in sorted(names)}


def norm_of(weights: Mapping[str, np.ndarray], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch norm as factor and summand."""
    prefix = "batch_normalization" + (f"_{number}" if number else "")
    gamma, beta, mean, variance = (
        weights[f"{prefix}/{name}"] for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(variance + EPSILON)
    return factor, beta - mean * factor


def conv_of(weights: Mapping[str, np.ndarray], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a convolution's kernel [out, frames, mels or channels] and its bias."""
    prefix = "conv2d" + (f"_{number}" if number else "")
    return weights[f"{prefix}/kernel"][:, :, 0].transpose(2, 0, 1), weights[f"{prefix}/bias"]


def prune(weights: Mapping[str, np.ndarray], dead: float = DEAD) -> Weights:
    """Return a tagger under our names, without the filters that have no weights: they answer the same to everything.

    What they always answer goes into the channel of ones of the next convolution, into the summands of the residual sum
    and into the bias of the dense layer. So nothing is lost but rounding.
    """
    pruned: Weights = {}
    pruned["input_norm.weight"], pruned["input_norm.bias"] = norm_of(weights, 0)
    lives, answers = [], []
    for number in range(FRONT):
        kernel, bias = conv_of(weights, number)
        factor, summand = norm_of(weights, number + 1)
        live = np.abs(kernel).sum(axis=(1, 2)) > dead
        prefix = f"front.{number}"
        pruned |= {f"{prefix}.conv.weight": kernel[live][:, None], f"{prefix}.conv.bias": bias[live]}
        pruned |= {f"{prefix}.norm.weight": factor[live], f"{prefix}.norm.bias": summand[live]}
        lives.append(live)
        answers.append(factor * np.maximum(bias, 0) + summand)
    front, constant = np.concatenate(lives), np.concatenate(answers)

    kernel, bias = conv_of(weights, FRONT)
    factor, summand = norm_of(weights, FRONT + 1)
    mid = np.abs(kernel).sum(axis=(1, 2)) > dead
    mid_constant = factor * np.maximum(bias, 0) + summand
    order = np.argsort(~mid, kind="stable")  # the living channels first, everywhere behind
    pruned |= mid_filter("mid_1", kernel[mid], bias[mid], factor[mid], summand[mid], front, constant)
    kernel, bias = (part[order] for part in conv_of(weights, FRONT + 1))
    factor, summand = (part[order] for part in norm_of(weights, FRONT + 2))
    residual = summand + np.where(mid, 0, mid_constant)[order]
    pruned |= mid_filter("mid_2", kernel, bias, factor, residual, mid, mid_constant)
    kernel, bias = (part[order] for part in conv_of(weights, FRONT + 2))
    factor, summand = (part[order] for part in norm_of(weights, FRONT + 3))
    whole = np.ones(len(order), bool)
    pruned |= mid_filter("mid_3", kernel[:, :, order], bias, factor, summand, whole, np.zeros(len(order)))

    kernel, bias = weights["dense/kernel"].T, weights["dense/bias"]
    factor, summand = norm_of(weights, FRONT + 4)  # of the pooled curves: maximum and mean of each lie side by side
    kernel, bias = kernel * factor, bias + kernel @ summand
    kernel = kernel.reshape(len(kernel), -1, 2)
    places = np.split(np.arange(kernel.shape[1]), len(front) + len(mid) * np.arange(3))
    kept = np.concatenate([places[0][front], places[1][mid], places[2][order], places[3][order]])
    lost = np.concatenate([places[0][~front], places[1][~mid]])
    always = np.concatenate([constant, mid_constant])[lost]
    pruned["dense.weight"] = np.concatenate([kernel[:, kept, 0], kernel[:, kept, 1]], axis=1)
    pruned["dense.bias"] = bias + kernel[:, lost].sum(axis=2) @ always
    factor, summand = norm_of(weights, FRONT + 5)
    kernel = weights["dense_1/kernel"].T
    pruned["out.weight"], pruned["out.bias"] = kernel * factor, weights["dense_1/bias"] + kernel @ summand
    return {name: np.ascontiguousarray(value, np.float32) for name, value in pruned.items()}


def mid_filter(
    name: str,
    kernel: np.ndarray,
    bias: np.ndarray,
    factor: np.ndarray,
    summand: np.ndarray,
    live: np.ndarray,
    constant: np.ndarray,
) -> Weights:
    """Return a convolution over the living channels and one of ones for those that are always the same."""
    ones = kernel[:, :, ~live] @ constant[~live]
    weight = np.concatenate([kernel[:, :, live], ones[:, :, None]], axis=2).transpose(0, 2, 1)
    return {
        f"{name}.conv.weight": weight,
        f"{name}.conv.bias": bias,
        f"{name}.norm.weight": factor,
        f"{name}.norm.bias": summand,
    }


def convert(folder: Path) -> Weights:
    """Return both taggers."""
    found = {name: prune(read_checkpoint(folder / f"{name.upper()}_musicnn")) for name in ("msd", "mtt")}
    return {f"taggers.{name}.{key}": value for name, tagger in found.items() for key, value in tagger.items()}


def main(folder: str, output: str = str(OUTPUT)) -> None:
    weights = convert(Path(folder))
    save_file(weights, output)  # in half precision logits would be wrong by up to 0.014
    print(f"{output}: {sum(value.size for value in weights.values()):,} numbers, {Path(output).stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
