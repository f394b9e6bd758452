"""Train a captioner on a prepared data folder, on the stock Seq2SeqTrainer."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, BartConfig, PreTrainedTokenizerBase, set_seed

from recap_cli import __version__
from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.manifest import write_json
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.published import first_line, load_music_encoder, set_music_sizes
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Progress, SilentProgress
from recap_cli.workflows.features import cache_features
from recap_cli.workflows.hub import model_folder
from recap_cli.workflows.pretrain import (
    LyricsPretraining,
    MusicPretraining,
    pretrain_bart,
    pretrain_music_encoder,
    tiny_bart,
)
from recap_cli.workflows.recipes import recipe_settings
from recap_cli.workflows.runs import FIGURES_FILE, LOG_FILE, claim_folder, newest_checkpoint, read_log
from recap_cli.workflows.training import ProgressCallback, choose_device, silence, training_arguments
from recap_cli.workflows.validation import BEST_METRICS, LOWER_IS_BETTER, EpochReport, RecapTrainer, Validation


@dataclass(frozen=True)
class TrainOptions:
    """What to train. A setting left at None comes from the recipe, see `recipes.RECIPE_LINES`.

    Attributes:
        data: the prepared data folder.
        out: the run's folder; None names it after the settings, under `runs`.
        recipe: `paper`, `alcap` or `tiny`; None takes `tiny` for demo data and `paper` for any other.
        music_encoder: published CNNSA weights; None pretrains one on the tags (tiny recipe only).
        no_music: leave the music out: plain BART, the lyrics-only baseline.
        train_music_encoder: train the music encoder end to end instead of freezing it.
        allow_fused_alignment: permit an alignment layer behind a fusion layer.
        min_votes: leave out training captions with fewer votes.
        limit: train on so many songs only.
        seed: of initial weights, order and dropout.
        device: `auto`, `cpu`, `cuda` or `mps`.
    """

    data: Path
    out: Path | None = None
    recipe: str | None = None
    music_encoder: Path | None = None
    no_music: bool = False
    train_music_encoder: bool = False
    allow_fused_alignment: bool = False
    min_votes: int | None = None
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    bart: str | None = None
    alpha: float | None = None
    alignment_loss: str | None = None
    similarity: str | None = None
    temperature: float | None = None
    pooling: str | None = None
    pads_in_loss: bool | None = None
    align_layer: int | None = None
    fusion_layers: tuple[int, ...] | None = None
    fusion_scale: float | None = None
    fusion_heads: int | None = None
    fusion_sharing: str | None = None
    optimizer: str | None = None
    adam_beta2: float | None = None
    schedule: str | None = None
    warmup: float | None = None
    lr: float | None = None
    batch_size: int | None = None
    epochs: float | None = None
    max_lyrics_tokens: int | None = None
    max_caption_tokens: int | None = None
    validation_songs: int | None = None
    best_by: str | None = None
    beams: int | None = None
    sample: bool | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        for flag in ("batch_size", "epochs", "lr", "limit", "validation_songs"):
            value = getattr(self, flag)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OptionError(f"--{flag.replace('_', '-')} {value} is not possible", "give a number above 0")
        if self.best_by is not None and self.best_by not in BEST_METRICS:
            raise OptionError(f"--best-by {self.best_by} is not known", f"choose one of {', '.join(BEST_METRICS)}")
        for flag in ("max_lyrics_tokens", "max_caption_tokens"):
            value = getattr(self, flag)
            if value is not None and value < 3:
                raise OptionError(f"--{flag.replace('_', '-')} {value} leaves no room for text", "give 3 or more")

    def settings(self, demo: bool) -> dict[str, Any]:
        """Give every recipe setting with this run's overrides, and the recipe's name."""
        recipe = self.recipe or ("tiny" if demo else "paper")
        chosen = recipe_settings(recipe)
        own = {name: getattr(self, name) for name in chosen if getattr(self, name) is not None}
        return {"recipe": recipe, **chosen, **own}

    def to_json(self) -> dict[str, Any]:
        """The options as plain values."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        out: its folder, a model for `from_pretrained`.
        settings: every setting it was trained with.
        figures: best validation figures and the epoch they belong to.
        log: one record an epoch.
        data: what is known of its data.
        trained: False when the run was finished before and nothing was done.
    """

    out: Path
    settings: dict[str, Any]
    figures: dict[str, Any]
    log: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    trained: bool = True

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {"run": str(self.out), "settings": self.settings, "figures": self.figures, "log": self.log}


def train(options: TrainOptions, progress: Progress | None = None) -> TrainResult:
    """Train a run, or go on with one that was interrupted.

    Raises:
        DataError: the data folder cannot be used.
        ModelError: weights cannot be used, or the loss turned into NaN.
        OptionError: a setting is impossible, or the folder holds another run.
    """
    progress = progress or SilentProgress()
    data = PreparedData(options.data)
    settings = options.settings(data.is_demo)
    check_model_settings(options, settings)
    out = options.out or Path("runs") / run_name(options, settings)
    record = run_record(options, settings, data)
    if claim_folder(out, record):
        figures = json.loads((out / FIGURES_FILE).read_text(encoding="utf-8"))
        return TrainResult(out, settings, figures, read_log(out), data.info, trained=False)
    model, processor = build_model(options, settings, data, progress)
    trainer = build_trainer(model, processor, options, settings, data, out, progress)
    silence(trainer).train(resume_from_checkpoint=newest_checkpoint(out / "checkpoints"))
    return finish_run(trainer, out, settings, data)


def run_name(options: TrainOptions, settings: Mapping[str, Any]) -> str:
    """Name a run after what sets it apart."""
    if options.no_music:
        return f"{settings['recipe']}-bart-seed-{options.seed}"
    loss = "" if settings["alignment_loss"] == "positive" else f"-{settings['alignment_loss']}"
    return f"{settings['recipe']}-alpha-{settings['alpha']:g}{loss}-seed-{options.seed}"


def run_record(options: TrainOptions, settings: Mapping[str, Any], data: PreparedData) -> dict[str, Any]:
    """What makes a run: it is written to `options.json` and compared before a run goes on."""
    own = {name: value for name, value in options.to_json().items() if name not in ("out", "data", "device")}
    record = {"recap": __version__, **own, **settings, "data_fingerprint": data.fingerprint}
    return json.loads(json.dumps(record))


def check_model_settings(options: TrainOptions, settings: Mapping[str, Any]) -> None:
    """Find impossible settings before any long work and before a folder is taken.

    Raises:
        ModelError: there is no such BART, or the recipe needs a music encoder and none is named.
        OptionError: a setting does not fit the model.
    """
    source = settings["bart"]
    bart = BartConfig(**tiny_bart(RecapConfig.tiny(5))) if source == "pretrain" else load_bart_parts(source)[1]
    recap_config(bart, settings, options, None if options.no_music else RecapConfig().music_sizes)
    if settings["recipe"] != "tiny" and not options.no_music and options.music_encoder is None:
        raise ModelError(
            "a pretrained music encoder is needed",
            "name CNNSA weights with --music-encoder best_model.pth, or train without music: --no-music",
        )


def build_model(
    options: TrainOptions, settings: Mapping[str, Any], data: PreparedData, progress: Progress
) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Join a pretrained BART and a pretrained music encoder; what is new is initialised from the seed."""
    encoder = None if options.no_music else choose_music_encoder(options, data, progress)
    source = settings["bart"]
    if source == "pretrain":
        source = str(pretrain_bart(data, LyricsPretraining(tiny_bart(RecapConfig.tiny(5))), progress))
    tokenizer, config = load_bart_parts(source)
    config = recap_config(config, settings, options, encoder.sizes if encoder else None)
    set_seed(options.seed)
    try:
        model = RecapForCaptioning.from_pretrained(model_folder(source, "--bart"), config=config)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the BART weights of {source} cannot be loaded: {first_line(error)}", "check --bart"
        ) from error
    if encoder is not None:
        model.model.encoder.music_encoder.load_state_dict(encoder.state_dict())
    limit = config.max_position_embeddings
    processor = RecapProcessor(
        tokenizer, data.audio, min(settings["max_lyrics_tokens"], limit), min(settings["max_caption_tokens"], limit)
    )
    return model, processor


