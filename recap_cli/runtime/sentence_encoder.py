"""Sentence encoders of transformers: texts to vectors of length 1, by mean pooling, for scores of meaning.

Only safetensors are read and no code of a model is run. What the folder says of itself in the layout of
sentence-transformers is honoured or refused, so that no vector is made in another way than its model was trained for.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recap_cli.corpus.mel_cache import fingerprint, hash_file
from recap_cli.errors import ModelError
from recap_cli.progress import Progress, SilentProgress
from recap_cli.records import MEGABYTE
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.hub import find_model, is_hub_id, read_hub_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FLAG = "--embedding"
CHOOSE = "name a folder or hf://OWNER/NAME of a sentence encoder with mean pooling, such as all-MiniLM-L6-v2"
MODULES = ("Transformer", "Pooling", "Normalize")
BATCH = 64  # texts
LONGEST = 512  # tokens, where the folder does not say


class SentenceEncoder:
    """A sentence encoder in memory; each text is encoded once.

    Args:
        model: the transformer.
        tokenizer: its tokenizer.
        name: what it goes by in records.
        weights: fingerprint of its weights.
        max_tokens: what is longer is cut.
        progress: where long work is reported.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        name: str,
        weights: str,
        max_tokens: int = LONGEST,
        progress: Progress | None = None,
    ) -> None:
        self.progress = progress or SilentProgress()
        self.model, self.tokenizer, self.name, self.weights = model, tokenizer, name, weights
        self.max_tokens = max_tokens
        self.signature = (
            f"meaning: cosine of sentence vectors by {name} (weights {weights}), mean pooling, {max_tokens} tokens"
        )
        self._known: dict[str, np.ndarray] = {}

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "auto", progress: Progress | None = None
    ) -> "SentenceEncoder":
        """Returns the encoder of a folder or of the hub; the network is touched for a hub id only.

        Raises:
            ModelError: there is none, it is no sentence encoder with mean pooling, or its weights do not fit.
        """
        found = find_model(source, FLAG, progress or SilentProgress())
        max_tokens = check_folder(found.path)
        model, tokenizer = _load(found.path)
        positions = getattr(model.config, "max_position_embeddings", None) or LONGEST
        # RoBERTa and its like count their positions from behind the padding's.
        positions -= (model.config.pad_token_id or 0) + 1 if "roberta" in model.config.model_type else 0
        files = [[path.name, hash_file(path)] for path in sorted(found.path.glob("*.safetensors"))]
        name = found.name if found.from_hub else found.path.resolve().name
        length = min(max_tokens, positions, tokenizer.model_max_length)
        model.to(choose_device(device))  # type: ignore[arg-type]  # its stubs lack names of devices
        return cls(model, tokenizer, name, fingerprint(files), length, progress)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Returns vectors of length 1 [texts, width], float32; of a blank text zeros."""
        width = self.model.config.hidden_size
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update((text, np.zeros(width, np.float32)) for text in new)
        # Texts of like length go together, so that little is padding.
        words = sorted((text for text in new if text.strip()), key=len)
        if words:
            self.progress.start("Encoding sentences", len(words))
        for start in range(0, len(words), BATCH):
            batch = words[start : start + BATCH]
            self._known.update(zip(batch, self._encode(batch), strict=True))
            self.progress.advance(len(batch))
        if words:
            self.progress.finish()
        return np.array([self._known[text] for text in texts], np.float32).reshape(len(texts), width)

    def _encode(self, texts: list[str]) -> np.ndarray:
        """Returns the vectors of one batch."""
        import torch

        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        batch = batch.to(self.model.device)
        with torch.inference_mode():
            states = self.model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"][..., None].float()
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            vectors = torch.nn.functional.normalize(mean, dim=1)
        return vectors.cpu().numpy()


def check_source(source: str | Path) -> None:
    """Refuses what can be seen to be no sentence encoder without torch.

    Raises:
        ModelError: the name is malformed, or the folder holds none.
    """
    if is_hub_id(source):
        read_hub_id(str(source), FLAG)
    else:
        check_folder(find_model(source, FLAG).path)


def check_folder(folder: Path) -> int:
    """Returns how many tokens a folder says that its sentence encoder takes.

    Raises:
        ModelError: the folder holds no such encoder, or one that makes its vectors in another way.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{FLAG}: {folder} holds no model: there is no config.json", CHOOSE)
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{FLAG}: {folder} holds no model.safetensors, and no other weights are read", CHOOSE)
    for module in _read(folder, "modules.json", []):
        kind = str(module.get("type") if isinstance(module, dict) else module).rpartition(".")[2]
        if kind not in MODULES:
            raise ModelError(f"{FLAG}: {folder} makes its vectors with a layer {kind}, which is not known", CHOOSE)
    pooling = _read(folder, "1_Pooling/config.json", {})
    ways = [name for name, value in pooling.items() if name.startswith("pooling_mode_") and value is True]
    ways = ways or [str(pooling.get("pooling_mode", "mean"))]  # newer folders name one way
    if ways not in (["mean"], ["pooling_mode_mean_tokens"]):
        raise ModelError(f"{FLAG}: {folder} is made for another pooling than the mean: {', '.join(ways)}", CHOOSE)
    length = _read(folder, "sentence_bert_config.json", {}).get("max_seq_length")
    return length if type(length) is int and length > 0 else LONGEST


def _read(folder: Path, name: str, otherwise: Any) -> Any:
    """Returns the content of a small JSON file of the same kind as `otherwise`, which stands for a missing file."""
    path = folder / name
    if not path.is_file():
        return otherwise
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < MEGABYTE else None
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, type(otherwise)):
        raise ModelError(f"{FLAG}: {path} is not what a sentence encoder has there", CHOOSE)
    return found


def _load(folder: Path) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Returns model and tokenizer of a folder, in float32.

    Raises:
        ModelError: they cannot be read, or tensors are missing or of another shape.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from recap_cli.model.folder import first_line

    try:  # no code of the folder, no pickle, no network
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model, found = AutoModel.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype="float32",
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except Exception as error:  # a damaged or foreign folder fails in many ways
        raise ModelError(f"{FLAG}: {folder} cannot be loaded: {first_line(error)}", CHOOSE) from error
    if config.is_encoder_decoder or tokenizer.pad_token is None:
        raise ModelError(f"{FLAG}: {folder} holds a {config.model_type} model, no sentence encoder", CHOOSE)
    # The pooler stands behind the states that are averaged: what is in it does not matter.
    lacking = sorted(name for name in found["missing_keys"] if "pooler." not in name)
    misshaped = sorted(str(one[0] if isinstance(one, tuple) else one) for one in found["mismatched_keys"])
    if lacking or misshaped:
        words = f"lacks {len(lacking)} tensors" if lacking else f"holds {len(misshaped)} tensors of another shape"
        raise ModelError(f"{FLAG}: the model in {folder} {words}, such as {(lacking or misshaped)[0]}", CHOOSE)
    return model.eval(), tokenizer
