"""Score runs on a prepared split: every song once, against all its references."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.demo import lyrics_only_oracle, music_only_oracle
from recap_cli.corpus.lexicon import ATTRIBUTES, read_attributes
from recap_cli.corpus.manifest import write_json_lines
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.progress import Progress, SilentProgress
from recap_cli.scoring.text import PROTOCOLS, TextScores, score_songs
from recap_cli.scoring.uncertainty import Comparison, Interval, bootstrap_interval, paired_difference
from recap_cli.workflows.caption import Captioner
from recap_cli.workflows.decoding import DecodingOptions, generate_captions
from recap_cli.workflows.features import cache_features

METRICS = ("rouge1", "rouge2", "rougeL", "meteor")


@dataclass(frozen=True)
class EvaluateOptions:
    """What to score.

    Attributes:
        data: a prepared data folder.
        runs: model folders; an empty one scores the embedded model.
        split: the songs.
        protocol: which figures head the table, `f1` or `published`.
        limit: only so many songs.
        out: a folder for the captions, as JSON lines.
        decoding: how captions are written.
        device: `auto`, `cpu`, `cuda` or `mps`.
    """

    data: Path
    runs: tuple[Path, ...] = ()
    split: str = "test"
    protocol: str = "f1"
    limit: int | None = None
    out: Path | None = None
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise OptionError(f"--protocol {self.protocol} is not known", f"choose one of {', '.join(PROTOCOLS)}")
        if self.limit is not None and self.limit < 1:
            raise OptionError(f"--limit {self.limit} leaves no songs", "give a number of 1 or more")


@dataclass(frozen=True)
class SystemScores:
    """One system's captions and their scores.

    Attributes:
        name: the run.
        captions: one a song, in the split's order.
        scores: rows and corpus figures.
        intervals: 95 % bootstrap intervals over songs of the protocol's figures.
        attributes: on demo songs, the share of captions that name each attribute correctly.
    """

    name: str
    captions: list[str]
    scores: TextScores
    intervals: dict[str, Interval]
    attributes: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "run": self.name,
            "songs": len(self.captions),
            **{name: vars(interval) for name, interval in self.intervals.items()},
            "all": self.scores.means(),
            "distinct_captions": self.scores.distinct,
            **({"attribute_accuracy": self.attributes} if self.attributes else {}),
        }


@dataclass(frozen=True)
class EvaluateResult:
    """Scores of all systems on one split.

    Attributes:
        data: the data folder.
        split: its songs.
        protocol: the named protocol.
        systems: one entry a run.
        oracles: on demo songs, what a perfect captioner with only one input could name.
        comparisons: each later run against the first, ROUGE-L of each song paired.
        signature: how the figures were made.
        decoding: how the captions were written.
    """

    data: Path
    split: str
    protocol: str
    systems: list[SystemScores]
    oracles: dict[str, dict[str, float]]
    comparisons: dict[str, Comparison]
    signature: str
    decoding: DecodingOptions

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON document."""
        return {
            "data": str(self.data),
            "split": self.split,
            "protocol": self.protocol,
            "signature": self.signature,
            "decoding": self.decoding.to_json(),
            "systems": [system.to_json() for system in self.systems],
            "oracles": self.oracles,
            "comparisons": {
                name: {"difference": vars(found.difference), "p": found.p} for name, found in self.comparisons.items()
            },
        }


def evaluate(options: EvaluateOptions, progress: Progress | None = None) -> EvaluateResult:
    """Caption a split with each run and score the captions.

    Raises:
        DataError: the data cannot be used, or the split has no references.
        ModelError: a run is no model, or was trained on audio of other settings.
    """
    progress = progress or SilentProgress()
    data = PreparedData(options.data)
    songs = [entry for entry in data.split(options.split) if entry.song.captions][: options.limit]
    if not songs:
        raise DataError(f"split {options.split!r} of {options.data} has no captions to compare with", "")
    names = [str(run) for run in options.runs] or ["embedded demonstration model"]
    systems = [
        score_system(name, run, data, songs, options, progress)
        for name, run in zip(names, options.runs or (None,), strict=True)
    ]
    first = systems[0]
    return EvaluateResult(
        data=options.data,
        split=options.split,
        protocol=options.protocol,
        systems=systems,
        oracles=oracle_accuracy(songs) if data.is_demo else {},
        comparisons={
            system.name: paired_difference(
                headline_values(system, "rougeL", options), headline_values(first, "rougeL", options)
            )
            for system in systems[1:]
        },
        signature=first.scores.signature(options.protocol),
        decoding=options.decoding,
    )


