"""Stand-ins for what the paper takes pretrained: a music encoder trained on tags, and a small BART.

Both learn from the TRAIN split only and are kept in the data folder, so that every run on it starts alike.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    set_seed,
)

from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.errors import DataError
from recap_cli.files import hold_or_wait, replace_atomically
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Progress
from recap_cli.training.interventions import exchange_captions
from recap_cli.training.options import Interventions
from recap_cli.training.trainer import ProgressCallback, training_arguments

# A shorter memory of squared gradients than 0.999, for runs of a few hundred steps.
BETA2 = 0.98
WAITING = "Another process pretrains on this data folder"
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
STAND_IN_TOKENS = 1600  # byte-level BPE tokens of the small BART, at most


@dataclass(frozen=True)
class MusicPretraining:
    """How the stand-in for published CNNSA weights is trained: tagging, as Won et al. 2019 did."""

    sizes: MusicEncoderSizes
    epochs: int = 10
    batch_size: int = 32  # songs a step
    lr: float = 3e-3
    crop_frames: tuple[int, int] = (188, 250)  # of the shortest and the longest random crop
    seed: int = 0  # of initial weights, order and crops


@dataclass(frozen=True)
class LyricsPretraining:
    """How the stand-in for facebook/bart-base is trained: lyrics to caption, without music."""

    config: dict[str, Any]  # sizes, as fields of `BartConfig`
    vocab_size: int = STAND_IN_TOKENS
    epochs: float = 2  # passes over the captions of the train split
    batch_size: int = 24  # captions a step
    lr: float = 2e-3
    # Of the initial position embeddings. As large as those of the words (`init_std`) they drown them: the narrator's
    # stance then stays a guess for a thousand steps.
    position_std: float = 0.02
    seed: int = 0  # of initial weights and order


def fit(
    model: nn.Module,
    dataset: Dataset[Any],
    collate: Callable[[Any], dict[str, Tensor]],
    folder: Path,
    options: MusicPretraining | LyricsPretraining,
    callback: ProgressCallback,
    **more: Any,
) -> None:
    """Trains a stand-in with the stock Trainer, which makes `folder` and leaves it empty."""
    more |= {"seed": options.seed, "data_seed": options.seed, "num_train_epochs": options.epochs}
    arguments = training_arguments(folder, options.batch_size, learning_rate=options.lr, **more)
    trainer = Trainer(model=model, args=arguments, train_dataset=dataset, data_collator=collate, callbacks=[callback])
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def pretrain_music_encoder(
    data: PreparedData, options: MusicPretraining, progress: Progress, limit: int | None = None
) -> Path:
    """Returns the weights file of a music encoder trained on the train split's tags, made once per data and options.

    `limit` takes the first songs only, for a quick look.

    Raises:
        DataError: the songs have no tags.
    """
    songs = data.split("train")
    name = fingerprint([data.fingerprint, asdict(options), *cut(limit, songs)])
    path = data.folder / "pretrained" / f"music-{name}.safetensors"
    with hold_or_wait(path.parent, progress, WAITING):
        if not path.is_file():
            encoder = train_tagger(path.with_suffix(".trainer"), data, songs[:limit], options, progress)
            with replace_atomically(path) as partial:
                save_file({key: value.contiguous() for key, value in encoder.state_dict().items()}, partial)
    return path


def cut(limit: int | None, songs: Sequence[PreparedSong]) -> list[int]:
    """Returns what a limit adds to the name of a stand-in: nothing where it leaves no song out."""
    return [limit] if limit is not None and limit < len(songs) else []


def train_tagger(
    folder: Path, data: PreparedData, songs: Sequence[PreparedSong], options: MusicPretraining, progress: Progress
) -> MusicEncoder:
    """Trains a music encoder on the songs' tags; `folder` is the Trainer's meanwhile."""
    tags = tag_values(songs, data.info["music_tags"])
    set_seed(options.seed)
    tagger = MusicTagger(MusicEncoder(options.sizes), [len(values) for values in tags.values()])
    dataset, collate = TaggedSongs(songs, data, tags), CropCollator(options.crop_frames, options.seed)
    fit(tagger, dataset, collate, folder, options, ProgressCallback(progress, "Pretraining the music encoder on tags"))
    shutil.rmtree(folder, ignore_errors=True)
    return tagger.encoder


def tag_values(songs: Sequence[PreparedSong], names: Sequence[str]) -> dict[str, list[str]]:
    """Returns each tag's values in these songs, for tags that have two or more.

    Raises:
        DataError: there are no tags to learn from.
    """
    values = {name: sorted({entry.song.tags[name] for entry in songs if name in entry.song.tags}) for name in names}
    values = {name: found for name, found in values.items() if len(found) > 1}
    if not values:
        raise DataError(
            "the songs have no tags that differ, so a music encoder cannot be pretrained on them",
            "add tags such as tempo=slow;mood=sad, or leave --music-encoder out",
        )
    return values


class MusicTagger(nn.Module):
    """A music encoder and one linear head for each tag, on the CLS state."""

    def __init__(self, encoder: MusicEncoder, sizes: Sequence[int]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleList(nn.Linear(encoder.sizes.width, size) for size in sizes)

    def forward(self, mel: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Returns the summed cross-entropy of all tags for `mel` [batch, mels, frames], `labels` [batch, tags]."""
        states, _ = self.encoder(mel)
        losses = [
            nn.functional.cross_entropy(head(states.mean(dim=1)), labels[:, index], ignore_index=-100)
            for index, head in enumerate(self.heads)
        ]
        return {"loss": torch.stack(losses).sum()}


