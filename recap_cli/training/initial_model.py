"""What a run starts from: a BART or an earlier run, a music encoder, and the config that joins them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import BartConfig, PreTrainedTokenizerBase, set_seed

from recap_cli.audio.decode import AudioSettings
from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import ModelError, OptionError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.folder import check_asked, first_line, load_tokenizer, read_config, read_generation
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.published import load_music_encoder, set_music_sizes
from recap_cli.model.weight_files import read_folder_weights
from recap_cli.processor import RecapProcessor, read_settings
from recap_cli.progress import Progress
from recap_cli.runtime.hub import find_model
from recap_cli.training.interventions import CONSTANT, CONSTANT_STEPS
from recap_cli.training.pretrain import (
    LyricsPretraining,
    MusicPretraining,
    pretrain_bart,
    pretrain_music_encoder,
    tiny_bart,
)

# Settings that go into the config under their own names.
CONFIG_SETTINGS = (
    "alpha",
    "alignment_loss",
    "similarity",
    "pooling",
    "standardise_music",
    "align_layer",
    "pads_in_loss",
    "fusion_scale",
    "fusion_heads",
    "fusion_sharing",
)


@dataclass(frozen=True)
class Source:
    """A BART, or an earlier run, that weights come from.

    Attributes:
        folder: where its weights lie; None for the stand-in, which is pretrained on the data.
        tokenizer: its tokenizer; None for the stand-in.
        config: its config.
        name: of a hub model, the name with its commit, for records.
    """

    folder: Path | None
    tokenizer: PreTrainedTokenizerBase | None
    config: Any
    name: str = ""

    @property
    def record(self) -> dict[str, str]:
        """What a run's options say of a model of the hub: its commit."""
        return {"starts_from": self.name} if self.name else {}

    @property
    def is_run(self) -> bool:
        """Whether it is an earlier run, with a music encoder of its own."""
        return isinstance(self.config, RecapConfig)


def find_source(settings: Mapping[str, Any], init: Path | None, progress: Progress | None = None) -> Source:
    """Find the BART that is named, or the run of `--init`; nothing is loaded yet but its config and tokenizer.

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
    if (init is not None) != source.is_run:
        wanted, other = ("a run of recap train", "--bart") if init is not None else ("a BART", "--init")
        raise ModelError(f"{flag}: {folder} holds no {wanted.partition(' ')[2]}", f"name {wanted}, or use {other}")
    return source


def read_source(folder: Path, name: str = "") -> Source:
    """Read the config and the tokenizer of a model folder.

    Raises:
        ModelError: they are damaged, or the config asks for more than the weights hold.
    """
    config = read_config(folder)
    read_generation(folder, config)
    source = Source(folder, load_tokenizer(folder, config), config, name)
    check_asked(config, read_folder_weights(folder), str(folder))
    return source


def check_source(source: Source, settings: Mapping[str, Any], options: Any) -> None:
    """Find impossible settings before any long work and before a folder is taken.

    Raises:
        ModelError: the recipe needs a music encoder and none is named.
        OptionError: a setting does not fit the model.
    """
    recap_config(source.config, settings, options, None if options.no_music else RecapConfig().music_sizes)
    if options.init is not None and options.music_encoder is not None:
        raise OptionError("--init brings its own music encoder", "leave --music-encoder out")
    needed = settings["recipe"] != "tiny" and not options.no_music and not source.is_run
    if needed and options.music_encoder is None:
        raise ModelError(
            "a pretrained music encoder is needed",
            "name CNNSA weights with --music-encoder best_model.pth, or train without music: --no-music",
        )


def build_model(
    source: Source, options: Any, settings: Mapping[str, Any], data: PreparedData, progress: Progress
) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Join a BART and a music encoder, or take an earlier run; what is new is initialised from the seed.

    Raises:
        ModelError: weights cannot be loaded.
    """
    own = None if options.no_music or source.is_run else choose_music_encoder(options, data, progress)
    source = pretrained(source, data, options, progress)
    sizes = own.sizes if own else source.config.music_sizes if source.is_run and not options.no_music else None
    config = recap_config(source.config, settings, options, sizes)
    set_seed(options.seed)
    model = load_weights(source, config)
    if own is not None:
        model.model.encoder.music_encoder.load_state_dict(own.state_dict())
    limit = config.max_position_embeddings
    processor = RecapProcessor(
        source.tokenizer,
        data.audio,
        min(settings["max_lyrics_tokens"], limit),
        min(settings["max_caption_tokens"], limit),
    )
    return model, processor


