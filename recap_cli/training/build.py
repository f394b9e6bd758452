"""From a plan to what is trained: the model with its weights, the music, and the Trainer with its data."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Adafactor, PreTrainedTokenizerBase, Seq2SeqTrainingArguments, set_seed

from recap_cli.corpus.dataset import PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError, ModelError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.folder import first_line, read_generation
from recap_cli.model.lyrics_encoder import verse_names
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.musicnn import Musicnn, load_musicnn
from recap_cli.model.published import load_music_encoder, music_encoder_from
from recap_cli.model.weight_files import read_folder_weights
from recap_cli.processor import IGNORED, MOST_VERSES, RecapProcessor
from recap_cli.progress import Progress
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.feature_cache import cache_features, cache_verses
from recap_cli.runtime.hub import DEMO_MODEL
from recap_cli.training.interventions import Music, change_states, exchange_captions
from recap_cli.training.options import DEMO_ENCODER, MUSICNN, TAGS_ENCODER, Interventions
from recap_cli.training.plan import RunPlan, Source, read_source, recap_config
from recap_cli.training.pretrain import (
    LyricsPretraining,
    MusicPretraining,
    pretrain_bart,
    pretrain_music_encoder,
    tiny_bart,
)
from recap_cli.training.trainer import ProgressCallback, RecapTrainer, training_arguments
from recap_cli.training.validation import Board, EpochReport, Validation, validation_songs

# Tokens of a micro-batch on a CPU for models of BART's size, where smaller pieces fit its caches and waste no pads.
CPU_MICRO_BATCH_TOKENS = 2048
WIDE = 512  # a model of BART's size is at least this wide
GRADIENT_ROWS = 16  # examples on which the gradients of the two losses are compared


def build_model(plan: RunPlan, progress: Progress) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Joins a BART and a music encoder, or takes an earlier run; what is new is initialised from the seed.

    Raises:
        ModelError: weights cannot be loaded.
    """
    options, data, source = plan.options, plan.data, plan.source
    own = load_chosen_encoder(plan, progress)
    if source.folder is None:
        how = LyricsPretraining(tiny_bart(RecapConfig.tiny(5)), seed=options.pretrain_seed)
        source = read_source(pretrain_bart(data, how, progress, options.study, options.limit))
        plan = replace(plan, source=source)
    run = None if options.no_music else source.run_config
    sizes = own.sizes if isinstance(own, MusicEncoder) else RecapConfig().music_sizes if own else None
    config = recap_config(plan, run.music_sizes if run else sizes)
    set_seed(options.seed)
    model = load_weights(source, config)
    if own is not None:
        model.model.encoder.music_encoder.load_state_dict(own.state_dict())
    assert source.tokenizer is not None
    return model, make_processor(plan, source.tokenizer, config)


def draw_model(plan: RunPlan, tokenizer: PreTrainedTokenizerBase) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Returns a model of the run's size with weights drawn at random, to time its steps by."""
    run, tiny = plan.source.run_config, plan.settings["recipe"] == "tiny"
    sizes = run.music_sizes if run else (RecapConfig.tiny(len(tokenizer)) if tiny else RecapConfig()).music_sizes
    config = recap_config(plan, None if plan.options.no_music else sizes)
    if plan.source.tokenizer is None:
        config.vocab_size = len(tokenizer)
    set_seed(plan.options.seed)
    return RecapForCaptioning(config), make_processor(plan, tokenizer, config)


def make_processor(plan: RunPlan, tokenizer: PreTrainedTokenizerBase, config: RecapConfig) -> RecapProcessor:
    """Returns the run's processor; no text that is read at once is longer than the model's positions."""
    lyrics, caption = (
        min(plan.settings[name], config.max_position_embeddings) for name in ("max_lyrics_tokens", "max_caption_tokens")
    )
    return RecapProcessor(tokenizer, plan.data.audio, lyrics, caption, MOST_VERSES if config.verse_layers else 0)


