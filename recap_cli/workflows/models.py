"""Where a captioner's model comes from: the embedded one, a run folder, a hub id, or published weights."""

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from recap_cli.audio import AudioSettings
from recap_cli.errors import ModelError, OptionError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.music_encoder import STRIDES
from recap_cli.model.published import first_line, load_captioner, load_music_encoder
from recap_cli.processor import PROCESSOR_FILE, RecapProcessor
from recap_cli.workflows.hub import model_folder

EMBEDDED_MODEL = Path(__file__).parents[1] / "data" / "demo_model"
EMBEDDED_NAME = "embedded demonstration model"
WEIGHTS_FILE = "model.safetensors"
WEIGHTS_SUFFIXES = (".pt", ".pth", ".bin")
MEL_BANDS = math.prod(stride for stride, _ in STRIDES)


def load_model(
    source: str | Path | None, music_encoder: Path | None = None, bart: str = "facebook/bart-base"
) -> tuple[RecapForCaptioning, RecapProcessor, str]:
    """Load a model in eval mode, its processor, and the name it goes by.

    Args:
        source: a run folder, a hub id, or published weights; None is the embedded demonstration model.
        music_encoder: CNNSA weights, for published weights that hold none.
        bart: folder or hub id of the BART that published weights were trained from.

    Raises:
        ModelError: the model cannot be had or does not fit.
    """
    if source is None:
        return *load_folder(EMBEDDED_MODEL), EMBEDDED_NAME
    path = Path(source)
    if path.is_file() or path.suffix in WEIGHTS_SUFFIXES:
        return *load_published(path, music_encoder, bart), str(source)
    if music_encoder is not None:
        raise ModelError(
            f"--music-encoder {music_encoder} does not go with {source}, which holds a music encoder of its own",
            "name it with published weights such as model_N.pt, or leave it out",
        )
    return *load_folder(model_folder(str(source), "--model")), str(source)


def load_folder(folder: Path) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Load a model folder with its processor.

    Raises:
        ModelError: the folder holds no RECAP model, a damaged one, or one whose processor does not fit.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no model: it has no config.json", "name a run folder of recap train")
    try:
        config = AutoConfig.from_pretrained(folder)
        if not isinstance(config, RecapConfig):
            raise ModelError(
                f"{folder} holds a {config.model_type} model, not a RECAP model",
                "train one from it: recap train --bart FOLDER",
            )
        if (folder / WEIGHTS_FILE).is_file():
            model = map_weights(folder, config)
        else:  # in shards, or in an older format
            model, report = RecapForCaptioning.from_pretrained(folder, output_loading_info=True)
            refuse_missing(folder, sorted(report["missing_keys"]))
    except OptionError as error:  # the config's own checks speak of flags
        raise ModelError(f"{folder / 'config.json'} does not fit: {error.message}", "copy the folder again") from error
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"the model in {folder} cannot be loaded: {first_line(error)}", "copy the folder again"
        ) from error
    processor = RecapProcessor.from_pretrained(folder)
    check_fit(folder, model, processor)
    return model.eval(), processor


def map_weights(folder: Path, config: RecapConfig) -> RecapForCaptioning:
    """Build a model around its memory-mapped weights: nothing is drawn, nothing is copied.

    Raises:
        ModelError: tensors are missing or of another shape.
    """
    tensors = load_file(folder / WEIGHTS_FILE)
    with torch.device("meta"):
        model = RecapForCaptioning(config)
    own = model.state_dict()
    misshaped = [key for key in tensors if key in own and own[key].shape != tensors[key].shape]
    if misshaped:
        found, wanted = list(tensors[misshaped[0]].shape), list(own[misshaped[0]].shape)
        raise ModelError(
            f"the model in {folder} does not fit its config: {misshaped[0]} is {found}, wanted {wanted}",
            "copy the folder again",
        )
    absent = set(model.load_state_dict(tensors, strict=False, assign=True).missing_keys)
    model.tie_weights()
    # what is tied is saved once; what is still without data after tying was saved nowhere
    refuse_missing(folder, sorted(key for key, value in model.state_dict().items() if key in absent and value.is_meta))
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.float().requires_grad_(False)


def refuse_missing(folder: Path, keys: list[str]) -> None:
    """Say which tensors a folder lacks.

    Raises:
        ModelError: there are such.
    """
    if keys:
        parts = "its music encoder" if all("music_encoder" in key for key in keys) else f"{len(keys)} tensors"
        raise ModelError(f"the model in {folder} lacks {parts}, such as {keys[0]}", "copy it again")


def check_fit(folder: Path, model: RecapForCaptioning, processor: RecapProcessor) -> None:
    """Compare a processor with the model beside it.

    Raises:
        ModelError: the tokenizer, the lengths or the audio settings belong to another model.
    """
    config, file = model.config, folder / PROCESSOR_FILE
    if len(processor.tokenizer) > config.vocab_size:
        message = f"its tokenizer knows {len(processor.tokenizer)} tokens, the model {config.vocab_size}"
    elif processor.tokenizer.pad_token_id != config.pad_token_id:
        message = f"its tokenizer pads with {processor.tokenizer.pad_token_id}, the model with {config.pad_token_id}"
    elif max(processor.max_lyrics_tokens, processor.max_caption_tokens) > config.max_position_embeddings:
        longest = max(processor.max_lyrics_tokens, processor.max_caption_tokens)
        message = f"{file.name} allows {longest} tokens, the model {config.max_position_embeddings}"
    elif config.use_music and processor.audio.mels != MEL_BANDS:
        message = f"{file.name} makes {processor.audio.mels} mel bands, the music encoder hears {MEL_BANDS}"
    else:
        return
    raise ModelError(f"the processor in {folder} does not fit the model: {message}", "copy the model folder again")


def load_published(weights: Path, music_encoder: Path | None, bart: str) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Load ALCAP's or BART-fusion's published weights with the BART they came from.

    Raises:
        ModelError: something is missing or does not fit.
    """
    if not weights.is_file():
        raise ModelError(f"no weights file {weights}", "check the path")
    encoder = load_music_encoder(music_encoder)[0] if music_encoder else None
    folder = model_folder(bart, "--bart")
    try:
        tokenizer, config = AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"--bart: {bart} cannot be loaded: {first_line(error)}", "name a whole BART folder") from error
    model, _ = load_captioner(weights, RecapConfig.from_bart(config), encoder)
    limit = min(512, model.config.max_position_embeddings)
    processor = RecapProcessor(tokenizer, AudioSettings(), limit, limit)
    check_fit(folder, model, processor)
    return model, processor
