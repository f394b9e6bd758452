"""States of verses by the layers that the embedded model keeps frozen: what themes are guessed from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import ModelError
from recap_cli.model.config import RecapConfig
from recap_cli.model.folder import load_tokenizer, read_config
from recap_cli.model.lyrics_encoder import LyricsEncoder, verse_names
from recap_cli.model.weight_files import read_folder_weights
from recap_cli.processor import MOST_VERSES, RecapProcessor, verse_key
from recap_cli.progress import Progress
from recap_cli.runtime.feature_cache import cache_verses

VERSE_LAYERS = 3  # of MiniLM that read verses
VERSE_TOKENS = 128  # of a verse at most
PART = "model.encoder."


class VerseReader:
    """Reads lyrics verse by verse; a verse that many songs have is read once.

    Args:
        encoder: whose lower layers read verses.
        processor: cuts lyrics into verses.
    """

    def __init__(self, encoder: LyricsEncoder, processor: RecapProcessor) -> None:
        self.encoder, self.processor = encoder.eval(), processor
        self.kept: ShardReader | None = None  # states of verses in a data folder
        self.more: dict[str, np.ndarray] = {}  # and of others, by key

    @classmethod
    def from_folder(cls, folder: Path) -> "VerseReader":
        """Returns a reader with the layers of a BART that begins with MiniLM's, or of a model trained from it.

        Raises:
            ModelError: the folder holds none.
        """
        given = read_config(folder)
        config = RecapConfig.from_bart(given, verse_layers=VERSE_LAYERS, freeze_verses=True, use_music=False)
        weights = read_folder_weights(folder)
        encoder = LyricsEncoder(config)
        own = {name.removeprefix(PART): value for name, value in weights.items() if name.startswith(PART)}
        own.setdefault("embed_tokens.weight", weights.get("model.shared.weight", torch.zeros(0)))
        try:
            missing = encoder.load_state_dict(own, strict=False).missing_keys
        except RuntimeError as error:
            raise ModelError(
                f"{folder} has no layers that read verses", "name a folder of tests/make_minilm.py"
            ) from error
        if absent := [name for name in missing if name.startswith(verse_names(config))]:
            raise ModelError(f"{folder} lacks {absent[0]}", "name a folder of tests/make_minilm.py")
        audio = AudioSettings.of_encoder("musicnn", None, None)
        return cls(
            encoder, RecapProcessor(load_tokenizer(folder, given), audio, VERSE_TOKENS, VERSE_TOKENS, MOST_VERSES)
        )

    def fill(self, texts: Sequence[str], folder: Path, progress: Progress) -> None:
        """Reads the verses of texts that are not read yet, and keeps them in a data folder, where training finds them.

        Raises:
            DataError: they cannot be written.
        """
        tokens = [verse.ids for text in texts for verse in self.processor.read_verses(text)]
        self.kept = cache_verses(folder, self.encoder, tokens, progress)

    def read(self, text: str) -> np.ndarray:
        """Returns the states of a text's verses [verses, width]."""
        return np.stack([self.read_verse(verse.ids) for verse in self.processor.read_verses(text)])

    def read_verse(self, ids: list[int]) -> np.ndarray:
        """Returns the state of a verse [width]."""
        key = verse_key(ids)
        if self.kept is not None and key in self.kept:
            return self.kept[key]
        if key not in self.more:
            with torch.inference_mode():
                self.more[key] = self.encoder.pool_verses([torch.tensor(ids)])[0].numpy()
        return self.more[key]