def score_system(
    name: str,
    run: Path | None,
    data: PreparedData,
    songs: Sequence[PreparedSong],
    options: EvaluateOptions,
    progress: Progress,
) -> SystemScores:
    """Caption the songs with one run and score them."""
    captioner = Captioner.from_pretrained(run, device=options.device)
    captions = caption_split(captioner, data, songs, options.decoding, progress, options.device)
    references = [[caption.text for caption in entry.song.captions] for entry in songs]
    progress.start("Scoring", None)
    scores = score_songs([entry.song.id for entry in songs], captions, references)
    progress.finish()
    if options.out is not None:
        write_predictions(options.out, name, songs, captions, references)
    protocol = PROTOCOLS[options.protocol]
    system = SystemScores(name, captions, scores, {}, attribute_accuracy(songs, captions) if data.is_demo else {})
    for metric in METRICS:
        values = headline_values(system, metric, options)
        system.intervals[metric] = bootstrap_interval(values, weights=scores.weights(protocol.over))
    system.intervals["bleu"] = scores.bleu_interval()
    return system


def headline_values(system: SystemScores, metric: str, options: EvaluateOptions) -> Any:
    """Give a protocol's figure for every song [songs]."""
    protocol = PROTOCOLS[options.protocol]
    name = metric if metric == "meteor" else f"{metric}.{protocol.part}"
    return system.scores.values(name, protocol.over)


def caption_split(
    captioner: Captioner,
    data: PreparedData,
    songs: Sequence[PreparedSong],
    decoding: DecodingOptions,
    progress: Progress,
    device: str = "auto",
) -> list[str]:
    """Caption prepared songs, in order.

    Raises:
        ModelError: the model heard its songs with other audio settings.
    """
    model, processor = captioner.model, captioner.processor
    if processor.audio != data.audio and model.config.use_music:
        raise ModelError(
            f"{captioner.name} was trained on audio prepared in another way than {data.folder}",
            "prepare the data with the model's settings, see recap_processor.json",
        )
    music = None
    if model.config.use_music:
        music = cache_features(data, model.model.encoder.music_encoder, progress, str(model.device))
    dataset = SongDataset(songs, processor, music, per_caption=False)
    collate = SongCollator(processor, "states" if music is not None else "")
    captions = []
    progress.start(f"Captioning {len(songs)} songs", len(songs))
    for written in generate_captions(model, processor, collate.batches(dataset, decoding.batch_size), decoding):
        captions.append(written.captions[0])
        progress.advance()
    progress.finish()
    return captions


def attribute_accuracy(songs: Sequence[PreparedSong], captions: Sequence[str]) -> dict[str, float]:
    """Give the share of captions that name each attribute of their demo song correctly, and all of them."""
    read = [read_attributes(caption) for caption in captions]
    return share_right([entry.song.tags for entry in songs], read)


def oracle_accuracy(songs: Sequence[PreparedSong]) -> dict[str, dict[str, float]]:
    """Give what the best guess from only one input names correctly, computed from the corpus's probabilities."""
    truth = [entry.song.tags for entry in songs]
    return {
        "lyrics only, oracle": share_right(truth, [lyrics_only_oracle(entry.song) for entry in songs]),
        "music only, oracle": share_right(truth, [music_only_oracle(entry.song) for entry in songs]),
    }


def share_right(truth: Sequence[dict[str, str]], said: Sequence[Any]) -> dict[str, float]:
    """Give the share of songs whose attribute was said rightly, for each attribute and for all at once."""
    pairs = list(zip(truth, said, strict=True))
    shares = {name: sum(right[name] == one[name] for right, one in pairs) / len(pairs) for name in ATTRIBUTES}
    shares["all"] = sum(all(right[name] == one[name] for name in ATTRIBUTES) for right, one in pairs) / len(pairs)
    return shares


def write_predictions(
    folder: Path, name: str, songs: Sequence[PreparedSong], captions: Sequence[str], references: list[list[str]]
) -> None:
    """Write a system's captions beside their references as JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name.replace('/', '-').replace(' ', '-').strip('-.')}.jsonl"
    rows = zip(songs, captions, references, strict=True)
    write_json_lines(
        file, [{"song": entry.song.id, "prediction": text, "references": refs} for entry, text, refs in rows]
    )
