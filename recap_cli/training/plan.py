"""The plan of a run: its settings, data and source of weights, with all checks that need no long work."""

import math
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import BartConfig, PreTrainedTokenizerBase

from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.dataset import PreparedData, PreparedSong, enough_votes
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.folder import check_asked, load_tokenizer, read_config, read_generation
from recap_cli.model.published import load_music_encoder, set_music_sizes
from recap_cli.model.weight_files import read_folder_weights
from recap_cli.processor import read_settings
from recap_cli.progress import Progress
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.hub import DEFAULT_BART, MINILM, find_model, minilm_folder
from recap_cli.runtime.run_folder import check_run_folder, read_figures
from recap_cli.training.checkpoints import has_checkpoint
from recap_cli.training.interventions import CONSTANT_STEPS
from recap_cli.training.options import DEMO_ENCODER, MUSICNN, NAMED_ENCODERS, TAGS_ENCODER, TrainOptions
from recap_cli.training.pretrain import tag_values, tiny_bart
from recap_cli.training.recipes import CONSTANT
from recap_cli.training.trainer import process_batch_size
from recap_cli.training.validation import validation_songs

# Training songs with tags from which on they teach an encoder more than the made-up songs of the demo encoder do.
ENOUGH_TAGGED = 500
# Steps below which a small model has not learned to write a sentence: few captions take more epochs, judged less often.
LEAST_STEPS, JUDGED = 100, 10


@dataclass(frozen=True)
class Source:
    """A BART, or an earlier run, that weights come from."""

    folder: Path | None  # None for the stand-in, which is pretrained on the data
    tokenizer: PreTrainedTokenizerBase | None  # None for the stand-in, too
    config: BartConfig
    name: str = ""  # of a hub model, the name with its commit, for records
    has_verses_alone: bool = False  # only the layers that read verses and the embeddings are taken

    @property
    def run_config(self) -> RecapConfig | None:
        """The config of an earlier run, which has a music encoder of its own; None for a BART."""
        return self.config if isinstance(self.config, RecapConfig) else None


@dataclass(frozen=True)
class RunPlan:
    """A training that has passed every check that can be made before its work begins."""

    options: TrainOptions
    data: PreparedData
    settings: dict[str, Any]  # every setting of the recipe, with the options' own values
    source: Source

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.options.folder(self.data.info)

    @property
    def validate_every(self) -> float:
        """Epochs between two validations."""
        if self.options.validate_every is not None:
            return self.options.validate_every
        return max(self.settings["epochs"] / JUDGED, 1.0) if self.has_more_epochs else 1.0

    @property
    def has_more_epochs(self) -> bool:
        """Whether it takes more epochs than the recipe has, because captions are few."""
        return bool(more_epochs(self.options, self.data))

    @cached_property
    def record(self) -> dict[str, Any]:
        """What makes the run: written to `options.json`, and compared before a run resumes."""
        chosen = self.music_encoder
        # The demo corpus has always been without a word of its encoder, and its runs resume.
        named = {} if chosen in (None, TAGS_ENCODER) else {"music_encoder": str(chosen)}
        decided = {"epochs": self.settings["epochs"], "validate_every": self.validate_every}
        return self.options.record(self.data.info) | decided | named

    @property
    def signed_record(self) -> dict[str, Any]:
        """The same with the commit of a hub model that it starts from."""
        return self.record | ({"starts_from": self.source.name} if self.source.name else {})

    @cached_property
    def fingerprint(self) -> str:
        """What seals the run's checkpoints."""
        return fingerprint(self.record)

    @property
    def inputs(self) -> list[Path]:
        """What the run reads, in whose place no output may go."""
        named = (self.options.data, self.source.folder, self.options.music_encoder)
        return [path for path in named if path is not None and path not in NAMED_ENCODERS]

    @property
    def music_kind(self) -> str:
        """What the model gets of a song, as `SongCollator` names it: mels, cached states, or nothing."""
        return "" if self.options.no_music else "mel" if self.options.train_music_encoder else "states"

    @property
    def songs(self) -> list[PreparedSong]:
        """The training songs."""
        return self.data.split("train")[: self.options.limit]

    @cached_property
    def music_encoder(self) -> Path | None:
        """Where the music encoder comes from: a file or one of the names; None for an earlier run's, or none."""
        if self.options.no_music or self.source.run_config is not None:
            return None
        if self.options.music_encoder is not None:
            return self.options.music_encoder
        if self.data.audio.takes_whole_songs:
            return MUSICNN
        try:
            values = tag_values(self.songs, self.data.info["music_tags"])
        except DataError:
            return DEMO_ENCODER
        tagged = sum(any(name in entry.song.tags for name in values) for entry in self.songs)
        return TAGS_ENCODER if self.data.is_demo or tagged >= ENOUGH_TAGGED else DEMO_ENCODER

    @property
    def encoder_kind(self) -> str:
        """Which of the music encoders it is, as the config names them."""
        if self.source.run_config is not None:
            return self.source.run_config.music_encoder
        return "musicnn" if self.music_encoder == MUSICNN else "cnnsa"

    @property
    def encoder_words(self) -> str:
        """What the music encoder is called in messages."""
        if self.music_encoder is None:
            return "none" if self.options.no_music else f"that of {self.source.folder}"
        names = {DEMO_ENCODER: "that of the demo model in the package", TAGS_ENCODER: "pretrained on the songs' tags"}
        return names.get(self.music_encoder, str(self.music_encoder))

    @property
    def validation_count(self) -> int:
        """Validation songs at most."""
        return min(self.settings["validation_songs"], self.options.limit or self.settings["validation_songs"])


