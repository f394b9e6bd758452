"""What a run needs, checked before the first minute of work: captions, songs to judge by, tags, places to write to."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from recap_cli.corpus.dataset import PreparedData, PreparedSong, enough_votes
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.training.arguments import check_shares
from recap_cli.training.initial_model import Source, check_hearing, check_source
from recap_cli.training.options import TrainOptions
from recap_cli.training.pretrain import tag_values


def check_needs(source: Source, settings: Mapping[str, Any], options: TrainOptions, data: PreparedData) -> None:
    """Refuses what would stop a run after its work has begun; nothing is loaded, and nothing written.

    Raises:
        DataError: the data lack captions, validation songs or tags, or their folder cannot take a cache.
        ModelError: weights are needed that are not named or not there, or that heard other audio.
        OptionError: a setting does not fit the model or the processes.
    """
    check_source(source, settings, options)
    check_hearing(source, options, data)
    check_shares(settings["batch_size"], options.accumulate)
    if options.micro_batch_tokens and settings["alignment_loss"].startswith("infonce"):
        check_micro_batches()
    check_captions(data, options)
    validation_songs(data, settings, options)
    if options.music_encoder is not None and not options.no_music and not options.music_encoder.is_file():
        raise ModelError(f"no weights file {options.music_encoder}", "check the path")
    stand_in = not options.no_music and not source.is_run and options.music_encoder is None
    if stand_in:
        tag_values(data.split("train"), data.info["music_tags"])
    caches = ["pretrained"] if stand_in or source.folder is None else []
    caches += [] if options.no_music or options.train_music_encoder else ["features"]
    check_caches(data.folder, caches)


def check_micro_batches() -> None:
    """Refuses micro-batches of InfoNCE over several processes, which gather and must meet in every one.

    Raises:
        OptionError: there are several processes.
    """
    if PartialState().num_processes > 1:
        raise OptionError(
            "InfoNCE over several processes cannot be cut into micro-batches", "set --micro-batch-tokens 0"
        )


def check_captions(data: PreparedData, options: TrainOptions) -> None:
    """Refuses a train split that leaves nothing to learn.

    Raises:
        DataError: no caption is left.
    """
    songs = data.split("train")[: options.limit][: options.study.captioned_songs]
    captions = (caption for entry in songs for caption in entry.song.captions)
    if not any(enough_votes(caption, options.min_votes) for caption in captions):
        votes = f" with {options.min_votes} votes or more" if options.min_votes is not None else ""
        raise DataError(f"{data.folder} has no captions{votes} to learn from", "the train split needs captions")


def validation_songs(data: PreparedData, settings: Mapping[str, Any], options: TrainOptions) -> Sequence[PreparedSong]:
    """Returns the fixed songs that every epoch is judged by.

    Raises:
        DataError: no validation song has a caption.
    """
    captioned = [entry for entry in data.split("validation") if entry.song.captions]
    if not captioned:
        raise DataError(f"{data.folder} has no captions in split 'validation'", "a best epoch cannot be chosen")
    count = min(len(captioned), settings["validation_songs"], options.limit or len(captioned))
    chosen = np.random.default_rng(0).permutation(len(captioned))[:count]
    return [captioned[index] for index in sorted(chosen)]


def check_caches(folder: Path, names: Iterable[str]) -> None:
    """Refuses a data folder that cannot take what is kept in it, unless an earlier run has filled that.

    Raises:
        DataError: it can be neither found nor made there.
    """
    for name in names:
        place = folder / name
        there = place if place.is_dir() else folder
        filled = place.is_dir() and any(place.iterdir())
        if not filled and not os.access(there, os.W_OK | os.X_OK):
            raise DataError(
                f"cannot write into {place}: {there} is read-only", "see that it can be written, or work in a copy"
            )
