"""What can be refused from the command line and a look at the disk, before torch and transformers are imported.

The work checks the same and more once they are there; here a typing mistake is answered at once.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recap_cli.ablation.options import AblateOptions
from recap_cli.errors import DataError, ModelError, OptionError, RecapError
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.files import kind_of
from recap_cli.outputs import (
    ABLATION,
    DATA,
    check_evaluation,
    check_output_folder,
    check_report,
    is_ablation,
    is_data_folder,
)
from recap_cli.preparation.options import PrepareOptions
from recap_cli.records import corpus_of, read_model_record
from recap_cli.runtime.hub import DEFAULT_BART, MINILM, WANTED, is_demo, is_folder, is_hub_id, is_weights, read_hub_id
from recap_cli.runtime.run_folder import A_RUN, is_run
from recap_cli.settings import UNNAMED
from recap_cli.training.options import NAMED_ENCODERS, TrainOptions

PRETRAIN = "pretrain"  # of --bart


def check_prepare(options: PrepareOptions) -> None:
    """Refuses a corpus, or a file or folder that belongs to it, that is not there or not what it is named as."""
    check_output_folder(options.out, DATA, options.inputs, is_ours=is_data_folder)
    if options.source is None:
        return
    from recap_cli.layouts.readers import check_layout

    check_layout(options.corpus_source(options.source), options.layout)
    check_file(options.split_file, "--split-file")
    if options.audio is not None and not is_folder(options.audio):
        raise DataError(f"--audio: no folder {options.audio}", "check the path")


def check_train(options: TrainOptions) -> None:
    """Refuses a training that cannot begin."""
    check_device(options.device)
    data = check_data(options.data)
    check_start(options, data)
    if options.out is not None:
        check_output_folder(options.out, A_RUN, inputs_of(options.data), is_ours=is_run)
        if options.resume and not options.out.is_dir():
            raise OptionError(f"--resume: there is no run in {options.out}", "leave --resume out to begin one")


def check_start(options: TrainOptions, data: Mapping[str, Any] | None) -> None:
    """Refuses weights to start from that are not there, and a recipe whose music encoder is not named."""
    encoder = "cnnsa" if data is None else data.get("audio", {}).get("music_encoder", "cnnsa")
    options.check_encoder("demo" if data is None else corpus_of(data), encoder)
    if options.music_encoder not in NAMED_ENCODERS:
        check_file(options.music_encoder, "--music-encoder", ModelError)
    if options.init is not None:
        check_model(options.init, "--init", ("recap",))
    elif options.bart not in (None, PRETRAIN, MINILM):
        check_model(options.bart, "--bart", ("bart",))


def check_captioner(model: str | None, music_encoder: Path | None, bart: str, device: str) -> None:
    """Refuses a model that is not there, or that does not go with the flags beside it."""
    check_device(device)
    check_file(music_encoder, "--music-encoder", ModelError)
    if model is None:
        return
    if is_weights(model):
        check_file(Path(model), "--model", ModelError)
        check_model(bart, "--bart", ("bart",))
        return
    if music_encoder is not None:
        raise OptionError(
            f"--music-encoder {music_encoder} does not go with {model}, which holds a music encoder of its own",
            "name it with published weights such as model_N.pt, or leave it out",
        )
    check_model(model, "--model", ("recap",))


def check_evaluate(options: EvaluateOptions, out: Path) -> None:
    """Refuses runs, files and data that are not there, and a folder in which something would be lost."""
    has_models = bool(options.runs) or not options.predictions
    check_evaluation(out, options.names, options.files, options.inputs, has_models=has_models)
    if options.report is not None:
        check_report(options.report, [*options.files, *options.inputs])
    check_device(options.device)
    for path in options.files:
        check_file(path, "--predictions")
    if options.references is not None and not is_folder(options.references):
        check_file(options.references, "--references")
    if options.lyrics is not None and not is_folder(options.lyrics):
        raise DataError(f"--lyrics: no folder {options.lyrics}", "name the folder that holds MulJam's train and test")
    check_file(options.paper, "--paper")
    check_file(options.tags, "--tags")
    if options.embedding is not None:
        from recap_cli.runtime.sentence_encoder import check_source

        check_source(options.embedding)
    for run in options.runs:
        check_model(run, "RUN", ("recap",))
    if options.data is not None and (has_models or options.data is not UNNAMED):
        check_split(options.data, options.split)


def check_ablate(options: AblateOptions) -> None:
    """Refuses a sweep that cannot begin."""
    inputs = [path for path in options.inputs if path is not UNNAMED]
    check_output_folder(options.out, ABLATION, inputs=inputs, is_ours=is_ablation)
    check_device(options.device)
    data = check_split(options.data, options.split)
    check_start(TrainOptions(options.data, **options.train), data)


def check_device(device: str) -> None:
    """Refuses a device that this system never has."""
    if (device == "mps" and sys.platform != "darwin") or (device == "cuda" and sys.platform == "darwin"):
        raise OptionError(f"--device {device} is not available here", "choose auto or cpu")


def check_data(folder: Path) -> dict[str, Any] | None:
    """Returns the `dataset.json` of a data folder that is named, None where none is named.

    Raises:
        DataError: it is missing, unfinished, damaged, or something else.
    """
    from recap_cli.corpus.data_folder import read_dataset_file

    return None if folder is UNNAMED else read_dataset_file(folder)


def check_split(folder: Path, split: str) -> dict[str, Any] | None:
    """Refuses a split that a data folder lacks; returns as `check_data`."""
    data = check_data(folder)
    if data is not None and not data["splits"].get(split):
        known = ", ".join(name for name, count in data["splits"].items() if count)
        raise DataError(f"{folder} has no songs in split {split!r}", f"its splits are {known}")
    return data


def check_model(source: str | Path, flag: str, kinds: tuple[str, ...]) -> None:
    """Refuses a folder that holds no model of these kinds, and a malformed name of the hub."""
    if is_demo(source) and "recap" in kinds:
        return
    if is_hub_id(source):
        read_hub_id(str(source), flag)
    elif is_folder(Path(source)):
        try:
            kind = read_model_record(Path(source))["model_type"]
        except ModelError as error:
            raise ModelError(f"{flag}: {error.message}", error.hint) from error
        if kind not in kinds and flag == "--bart":
            raise ModelError(f"--bart: {source} holds no BART", "name a BART, or use --init")
        if kind not in kinds:
            hint = "use --bart" if flag == "--init" else f"train one from it: recap train --bart {source}"
            raise ModelError(f"{flag}: {source} holds a BART, not a run of recap train", hint)
    elif str(source) != DEFAULT_BART or flag != "--bart":
        raise ModelError(f"{flag}: no folder {source}", WANTED)


def check_file(path: Path | None, flag: str, error: type[RecapError] = DataError) -> None:
    """Refuses a file that is missing, or that is a folder, a device or the like."""
    if path is None:
        return
    try:
        kind = kind_of(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"{flag}: no file {path}", "check the path") from None
    except (OSError, ValueError) as found:
        reason = getattr(found, "strerror", None) or found
        raise error(f"{flag} {path} cannot be read: {reason}", "check the path") from found
    if kind != "file":
        raise error(f"{flag} {path} is a {kind}, not a file", "name a file")


def inputs_of(data: Path) -> list[Path]:
    """Returns the data folder as an input, where one is named."""
    return [] if data is UNNAMED else [data]