def load_weights(source: Source, config: RecapConfig) -> RecapForCaptioning:
    """Returns a model with a source's weights; what the source lacks is drawn at random.

    Raises:
        ModelError: the weights do not fit.
    """
    assert source.folder is not None
    weights = read_folder_weights(source.folder)
    if source.has_verses_alone:
        kept = ("model.shared.", *(f"model.encoder.{name}" for name in verse_names(config)))
        weights = {name: weight for name, weight in weights.items() if name.startswith(kept)}
    try:
        # The library reads no file here: names, shapes and settings were checked, and no code comes along.
        model = RecapForCaptioning.from_pretrained(None, config=config, state_dict=weights, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"the weights in {source.folder} cannot be loaded: {first_line(error)}", "check --bart or --init"
        ) from error
    model.generation_config = read_generation(source.folder, source.config)
    return model


def load_chosen_encoder(plan: RunPlan, progress: Progress) -> MusicEncoder | Musicnn | None:
    """Returns the music encoder that the plan names, made first where it learns tags; None where it names none."""
    chosen = plan.music_encoder
    if chosen is None:
        return None
    if chosen == MUSICNN:
        return load_musicnn()
    if chosen == DEMO_ENCODER:
        progress.say(f"Music encoder: {plan.encoder_words}, pretrained on made-up songs.")
        return load_demo_encoder()
    if chosen == TAGS_ENCODER:
        how = MusicPretraining(RecapConfig.tiny(5).music_sizes)
        return load_music_encoder(pretrain_music_encoder(plan.data, how, progress, plan.options.limit))[0]
    encoder, report = load_music_encoder(chosen)
    progress.say(f"Music encoder: {report.loaded} tensors from {chosen}")
    return encoder


def load_demo_encoder() -> MusicEncoder:
    """Returns the pretrained music encoder of the model in the package."""
    weights = read_folder_weights(DEMO_MODEL)
    part = "model.encoder.music_encoder."
    own = {name.removeprefix(part): value for name, value in weights.items() if name.startswith(part)}
    return music_encoder_from(own, str(DEMO_MODEL))[0]


# the trainer ----------------------------------------------------------------------------------------------------------


def choose_music(model: RecapForCaptioning, plan: RunPlan, progress: Progress) -> Music | None:
    """Returns the music of a run: cached states of a frozen encoder, mels for a trained one, or nothing.

    With `standardise_music`, the training songs' pooled states give mean and deviation.
    """
    encoder, options, data = model.model.encoder.music_encoder, plan.options, plan.data
    if encoder is None:
        return None
    if options.train_music_encoder:
        return data.mels
    songs = data.songs if model.config.standardise_music else encoded_songs(plan)
    states = cache_features(data, encoder, progress, choose_device(options.device), songs)
    music = change_states(states, data, options.study)
    if model.alignment is not None and model.config.standardise_music:
        pooled = [music[entry.mel].mean(axis=0, dtype=np.float32) for entry in data.split("train")]
        model.alignment.fit_standard(torch.from_numpy(np.stack(pooled)))
    return music


def encoded_songs(plan: RunPlan) -> list[PreparedSong]:
    """Returns the songs to encode: all; of a quick look, those that it uses, unless a study takes others, too."""
    alone = plan.options.limit is not None and plan.options.study == Interventions()
    return [*plan.songs, *validation_songs(plan.data, plan.validation_count)] if alone else plan.data.songs


def choose_verses(
    model: RecapForCaptioning, processor: RecapProcessor, plan: RunPlan, progress: Progress
) -> ShardReader | None:
    """Returns the states of the lyrics' verses where the layers that read them are frozen; None where they are not."""
    if not model.config.freeze_verses:
        return None
    songs = (processor.encode_lyrics(entry.song.lyrics)[0] for entry in encoded_songs(plan))
    return cache_verses(plan.data.folder, model.model.encoder, songs, progress, choose_device(plan.options.device))