def check_run(options: TrainOptions, progress: Progress) -> RunPlan:
    """Returns a run's plan, when all that the run would refuse before its first step has been; writes nothing.

    Raises:
        BusyError: another process trains in the run's folder.
        DataError: as `plan_run`; or what the folder holds of a finished run is damaged.
        ModelError: as `plan_run`; or weights are damaged or do not fit.
        OptionError: as `plan_run`; the folder holds something else, or no checkpoint though one is to be resumed.
    """
    choose_device(options.device)
    plan = plan_run(options, progress)
    finished = check_run_folder(plan.out, plan.signed_record, plan.inputs)
    if finished:
        read_figures(plan.out)
    elif options.resume and not has_checkpoint(plan.out, plan.fingerprint):
        raise nothing_to_resume(plan.out)
    return plan


def more_epochs(options: TrainOptions, data: PreparedData) -> dict[str, float]:
    """Returns the epochs that the tiny recipe needs for few captions of one's own; nothing where its own are enough."""
    settings = options.settings(data.corpus)
    if data.is_demo or settings["recipe"] != "tiny" or options.epochs is not None:
        return {}
    captions = sum(len(entry.song.captions) for entry in data.split("train")[: options.limit])
    epochs = math.ceil(LEAST_STEPS / max(math.ceil(captions / settings["batch_size"]), 1))
    return {"epochs": epochs} if epochs > settings["epochs"] else {}


def nothing_to_resume(out: Path) -> OptionError:
    """Returns the error of `--resume` without a checkpoint."""
    return OptionError(f"--resume: {out} holds no checkpoint to resume from", "leave --resume out to begin")


def plan_run(
    options: TrainOptions, progress: Progress, data: PreparedData | None = None, source: Source | None = None
) -> RunPlan:
    """Returns a run's plan, checked; several runs may share the opened `data` folder and the `source`.

    Raises:
        DataError: the data lack captions, validation songs or tags, or their folder cannot take a cache.
        ModelError: weights are needed that are not named or not there, or that were trained on other audio.
        OptionError: a setting does not fit the model or the processes.
    """
    if data is None:
        data = PreparedData(options.data)
        for note in data.notes:
            progress.say(note)
    settings = options.settings(data.corpus) | more_epochs(options, data)
    plan = RunPlan(options, data, settings, source or find_source(settings, options.init, progress))
    check_model(plan)
    check_audio(plan)
    process_batch_size(settings["batch_size"], options.accumulate)
    # InfoNCE gathers from all processes, which must meet in every micro-batch.
    infonce = settings["alignment_loss"].startswith("infonce")
    if options.micro_batch_tokens and infonce and PartialState().num_processes > 1:
        raise OptionError("InfoNCE over several processes takes no micro-batches", "set --micro-batch-tokens 0")
    check_captions(plan)
    validation_songs(data, plan.validation_count)
    check_music_encoder(plan)
    if plan.music_encoder == TAGS_ENCODER or plan.source.folder is None:
        check_cache(data.folder, "pretrained")
    if plan.music_kind == "states" or settings["freeze_verses"]:
        check_cache(data.folder, "features")
    return plan


def find_source(settings: dict[str, Any], init: Path | None, progress: Progress | None = None) -> Source:
    """Finds the BART that is named, or the run of `--init`; only its config and tokenizer are loaded yet.

    Of the packaged model, for `minilm`, only the layers that read verses are taken.

    Raises:
        ModelError: there is none, or its files are damaged.
    """
    if init is None and settings["bart"] == "pretrain":
        return Source(None, None, BartConfig(**tiny_bart(RecapConfig.tiny(5))))
    if init is None and settings["bart"] == MINILM and not Path(MINILM).is_dir():
        given = read_source(minilm_folder())
        bart = given.run_config.to_bart() if given.run_config else given.config
        return replace(given, config=bart, has_verses_alone=True)
    flag, wanted = ("--bart", settings["bart"]) if init is None else ("--init", init)
    try:
        found = find_model(wanted, flag, progress)
    except ModelError as error:
        if init is not None or settings["bart"] != DEFAULT_BART:
            raise
        hint = "go online once, name a folder with --bart, or train a small model offline: --recipe tiny"
        raise ModelError(error.message, hint) from error
    folder = found.path
    try:
        source = read_source(folder, found.name if found.from_hub else "")
    except ModelError as error:
        raise ModelError(f"{flag}: {folder} cannot be loaded: {error.message}", error.hint) from error
    if init is not None and source.run_config is None:
        raise ModelError(f"{flag}: {folder} holds no run of recap train", "name a run of recap train, or use --bart")
    if init is None and source.run_config is not None:
        raise ModelError(f"{flag}: {folder} holds no BART", "name a BART, or use --init")
    return source