def load_weights(source: Source, config: RecapConfig) -> RecapForCaptioning:
    """Give a model with a source's weights; what the source lacks is drawn.

    Raises:
        ModelError: the weights do not fit.
    """
    assert source.folder is not None
    weights = read_folder_weights(source.folder)
    try:
        # The library reads no file here: names, shapes and settings were checked, and no code comes along.
        model = RecapForCaptioning.from_pretrained(None, config=config, state_dict=weights, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"the weights in {source.folder} cannot be loaded: {first_line(error)}", "check --bart or --init"
        ) from error
    model.generation_config = read_generation(source.folder, source.config)
    return model


def check_hearing(source: Source, options: Any, data: PreparedData) -> None:
    """Check that the data were prepared as an earlier run, or the music encoder, heard its songs.

    Published weights know the constants of the signal path, but songs of any length; any encoder has its mel bands.

    Raises:
        ModelError: their audio settings differ.
    """
    given = data.audio.to_json()
    heard, who = AudioSettings().to_json(), "the music encoder"
    hint = "prepare the data with recap prepare's own settings"
    names = set(given) - {"seconds", "resampler"} if options.music_encoder is not None else {"mels"}
    if source.is_run and source.folder is not None:
        heard, names = read_settings(source.folder)["audio"].to_json(), set(given)
        who, hint = f"--init: {source.folder}", "prepare the data with the run's settings, see recap_processor.json"
    elif options.no_music:
        return
    other = sorted(name for name in names if given[name] != heard.get(name))
    if other:
        raise ModelError(
            f"{who} heard its songs with other audio settings than {data.folder}: {', '.join(other)}", hint
        )


def pretrained(source: Source, data: PreparedData, options: Any, progress: Progress) -> Source:
    """Put the stand-in BART, pretrained on the data, in the place of a source without a folder."""
    if source.folder is not None:
        return source
    how = LyricsPretraining(tiny_bart(RecapConfig.tiny(5)), seed=options.pretrain_seed)
    folder = pretrain_bart(data, how, progress, options.study)
    return read_source(folder)


def choose_music_encoder(options: Any, data: PreparedData, progress: Progress) -> MusicEncoder:
    """Load the music encoder that was named, or pretrain the tiny recipe's."""
    if options.music_encoder is not None:
        encoder, report = load_music_encoder(options.music_encoder)
        progress.say(f"Music encoder: {report.loaded} tensors from {options.music_encoder}")
        return encoder
    path = pretrain_music_encoder(data, MusicPretraining(RecapConfig.tiny(5).music_sizes), progress)
    return load_music_encoder(path)[0]


def recap_config(bart: Any, settings: Mapping[str, Any], options: Any, music: MusicEncoderSizes | None) -> RecapConfig:
    """Give a BART's config RECAP's fields; `music` None leaves the music out."""
    config = RecapConfig.from_bart(
        bart,
        **{
            "use_music": music is not None,
            "train_music_encoder": options.train_music_encoder,
            "allow_fused_alignment": options.allow_fused_alignment,
            "alignment_probe": options.probe,
            "constant_music": CONSTANT_STEPS if options.study.music == CONSTANT else 0,
            "fusion_layers": list(settings["fusion_layers"]),
            "alignment_temperature": settings["temperature"],
            **{name: settings[name] for name in CONFIG_SETTINGS},
        },
    )
    if music is not None:
        set_music_sizes(config, music)
    return config