class TaggedSongs(Dataset[tuple[np.ndarray, list[int]]]):
    """Mels with their tags as numbers; -100 where a song lacks a tag."""

    def __init__(self, songs: Sequence[PreparedSong], data: PreparedData, tags: dict[str, list[str]]) -> None:
        self.songs, self.mels = songs, data.mels
        self.labels = [
            [values.index(entry.song.tags[name]) if entry.song.tags.get(name) in values else -100
             for name, values in tags.items()]
            for entry in songs
        ]  # fmt: skip

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, row: int) -> tuple[np.ndarray, list[int]]:
        """Returns a mel [mels, frames] and its labels."""
        return self.mels[self.songs[row].mel], self.labels[row]


class CropCollator:
    """Cuts one random length for a batch and a random place for each song, never beyond its shortest song."""

    def __init__(self, crop_frames: tuple[int, int], seed: int) -> None:
        self.crop_frames = crop_frames
        self.random = np.random.default_rng(seed)

    def __call__(self, rows: Sequence[tuple[np.ndarray, list[int]]]) -> dict[str, Tensor]:
        """Returns `mel` [batch, mels, frames] and `labels` [batch, tags]."""
        frames = min(int(self.random.integers(*self.crop_frames)), *(mel.shape[1] for mel, _ in rows))
        starts = [int(self.random.integers(mel.shape[1] - frames + 1)) for mel, _ in rows]
        crops = [mel[:, start : start + frames] for (mel, _), start in zip(rows, starts, strict=True)]
        return {
            "mel": torch.from_numpy(np.stack(crops).astype(np.float32)),
            "labels": torch.tensor([labels for _, labels in rows]),
        }


def pretrain_bart(
    data: PreparedData,
    options: LyricsPretraining,
    progress: Progress,
    study: Interventions | None = None,
    limit: int | None = None,
) -> Path:
    """Returns the folder of a small BART trained on lyrics and captions, made once per data and options.

    Interventions that change captions change them here, too; `limit` takes the first songs only, for a quick look.
    """
    study, songs = study or Interventions(), data.split("train")
    # Part of the name only where they change the captions, so that earlier stand-ins are found again.
    changes = [study.caption_noise, study.captioned_songs] if study.caption_noise or study.captioned_songs else []
    name = fingerprint([data.fingerprint, asdict(options), *changes, *cut(limit, songs)])
    folder = data.folder / "pretrained" / f"bart-{name}"
    with hold_or_wait(folder.parent, progress, WAITING):
        if not (folder / "config.json").is_file():
            songs = songs[:limit]
            captioned = exchange_captions(songs, study.caption_noise)[: study.captioned_songs]
            # As many steps on few captions as on all.
            options = replace(options, epochs=options.epochs * len(songs) / len(captioned))
            write_bart(folder, data, captioned, options, progress)
    return folder


def write_bart(
    folder: Path, data: PreparedData, songs: Sequence[PreparedSong], options: LyricsPretraining, progress: Progress
) -> None:
    """Pretrains the small BART on songs and writes it; the folder appears whole or not at all."""
    partial = folder.with_suffix(".partial")
    tokenizer = train_tokenizer(songs, options.vocab_size)
    set_seed(options.seed)
    model = BartForConditionalGeneration(BartConfig(**{**options.config, "vocab_size": len(tokenizer)}))
    for stack in (model.model.encoder, model.model.decoder):
        nn.init.normal_(stack.embed_positions.weight, std=options.position_std)
    limit = model.config.max_position_embeddings
    processor = RecapProcessor(tokenizer, data.audio, limit, limit)
    dataset, collate = SongDataset(songs, processor, None), SongCollator(processor, "")
    callback = ProgressCallback(progress, "Pretraining the lyrics model without music")
    fit(model, dataset, collate, partial, options, callback, adam_beta2=BETA2)
    tokenizer.save_pretrained(partial)
    model.save_pretrained(partial)
    weights = partial / "model.safetensors"
    with replace_atomically(weights) as whole:  # safetensors writes for its owner only; the umask decides
        weights.replace(whole)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def train_tokenizer(songs: Sequence[PreparedSong], vocab_size: int) -> PreTrainedTokenizerFast:
    """Trains byte-level BPE with BART's special tokens and template on the songs' lyrics and captions."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for entry in songs for text in (entry.song.lyrics, *(c.text for c in entry.song.captions)))
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        cls_token="<s>",
        sep_token="</s>",
    )


def tiny_bart(tiny: RecapConfig) -> dict[str, Any]:
    """Returns the part of a tiny config that a plain BART has."""
    names = set(BartConfig().to_dict()) - {"model_type", "architectures", "transformers_version", "vocab_size"}
    return json.loads(json.dumps({name: getattr(tiny, name) for name in sorted(names) if hasattr(tiny, name)}))