def read_source(folder: Path, name: str = "") -> Source:
    """Returns a model folder's config and tokenizer, when they are whole and fit its weights."""
    config = read_config(folder)
    read_generation(folder, config)
    source = Source(folder, load_tokenizer(folder, config), config, name)
    check_asked(config, read_folder_weights(folder), str(folder))
    return source


def check_model(plan: RunPlan) -> None:
    """Refuses settings that fit no model, and a recipe whose music encoder is not named."""
    recap_config(plan, None if plan.options.no_music else RecapConfig().music_sizes)
    plan.options.check_encoder(plan.data.corpus, plan.data.audio.music_encoder)


def check_music_encoder(plan: RunPlan) -> None:
    """Refuses a music encoder that cannot be loaded, or songs without the tags that it is to learn.

    Raises:
        DataError: the songs have no tags.
        ModelError: the file is missing or damaged, or holds something else.
    """
    chosen = plan.music_encoder
    if chosen == TAGS_ENCODER:
        tag_values(plan.songs, plan.data.info["music_tags"])
    elif chosen is not None and chosen not in NAMED_ENCODERS:
        if not chosen.is_file():
            raise ModelError(f"no weights file {chosen}", "check the path")
        load_music_encoder(chosen)


def check_audio(plan: RunPlan) -> None:
    """Refuses data prepared with other audio settings than an earlier run, or the music encoder, was trained on.

    Published weights fix the constants of the signal path, but take songs of any length; any encoder its mel bands.
    """
    source, data, options = plan.source, plan.data, plan.options
    given = data.audio.to_json()
    known, who = AudioSettings.of_encoder(plan.encoder_kind).to_json(), "the music encoder"
    hint = "prepare the data with recap prepare's own settings"
    names = {"mels"} if plan.music_encoder == TAGS_ENCODER else set(given) - {"seconds", "resampler"}
    if plan.encoder_kind != data.audio.music_encoder:
        who, hint = plan.encoder_kind, f"prepare the data with recap prepare --music-encoder {plan.encoder_kind}"
        names = set(known) - {"seconds", "resampler"}
    if source.run_config is not None and source.folder is not None:
        known = read_settings(source.folder)["audio"].to_json()
        names = set(given) | set(known)
        who, hint = f"--init: {source.folder}", "prepare the data with the run's settings, see recap_processor.json"
    elif options.no_music:
        return
    other = sorted(name for name in names if given.get(name) != known.get(name))
    if other:
        raise ModelError(f"{who} was trained with other audio settings than {data.folder}: {', '.join(other)}", hint)


def check_captions(plan: RunPlan) -> None:
    """Refuses a train split that leaves nothing to learn."""
    options = plan.options
    songs = plan.songs[: options.study.captioned_songs]
    captions = (caption for entry in songs for caption in entry.song.captions)
    if not any(enough_votes(caption, options.min_votes) for caption in captions):
        votes = f" with {options.min_votes} votes or more" if options.min_votes is not None else ""
        raise DataError(f"{plan.data.folder} has no captions{votes} to learn from", "the train split needs captions")


def check_cache(folder: Path, name: str) -> None:
    """Refuses a data folder that cannot take a cache, unless an earlier run has filled it."""
    place = folder / name
    there = place if place.is_dir() else folder
    filled = place.is_dir() and any(place.iterdir())
    if not filled and not os.access(there, os.W_OK | os.X_OK):
        raise DataError(
            f"cannot write into {place}: {there} is read-only", "see that it can be written, or work in a copy"
        )


def recap_config(plan: RunPlan, music: MusicEncoderSizes | None) -> RecapConfig:
    """Returns the source's config with RECAP's fields; `music` None leaves the music out."""
    options, settings = plan.options, plan.settings
    config = RecapConfig.from_bart(
        plan.source.config,
        use_music=music is not None,
        music_encoder=plan.encoder_kind,
        train_music_encoder=options.train_music_encoder,
        states_facts=plan.data.corpus == "real",
        eight_bit=False,
        allow_fused_alignment=options.allow_fused_alignment,
        alignment_probe=options.probe,
        constant_music=CONSTANT_STEPS if options.study.music == CONSTANT else 0,
        alignment_temperature=settings["temperature"],
        # All other settings of the model have the names of the config's fields.
        **{name: value for name, value in settings.items() if name in RecapConfig.__annotations__},
    )
    if music is not None:
        set_music_sizes(config, music)
    return config