def choose_music_encoder(options: TrainOptions, data: PreparedData, progress: Progress) -> MusicEncoder:
    """Load the music encoder that was named, or pretrain the tiny recipe's."""
    if options.music_encoder is not None:
        encoder, report = load_music_encoder(options.music_encoder)
        progress.say(f"Music encoder: {report.loaded} tensors from {options.music_encoder}")
        return encoder
    path = pretrain_music_encoder(data, MusicPretraining(RecapConfig.tiny(5).music_sizes), progress)
    return load_music_encoder(path)[0]


def load_bart_parts(source: str) -> tuple[PreTrainedTokenizerBase, Any]:
    """Load tokenizer and config of a BART from a folder or a hub id.

    Raises:
        ModelError: it cannot be had.
    """
    folder = model_folder(source, "--bart")
    try:
        return AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"--bart: {source} cannot be loaded: {first_line(error)}", "name a whole BART folder"
        ) from error


def recap_config(
    bart: Any, settings: Mapping[str, Any], options: TrainOptions, music: MusicEncoderSizes | None
) -> RecapConfig:
    """Give a BART's config RECAP's fields; `music` None leaves the music out."""
    names = (
        "alpha",
        "alignment_loss",
        "similarity",
        "pooling",
        "align_layer",
        "pads_in_loss",
        "fusion_scale",
        "fusion_heads",
        "fusion_sharing",
    )
    config = RecapConfig.from_bart(
        bart,
        use_music=music is not None,
        train_music_encoder=options.train_music_encoder,
        allow_fused_alignment=options.allow_fused_alignment,
        fusion_layers=list(settings["fusion_layers"]),
        alignment_temperature=settings["temperature"],
        **{name: settings[name] for name in names},
    )
    if music is not None:
        set_music_sizes(config, music)
    return config


