"""The plan of a run: its settings, data and source of weights, with all checks that need no long work."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import BartConfig, PreTrainedTokenizerBase

from recap_cli import __version__
from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.dataset import PreparedData, enough_votes
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.folder import check_asked, load_tokenizer, read_config, read_generation
from recap_cli.model.published import set_music_sizes
from recap_cli.model.weight_files import read_folder_weights
from recap_cli.processor import read_settings
from recap_cli.progress import Progress
from recap_cli.runtime.hub import find_model
from recap_cli.training.interventions import CONSTANT_STEPS
from recap_cli.training.options import CONSTANT, MUSICNN, TrainOptions
from recap_cli.training.pretrain import tag_values, tiny_bart
from recap_cli.training.trainer import process_batch_size
from recap_cli.training.validation import validation_songs

# Options that do not make another run of it.
NOT_OF_THE_RUN = ("out", "data", "device", "resume", "report_to")


@dataclass(frozen=True)
class Source:
    """A BART, or an earlier run, that weights come from."""

    folder: Path | None  # None for the stand-in, which is pretrained on the data
    tokenizer: PreTrainedTokenizerBase | None  # None for the stand-in, too
    config: BartConfig
    name: str = ""  # of a hub model, the name with its commit, for records

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
        return self.options.out or Path("runs") / run_name(self.options, self.settings)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What makes the run: written to `options.json`, and compared before a run resumes."""
        own = {name: value for name, value in self.options.to_json().items() if name not in NOT_OF_THE_RUN}
        record = {"recap": __version__, **own, **self.settings, "data_fingerprint": self.data.fingerprint}
        return json.loads(json.dumps(record))

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
        named = (self.options.data, self.source.folder, self.options.music_encoder if self.has_cnnsa_file else None)
        return [path for path in named if path is not None]

    @property
    def music_kind(self) -> str:
        """What the model gets of a song, as `SongCollator` names it: mels, cached states, or nothing."""
        return "" if self.options.no_music else "mel" if self.options.train_music_encoder else "states"

    @property
    def music_encoder(self) -> str:
        """Which music encoder the model has: an earlier run's, else the one that is named or that the data are for."""
        if self.source.run_config is not None:
            return self.source.run_config.music_encoder
        named = self.options.music_encoder
        return self.data.audio.music_encoder if named is None else "musicnn" if named == MUSICNN else "cnnsa"

    @property
    def has_cnnsa_file(self) -> bool:
        """Whether a file of CNNSA's weights is named."""
        return self.options.music_encoder not in (None, MUSICNN)

    @property
    def needs_stand_in_music(self) -> bool:
        """Whether a music encoder must be pretrained on the data."""
        has_own = self.source.run_config is not None or self.has_cnnsa_file or self.music_encoder == "musicnn"
        return not self.options.no_music and not has_own

    @property
    def validation_count(self) -> int:
        """Validation songs at most."""
        return min(self.settings["validation_songs"], self.options.limit or self.settings["validation_songs"])


def plan_run(
    options: TrainOptions, progress: Progress, data: PreparedData | None = None, source: Source | None = None
) -> RunPlan:
    """Returns a run's plan, when all that can be refused beforehand has been; no weights are loaded, nothing written.

    Several runs may share the opened `data` folder and the `source`.

    Raises:
        DataError: the data lack captions, validation songs or tags, or their folder cannot take a cache.
        ModelError: weights are needed that are not named or not there, or that were trained on other audio.
        OptionError: a setting does not fit the model or the processes.
    """
    if data is None:
        data = PreparedData(options.data)
        for note in data.notes:
            progress.say(note)
    settings = options.settings(data.is_demo)
    plan = RunPlan(options, data, settings, source or find_source(settings, options.init, progress))
    check_model(plan)
    check_audio(plan)
    process_batch_size(settings["batch_size"], options.accumulate)
    # InfoNCE gathers from all processes, which must meet in every micro-batch.
    infonce = settings["alignment_loss"].startswith("infonce")
    if options.micro_batch_tokens and infonce and PartialState().num_processes > 1:
        hint = "set --micro-batch-tokens 0"
        raise OptionError("InfoNCE over several processes cannot be cut into micro-batches", hint)
    check_captions(plan)
    validation_songs(data, plan.validation_count)
    if options.music_encoder not in (None, MUSICNN) and not options.no_music and not options.music_encoder.is_file():
        raise ModelError(f"no weights file {options.music_encoder}", "check the path")
    if plan.needs_stand_in_music:
        tag_values(data.split("train"), data.info["music_tags"])
    if plan.needs_stand_in_music or plan.source.folder is None:
        check_cache(data.folder, "pretrained")
    if plan.music_kind == "states":
        check_cache(data.folder, "features")
    return plan


def run_name(options: TrainOptions, settings: dict[str, Any]) -> str:
    """Returns a run's name, after what sets it apart."""
    if options.no_music:
        return f"{settings['recipe']}-bart-seed-{options.seed}"
    loss = "" if settings["alignment_loss"] == "positive" else f"-{settings['alignment_loss']}"
    return f"{settings['recipe']}-alpha-{settings['alpha']:g}{loss}-seed-{options.seed}"


def find_source(settings: dict[str, Any], init: Path | None, progress: Progress | None = None) -> Source:
    """Finds the BART that is named, or the run of `--init`; only its config and tokenizer are loaded yet.

    Raises:
        ModelError: there is none, or its files are damaged.
    """
    if init is None and settings["bart"] == "pretrain":
        return Source(None, None, BartConfig(**tiny_bart(RecapConfig.tiny(5))))
    flag = "--bart" if init is None else "--init"
    found = find_model(settings["bart"] if init is None else init, flag, progress)
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
    options = plan.options
    recap_config(plan, None if options.no_music else RecapConfig().music_sizes)
    if options.init is not None and options.music_encoder is not None:
        raise OptionError("--init brings its own music encoder", "leave --music-encoder out")
    if plan.settings["recipe"] != "tiny" and plan.needs_stand_in_music:
        raise ModelError(
            "a pretrained music encoder is needed",
            "name CNNSA weights with --music-encoder best_model.pth; or prepare the data with --music-encoder musicnn, "
            "which is at hand; or train without music: --no-music",
        )


def check_audio(plan: RunPlan) -> None:
    """Refuses data prepared with other audio settings than an earlier run, or the music encoder, was trained on.

    Published weights fix the constants of the signal path, but take songs of any length; any encoder fixes its number
    of mel bands.
    """
    source, data, options = plan.source, plan.data, plan.options
    given = data.audio.to_json()
    known, who = AudioSettings.of_encoder(plan.music_encoder).to_json(), "the music encoder"
    hint = "prepare the data with recap prepare's own settings"
    names = set(given) - {"seconds", "resampler"} if plan.has_cnnsa_file else {"mels"}
    if plan.music_encoder != data.audio.music_encoder:
        who, hint = plan.music_encoder, f"prepare the data with recap prepare --music-encoder {plan.music_encoder}"
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
    songs = plan.data.split("train")[: options.limit][: options.study.captioned_songs]
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
        music_encoder=plan.music_encoder,
        train_music_encoder=options.train_music_encoder,
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