def build_trainer(
    plan: RunPlan,
    model: RecapForCaptioning,
    processor: RecapProcessor,
    music: Music | None,
    out: Path,
    progress: Progress,
    verses: ShardReader | None = None,
) -> RecapTrainer:
    """Sets up the Trainer with its data, validation and callbacks; `out` is the run's folder, or a dry run's."""
    options, settings = plan.options, plan.settings
    songs = exchange_captions(plan.songs, options.study.caption_noise)
    captioned = options.study.captioned_songs
    dataset = SongDataset(songs, processor, music, min_votes=options.min_votes, captioned=captioned, verses=verses)
    if not dataset.has_captions():
        raise DataError(f"{plan.data.folder} has no captions to learn from", "the train split needs captions")
    collate = choose_collator(dataset, processor, plan)
    watched = validation_songs(plan.data, plan.validation_count)
    validation = Validation(model, processor, watched, music, plan.music_kind, verses=verses)
    batch = None
    if model.alignment is not None and not model.config.constant_music and settings["alignment_loss"] != "none":
        batch = collate([dataset[row] for row in range(min(len(dataset), GRADIENT_ROWS))])
    report = EpochReport(progress, out, validation, settings["best_by"], options.patience, batch, plan.fingerprint)
    trainer = RecapTrainer(
        model=model,
        args=trainer_arguments(plan, len(dataset), out),
        train_dataset=dataset,
        eval_dataset=validation.dataset,
        data_collator=collate,
        callbacks=[ProgressCallback(progress, "Training"), report],
        validation=validation,
        processor=processor,
        run=plan.fingerprint,
        micro_batch_tokens=choose_micro_batch_tokens(model, plan),
        optimizer_class=adafactor(settings["lr"]) if settings["optimizer"] == "adafactor" else None,
    )
    if options.report_to == "tensorboard":
        trainer.add_callback(Board(out, validation, trainer.losses, lambda: trainer.gradient_norm))
    return trainer


def adafactor(lr: float) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Returns Adafactor as the public code sets it: its rate is scaled by each parameter's size."""
    return Adafactor, {"lr": lr, "relative_step": False, "scale_parameter": True, "warmup_init": False}


def choose_collator(dataset: SongDataset, processor: RecapProcessor, plan: RunPlan) -> SongCollator:
    """Returns a collator that pads to each batch's longest, or to the corpus's longest as the public code does."""
    corpus = plan.settings["padding"] == "corpus"
    lyrics, captions = dataset.lengths().max(axis=0).tolist() if corpus else (0, 0)
    padding = processor.tokenizer.pad_token_id if plan.settings["pads_in_loss"] else IGNORED
    return SongCollator(processor, plan.music_kind, padding, (int(lyrics), int(captions)))


def choose_micro_batch_tokens(model: RecapForCaptioning, plan: RunPlan) -> int:
    """Returns the token budget of a micro-batch; 0 leaves batches whole."""
    if plan.options.micro_batch_tokens is not None:
        return plan.options.micro_batch_tokens
    # Cut apart, InfoNCE has fewer negatives, and pads that count in the loss are others.
    whole = plan.settings["pads_in_loss"] or plan.settings["alignment_loss"].startswith("infonce")
    small = choose_device(plan.options.device) != "cpu" or model.config.d_model < WIDE
    return 0 if whole or small else CPU_MICRO_BATCH_TOKENS


def trainer_arguments(plan: RunPlan, examples: int, out: Path) -> Seq2SeqTrainingArguments:
    """Translates options and recipe into the Trainer's arguments."""
    options, settings = plan.options, plan.settings
    validate = max(1, round(math.ceil(examples / settings["batch_size"]) * plan.validate_every))
    bf16 = options.precision == "bf16"
    if options.precision == "auto":
        bf16 = choose_device(options.device) == "cuda" and torch.cuda.is_bf16_supported()
    more: dict[str, Any] = {} if settings["optimizer"] == "adafactor" else {"optim": settings["optimizer"]}
    if options.gradient_checkpointing:
        more["gradient_checkpointing"] = True
    return training_arguments(
        out / "checkpoints",
        settings["batch_size"],
        options.accumulate,
        options.device,
        seed=options.seed,
        data_seed=options.seed,
        learning_rate=settings["lr"],
        num_train_epochs=settings["epochs"],
        warmup_steps=settings["warmup"],
        adam_beta2=settings["adam_beta2"],
        weight_decay=settings["weight_decay"],
        lr_scheduler_type=settings["schedule"],
        bf16=bf16,
        torch_compile=options.compile,
        eval_strategy="steps",
        eval_steps=validate,
        save_strategy="steps",
        save_steps=options.checkpoint_every or validate,
        save_total_limit=2,
        # At alpha 0 nothing reaches the alignment projection, for which several processes would wait.
        ddp_find_unused_parameters=settings["alpha"] == 0 or settings["alignment_loss"] == "none",
        **more,
    )