def build_trainer(
    model: RecapForCaptioning,
    processor: RecapProcessor,
    options: TrainOptions,
    settings: Mapping[str, Any],
    data: PreparedData,
    out: Path,
    progress: Progress,
) -> "RecapTrainer":
    """Set up the Trainer with its data, validation and callbacks."""
    device = choose_device(options.device)
    music, kind = choose_music(model, data, options, progress, device)
    songs = data.split("train")[: options.limit]
    dataset = SongDataset(songs, processor, music, min_votes=options.min_votes)
    if not len(dataset):
        raise DataError(f"{data.folder} has no captions to learn from", "the train split needs captions")
    arguments = training_arguments(
        out / "checkpoints",
        seed=options.seed,
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        epochs=settings["epochs"],
        warmup=settings["warmup"],
        device=options.device,
        optim=settings["optimizer"],
        adam_beta2=settings["adam_beta2"],
        lr_scheduler_type=settings["schedule"],
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=settings["best_by"],
        greater_is_better=settings["best_by"] not in LOWER_IS_BETTER,
    )
    validation = Validation(model, processor, validation_songs(data, settings, options), music, kind)
    return RecapTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        eval_dataset=validation.dataset,
        data_collator=SongCollator(processor, kind),
        callbacks=[ProgressCallback(progress, "Training"), EpochReport(progress, out / LOG_FILE, validation)],
        validation=validation,
        processor=processor,
    )


def choose_music(
    model: RecapForCaptioning, data: PreparedData, options: TrainOptions, progress: Progress, device: str
) -> tuple[ShardReader | None, str]:
    """Give the music of a run: cached states of a frozen encoder, mels for a trained one, or nothing."""
    encoder = model.model.encoder.music_encoder
    if encoder is None:
        return None, ""
    if options.train_music_encoder:
        return data.mels, "mel"
    return cache_features(data, encoder, progress, device), "states"


def validation_songs(data: PreparedData, settings: Mapping[str, Any], options: TrainOptions) -> list[PreparedSong]:
    """Choose the fixed songs that every epoch is judged by."""
    songs = [entry for entry in data.split("validation") if entry.song.captions]
    if not songs:
        raise DataError(f"{data.folder} has no captions in split 'validation'", "a best epoch cannot be chosen")
    count = min(len(songs), settings["validation_songs"], options.limit or len(songs))
    chosen = np.random.default_rng(0).permutation(len(songs))[:count]
    return [songs[index] for index in sorted(chosen)]


def finish_run(trainer: RecapTrainer, out: Path, settings: dict[str, Any], data: PreparedData) -> TrainResult:
    """Save the best model with its processor; `figures.json` comes last and says that the run is finished."""
    log = read_log(out)
    choose = min if settings["best_by"] in LOWER_IS_BETTER else max
    best = choose(log, key=lambda record: record[settings["best_by"]])
    trainer.model.generation_config.num_beams = settings["beams"]
    if settings["sample"]:
        trainer.model.generation_config.update(do_sample=True, top_p=settings["top_p"])
    trainer.model.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)  # safetensors writes for its owner only
    trainer.processor.save_pretrained(out)
    figures = {"best": best, "sample": trainer.validation.sample, "steps": trainer.state.global_step}
    write_json(out / FIGURES_FILE, figures)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return TrainResult(out, settings, figures, log, data.info)
