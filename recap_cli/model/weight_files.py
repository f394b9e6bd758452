"""Weights from files that strangers wrote: no code is run, and no more memory is taken than the file has numbers.

And weights in 8 bit, a quarter of the size: each row of a matrix is stored as whole numbers from -127 to 127 and as
what one of them stands for.
"""

import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recap_cli.errors import ModelError
from recap_cli.files import replace_atomically
from recap_cli.model.folder import first_line
from recap_cli.records import CHOOSE_ANOTHER, MEGABYTE, read_record, show

WEIGHTS_FILE = "model.safetensors"
TORCH_FILE = "pytorch_model.bin"
INDEX_SUFFIX = ".index.json"
LARGEST_PICKLE = 64 * MEGABYTE  # what stands beside the numbers of a torch file; a BART's has 0.1 MB
# Tuples in a pickle; a tensor has five. A tuple within a tuple within a tuple and so on crashes the interpreter.
MOST_TUPLES = 20_000
SHARDS = 1000
LEGACY_PICKLES = 4  # magic number, protocol, system, and the content
NAMES_OF_ONE = 4  # BART's embedding goes by four
NUMBERS = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int8)
SCALES = ".row_scale"  # behind a weight's name, the name of what one whole number stands for in each of its rows
LARGEST_NUMBER = 127
PACKED_ROWS = 32  # numbers of a row, from which on 8 bit save what the scale costs
NOT_PACKED = "music_encoder"  # too small and too exact: half precision moves musicnn's logits by 0.014


def read_weights(path: Path) -> dict[str, Tensor]:
    """Returns a state dict from .safetensors, or from a torch file with `weights_only`.

    A training checkpoint is opened up (`model_state_dict`, `state_dict`), `module.` prefixes are dropped, and what is
    stored in 8 bit becomes float32.

    Raises:
        ModelError: the file is missing, damaged, or holds something other than plain tensors.
    """
    if not path.is_file():
        raise ModelError(f"no weights file {path}", "check the path")
    try:
        weights = find_state_dict(load_file(path), path) if path.suffix == ".safetensors" else load_torch_file(path)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds more than weights and is not opened, since a pickle can run code",
            "save its state dict alone, or as safetensors",
        ) from error
    except ModelError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise ModelError(f"{path} cannot be read as weights: {first_line(error)}", "is the file whole?") from error
    check_tensors(weights, path)
    for name, value in weights.items():
        if value.is_meta:  # told only by a real reading: the trial takes all tensors for such
            raise ModelError(f"{path}: {name} has a shape and no numbers", CHOOSE_ANOTHER)
    return unpack_weights({key.removeprefix("module."): value for key, value in weights.items()}, path)


def pack_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights with each large matrix in 8 bit, and its scales under its name and `SCALES`.

    Packing again what was packed and unpacked loses nothing more.
    """
    packed: dict[str, Tensor] = {}
    for name, value in weights.items():
        if value.dim() != 2 or value.shape[1] < PACKED_ROWS or not value.is_floating_point() or NOT_PACKED in name:
            packed[name] = value
            continue
        scale = value.float().abs().amax(dim=1) / LARGEST_NUMBER
        packed[name] = (value.float() / torch.where(scale > 0, scale, 1.0)[:, None]).round().to(torch.int8)
        packed[name + SCALES] = scale
    return packed


def unpack_weights(weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Returns weights in float32 where a file, `path`, has them in 8 bit.

    Raises:
        ModelError: whole numbers have no scales, or scales that do not fit.
    """
    whole = {name for name, value in weights.items() if value.dtype == torch.int8}
    scales = {name: weights.get(name + SCALES) for name in whole}
    for name, scale in scales.items():
        rows = weights[name].shape[:1] if weights[name].dim() == 2 else None
        if scale is None or scale.dtype != torch.float32 or scale.shape != rows or not scale.isfinite().all():
            raise ModelError(f"{path}: {name} is in 8 bit without a number for each of its rows", CHOOSE_ANOTHER)
    if alone := {name for name in weights if name.endswith(SCALES)} - {name + SCALES for name in whole}:
        raise ModelError(f"{path}: {min(alone)} belongs to no weight in 8 bit", CHOOSE_ANOTHER)
    plain = {name: value for name, value in weights.items() if not name.endswith(SCALES)}
    return plain | {name: plain[name].float() * scale[:, None] for name, scale in scales.items() if scale is not None}


