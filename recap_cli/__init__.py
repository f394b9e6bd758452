"""recap-cli: what a song is about, from its audio and its lyrics.

One song, with the model inside the package or one of your own:

    from pathlib import Path
    from recap_cli import Captioner

    captioner = Captioner.from_pretrained()                # or a run folder, or "hf://owner/name"
    captioner.caption("song.mp3", Path("lyrics.txt")).caption
    captioner.caption("song.mp3", "the words themselves").caption

Many songs; one that fails has its reason in `error` and stops no other:

    from recap_cli import CaptionOptions, caption_songs

    songs = CaptionOptions((Path("a.mp3"), Path("b.mp3")), out=Path("captions.jsonl"))
    for song in caption_songs(songs, captioner=captioner):
        print(song.audio, song.caption or song.error)

The five commands are functions, each with its options: `prepare(PrepareOptions(...))`, `train(TrainOptions(...))`,
`caption_songs(CaptionOptions(...))`, `evaluate(EvaluateOptions(...))`, `ablate(AblateOptions(...))`. What a user can
mend is a `RecapError` with a message and a hint.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recap_cli.ablation.ablate import ablate
    from recap_cli.ablation.options import AblateOptions
    from recap_cli.ablation.results import AblateResult
    from recap_cli.audio.decode import read_excerpt
    from recap_cli.audio.mel import log_mel
    from recap_cli.captioning.caption import caption_songs
    from recap_cli.captioning.captioner import Captioner
    from recap_cli.captioning.options import CaptionOptions
    from recap_cli.captioning.song_caption import SongCaption
    from recap_cli.cli.console import console_progress
    from recap_cli.errors import RecapError
    from recap_cli.evaluation.evaluate import EvaluateResult, evaluate
    from recap_cli.evaluation.options import EvaluateOptions
    from recap_cli.model.captioner import RecapForCaptioning
    from recap_cli.model.config import RecapConfig
    from recap_cli.preparation.options import PrepareOptions
    from recap_cli.preparation.prepare import prepare
    from recap_cli.preparation.results import PrepareResult
    from recap_cli.processor import RecapProcessor
    from recap_cli.progress import Progress
    from recap_cli.records import read_schema
    from recap_cli.runtime.hub import EMBEDDED_MODEL
    from recap_cli.runtime.options import DecodingOptions
    from recap_cli.training.options import Interventions, TrainOptions
    from recap_cli.training.train import TrainResult, train

__version__ = "0.1.0"

# Where each public name is made; it is imported when it is first used, so that `import recap_cli` loads no torch.
_HOMES = {
    "AblateOptions": "ablation.options",
    "AblateResult": "ablation.results",
    "CaptionOptions": "captioning.options",
    "Captioner": "captioning.captioner",
    "DecodingOptions": "runtime.options",
    "EMBEDDED_MODEL": "runtime.hub",
    "EvaluateOptions": "evaluation.options",
    "EvaluateResult": "evaluation.evaluate",
    "Interventions": "training.options",
    "PrepareOptions": "preparation.options",
    "PrepareResult": "preparation.results",
    "Progress": "progress",
    "RecapConfig": "model.config",
    "RecapError": "errors",
    "RecapForCaptioning": "model.captioner",
    "RecapProcessor": "processor",
    "SongCaption": "captioning.song_caption",
    "TrainOptions": "training.options",
    "TrainResult": "training.train",
    "ablate": "ablation.ablate",
    "caption_songs": "captioning.caption",
    "console_progress": "cli.console",
    "evaluate": "evaluation.evaluate",
    "log_mel": "audio.mel",
    "prepare": "preparation.prepare",
    "read_excerpt": "audio.decode",
    "read_schema": "records",
    "train": "training.train",
}

__all__ = [
    "EMBEDDED_MODEL",
    "AblateOptions",
    "AblateResult",
    "CaptionOptions",
    "Captioner",
    "DecodingOptions",
    "EvaluateOptions",
    "EvaluateResult",
    "Interventions",
    "PrepareOptions",
    "PrepareResult",
    "Progress",
    "RecapConfig",
    "RecapError",
    "RecapForCaptioning",
    "RecapProcessor",
    "SongCaption",
    "TrainOptions",
    "TrainResult",
    "__version__",
    "ablate",
    "caption_songs",
    "console_progress",
    "evaluate",
    "log_mel",
    "prepare",
    "read_excerpt",
    "read_schema",
    "train",
]


def __getattr__(name: str) -> object:
    """Returns a public name, imported now."""
    if name not in _HOMES:
        raise AttributeError(f"module 'recap_cli' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"recap_cli.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Returns the public names."""
    return __all__
