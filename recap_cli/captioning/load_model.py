"""Where a captioner's model comes from: the package, a run folder, a hub id, or published weights."""

import math
from pathlib import Path

import torch
from torch import Tensor
from transformers.initialization import no_init_weights

from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.folders import is_file
from recap_cli.errors import ModelError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.folder import first_line, load_tokenizer, read_config, read_generation
from recap_cli.model.music_encoder import STRIDES
from recap_cli.model.published import load_captioner, load_music_encoder
from recap_cli.model.weight_files import read_folder_weights
from recap_cli.processor import PROCESSOR_FILE, RecapProcessor
from recap_cli.progress import Progress
from recap_cli.runtime.hub import DEFAULT_BART, find_model, is_weights

MEL_BANDS = math.prod(stride for stride, _ in STRIDES)


def load_model(
    source: str | Path | None,
    music_encoder: Path | None = None,
    bart: str = DEFAULT_BART,
    progress: Progress | None = None,
) -> tuple[RecapForCaptioning, RecapProcessor, str]:
    """Returns a model in eval mode, its processor, and the name it goes by; see `Captioner.from_pretrained`.

    Raises:
        ModelError: the model cannot be had or does not fit.
    """
    if source is not None and is_weights(source):
        return *load_published(Path(source), music_encoder, bart, progress), str(source)
    if music_encoder is not None:
        raise ModelError(
            f"--music-encoder {music_encoder} does not go with {source}, which holds a music encoder of its own",
            "name it with published weights such as model_N.pt, or leave it out",
        )
    found = find_model(source, "--model", progress)
    return *load_folder(found.path), found.name


def load_folder(folder: Path) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Returns the model and the processor of a folder; all is checked before anything is built.

    Raises:
        ModelError: the folder holds no RECAP model, a damaged one, or one whose processor does not fit.
    """
    config = read_config(folder)
    if not isinstance(config, RecapConfig):
        raise ModelError(
            f"{folder} holds a {config.model_type} model, not a RECAP model",
            "train one from it: recap train --bart FOLDER",
        )
    processor = RecapProcessor.from_pretrained(folder, config)
    check_fit(folder, config, processor)
    generation = read_generation(folder, config)
    weights = read_folder_weights(folder)
    try:
        model = map_weights(folder, config, weights)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"the model in {folder} cannot be loaded: {first_line(error)}", "copy the folder again"
        ) from error
    model.generation_config = generation
    return model.eval(), processor


def map_weights(folder: Path, config: RecapConfig, tensors: dict[str, Tensor]) -> RecapForCaptioning:
    """Returns a model around its memory-mapped weights: nothing is drawn, nothing is copied.

    Raises:
        ModelError: tensors are missing, of another shape, or hold what is no number.
    """
    with torch.device("meta"), no_init_weights():
        model = RecapForCaptioning(config)
    own = model.state_dict()
    misshaped = [key for key in tensors if key in own and own[key].shape != tensors[key].shape]
    if misshaped:
        found, wanted = list(tensors[misshaped[0]].shape), list(own[misshaped[0]].shape)
        raise ModelError(
            f"the model in {folder} does not fit its config: {misshaped[0]} is {found}, wanted {wanted}",
            "copy the folder again",
        )
    check_numbers(folder, tensors, own)
    absent = set(model.load_state_dict(tensors, strict=False, assign=True).missing_keys)
    model.tie_weights()
    # what is tied is saved once; what is still without data after tying was saved nowhere
    if lacking := sorted(key for key, value in model.state_dict().items() if key in absent and value.is_meta):
        parts = "its music encoder" if all("music_encoder" in key for key in lacking) else f"{len(lacking)} tensors"
        raise ModelError(f"the model in {folder} lacks {parts}, such as {lacking[0]}", "copy it again")
    return model.float().requires_grad_(False)


def check_numbers(folder: Path, tensors: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Refuses weights of another type than the model's `own`, infinite or NaN: a training that failed wrote them.

    Raises:
        ModelError: there are such.
    """
    for name, value in tensors.items():
        if name in own and own[name].is_floating_point() != value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise ModelError(
                f"the model in {folder} does not fit its config: {name} is {kind}", "copy the folder again"
            )
        if not value.is_floating_point():
            continue
        # By numpy: torch would share out each small tensor to its threads, which takes longer than the work. A NaN is
        # the lowest and the highest of its numbers.
        numbers = (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        if not (math.isfinite(numbers.min()) and math.isfinite(numbers.max())):
            raise ModelError(f"the model in {folder} holds NaN or infinity, in {name}", "copy the folder again")


def check_fit(folder: Path, config: RecapConfig, processor: RecapProcessor) -> None:
    """Refuses a processor that does not fit the model beside it.

    Raises:
        ModelError: the tokenizer, the lengths or the audio settings belong to another model.
    """
    file = folder / PROCESSOR_FILE
    if len(processor.tokenizer) > config.vocab_size:
        message = f"its tokenizer knows {len(processor.tokenizer)} tokens, the model {config.vocab_size}"
    elif processor.tokenizer.pad_token_id != config.pad_token_id:
        message = f"its tokenizer pads with {processor.tokenizer.pad_token_id}, the model with {config.pad_token_id}"
    elif max(processor.max_lyrics_tokens, processor.max_caption_tokens) > config.max_position_embeddings:
        longest = max(processor.max_lyrics_tokens, processor.max_caption_tokens)
        message = f"{file.name} allows {longest} tokens, the model {config.max_position_embeddings}"
    elif bool(processor.max_verses) != bool(config.verse_layers):
        message = f"{file.name} reads {processor.max_verses} verses, {config.verse_layers} layers of the model do"
    elif config.use_music and processor.audio.music_encoder != config.music_encoder:
        message = f"{file.name} is for {processor.audio.music_encoder}, the model has {config.music_encoder}"
    elif config.use_music and config.music_encoder == "cnnsa" and processor.audio.mels != MEL_BANDS:
        message = f"{file.name} makes {processor.audio.mels} mel bands, the music encoder takes {MEL_BANDS}"
    else:
        return
    raise ModelError(f"the processor in {folder} does not fit the model: {message}", "copy the model folder again")


def load_published(
    weights: Path, music_encoder: Path | None, bart: str, progress: Progress | None = None
) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Returns the model of ALCAP's or BART-fusion's published weights, and the processor of the BART they came from.

    Raises:
        ModelError: something is missing or does not fit.
    """
    if not is_file(weights):
        raise ModelError(f"no weights file {weights}", "check the path")
    encoder = load_music_encoder(music_encoder)[0] if music_encoder else None
    folder = find_model(bart, "--bart", progress).path
    config = read_config(folder)
    tokenizer = load_tokenizer(folder, config)
    model, _ = load_captioner(weights, RecapConfig.from_bart(config), encoder)
    limit = min(512, model.config.max_position_embeddings)
    processor = RecapProcessor(tokenizer, AudioSettings(), limit, limit)
    check_fit(folder, model.config, processor)
    return model, processor