def is_packed(path: Path) -> bool:
    """Whether a safetensors file holds weights in 8 bit."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, "pt") as file:
            return any(name.endswith(SCALES) for name in file.keys())  # noqa: SIM118  it is no dictionary
    except Exception:  # a damaged file: its reader tells
        return False


def pack_file(path: Path) -> None:
    """Stores the weights of a safetensors file in 8 bit."""
    weights = load_file(path)
    with replace_atomically(path) as partial:
        save_file(pack_weights(weights), partial, metadata={"format": "pt"})


def find_state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """Returns the state dict in what a file holds."""
    for name in ("model_state_dict", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    named = isinstance(content, dict) and all(isinstance(key, str) for key in content)
    if isinstance(content, dict) and named and content and all(isinstance(one, Tensor) for one in content.values()):
        return content
    raise ModelError(f"{path} holds no state dict", "expected a dictionary of names and tensors")


def check_tensors(weights: Mapping[str, Tensor], path: Path, names: int = 1) -> None:
    """Refuses tensors that are sparse, nested, quantised, expanded, empty or complex, or claim more than the file has.

    The same numbers may be counted `names` times, where nothing tells that tensors share them.
    """
    room, storages = names * path.stat().st_size, {}
    for name, value in weights.items():
        plain = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided and not value.is_nested
        if not plain or value.is_quantized or value.dtype not in NUMBERS:
            kind = str(value.layout if value.layout != torch.strided else value.dtype).removeprefix("torch.")
            raise ModelError(
                f"{path}: {name} is no plain tensor of numbers ({kind})", "save its state dict in 32 bit, dense"
            )
        storage = value.untyped_storage()
        storages[storage._cdata] = storage.nbytes()
        if not value.numel() or value.numel() * value.element_size() > storage.nbytes():
            raise ModelError(
                f"{path}: {name} is {list(value.shape)}, which is not what the file has numbers for",
                "save its state dict with all its numbers",
            )
    if sum(storages.values()) > room:
        raise ModelError(f"{path} claims {sum(storages.values()):,} bytes and has {room:,}", "is the file whole?")


def load_torch_file(path: Path) -> dict[str, Tensor]:
    """Returns the state dict of a torch file without running code from it.

    First a trial without numbers tells what the file claims; only then is memory taken.

    Raises:
        ModelError: it claims more than it has, or holds no state dict.
        ValueError: it is another kind of file, such as an error page or a Git LFS pointer saved under its name.
        pickle.UnpicklingError: it holds more than plain values and tensors.
    """
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        if start == b"PK":
            check_archive(path)
        elif start.startswith(b"\x80"):
            check_legacy_pickles(file)
        else:
            raise ValueError("it is no torch file")
    trial = find_state_dict(torch.load(path, map_location="meta", weights_only=True), path)
    check_tensors(trial, path, NAMES_OF_ONE)
    # Files of torch 1.5 and before cannot be mapped.
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=start == b"PK")
    return find_state_dict(content, path)


def check_archive(path: Path) -> None:
    """Refuses an archive that is larger inside than outside: torch packs nothing (ValueError)."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its numbers are packed, which torch does not do")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("it claims more bytes than it has")
        for entry in (one for one in entries if one.filename.endswith(".pkl")):
            if entry.file_size > LARGEST_PICKLE:
                raise ValueError("what stands beside its numbers is too large")
            with archive.open(entry) as file:
                check_pickle(file)


def check_legacy_pickles(file: BufferedReader) -> None:
    """Reads over the pickles at the start of a file of torch 1.5 and before, as `check_pickle` does."""
    for _ in range(LEGACY_PICKLES):
        if file.peek(1):
            check_pickle(file)


def check_pickle(file: IO[bytes]) -> None:
    """Reads over one pickle without making anything of it; ValueError where it is damaged, or full of tuples."""
    tuples = 0
    for code, _, place in pickletools.genops(file):
        tuples += "TUPLE" in code.name
        if tuples > MOST_TUPLES or (place or 0) > LARGEST_PICKLE:
            raise ValueError("what stands beside its numbers is too large")


def read_folder_weights(folder: Path) -> dict[str, Tensor]:
    """Returns all weights of a model folder: safetensors or torch's format, in one file or in shards.

    Raises:
        ModelError: there are none, or they are damaged.
    """
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        weights |= read_weights(path)
    return weights


def weight_files(folder: Path) -> Iterator[Path]:
    """Yields the files that a folder's weights lie in.

    Raises:
        ModelError: there are none, or an index names something else than files of the folder.
    """
    for name in (WEIGHTS_FILE, TORCH_FILE):
        index = folder / (name + INDEX_SUFFIX)
        if (folder / name).is_file():
            yield folder / name
            return
        if index.is_file():
            yield from shards(index, Path(name).suffix)
            return
    raise ModelError(
        f"the model in {folder} cannot be loaded: it has no {WEIGHTS_FILE} and no {TORCH_FILE}", "copy the folder again"
    )


def shards(index: Path, suffix: str) -> Iterator[Path]:
    """Yields the files that an index names."""
    named = read_record(index, 16 * MEGABYTE).get("weight_map")
    names = set(map(str, named.values())) if isinstance(named, dict) else set()
    if not 0 < len(names) <= SHARDS:
        raise ModelError(f"{index}: weight_map is {show(named)}, not names of tensors and files", CHOOSE_ANOTHER)
    for name in sorted(names):
        if Path(name).name != name or not name.endswith(suffix):
            raise ModelError(f"{index}: weight_map names {show(name)}, not a {suffix} file beside it", CHOOSE_ANOTHER)
        yield index.parent / name
