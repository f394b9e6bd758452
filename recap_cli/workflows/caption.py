"""A song's audio and lyrics become a caption; `Captioner` does it for programs, `caption_songs` for the command."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer

from recap_cli.audio import AudioSettings, Excerpt, log_mel, read_excerpt
from recap_cli.corpus.manifest import Song
from recap_cli.corpus.readers import MANIFEST_SUFFIXES, Rejected, lyrics_beside, read_corpus
from recap_cli.errors import AudioError, ModelError, OptionError, RecapError
from recap_cli.lyrics import clean_lyrics, read_lyrics
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.published import first_line, load_captioner, load_music_encoder
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Progress, SilentProgress
from recap_cli.workflows.decoding import DecodingOptions, generate_captions
from recap_cli.workflows.hub import model_folder
from recap_cli.workflows.training import choose_device

EMBEDDED_MODEL = Path(__file__).parents[1] / "data" / "demo_model"
WEIGHTS_SUFFIXES = (".pt", ".pth", ".bin")


@dataclass(frozen=True)
class CaptionOptions:
    """What to caption and how.

    Attributes:
        audio: an audio file, a folder of songs, or a manifest.
        lyrics: a lyrics file; None looks beside the audio.
        lyrics_text: lyrics as text, in place of a file.
        instrumental: the song has no lyrics; none are looked for.
        model: a run folder, a hub id, or published weights (.pt); None is the embedded demonstration model.
        music_encoder: CNNSA weights, for published weights that hold none.
        bart: folder or hub id of the BART that published weights were trained from.
        excerpt: `start`, `middle` or seconds.
        decoding: how captions are written.
        device: `auto`, `cpu`, `cuda` or `mps`.
    """

    audio: Path
    lyrics: Path | None = None
    lyrics_text: str | None = None
    instrumental: bool = False
    model: str | None = None
    music_encoder: Path | None = None
    bart: str = "facebook/bart-base"
    excerpt: str = "start"
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    device: str = "auto"

    @property
    def is_batch(self) -> bool:
        """Whether `audio` stands for many songs."""
        return self.audio.is_dir() or self.audio.suffix.lower() in MANIFEST_SUFFIXES

    def __post_init__(self) -> None:
        if self.is_batch and (self.lyrics is not None or self.lyrics_text is not None):
            raise OptionError(
                f"{self.audio} stands for many songs, so one LYRICS does not fit",
                "put song.txt or song.lrc beside each song, or name lyrics in the manifest",
            )


@dataclass(frozen=True)
class SongCaption:
    """What was written for one song, and how.

    Attributes:
        audio: the audio file.
        captions: the captions, best first.
        scores: mean log-probability a token of each; None where it was drawn.
        model: the model.
        excerpt: start and length in seconds of what was heard.
        settings: how the captions were written.
        lyrics_tokens: tokens of the lyrics.
        warnings: what a reader of the caption should know.
        seconds: time it took.
        error: for a song of many that failed, the reason; it has no captions then.
    """

    audio: str
    captions: list[str]
    scores: list[float | None]
    model: str
    excerpt: dict[str, float]
    settings: dict[str, Any]
    lyrics_tokens: int = 0
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""

    @property
    def caption(self) -> str:
        """The best caption."""
        return self.captions[0] if self.captions else ""

    def to_json(self) -> dict[str, Any]:
        """The result as plain values; time is left out, so that the same song gives the same line."""
        record = asdict(self)
        del record["seconds"]
        return {name: value for name, value in record.items() if name != "error" or value}


class Captioner:
    """Captions songs with one model.

    Args:
        model: in eval mode.
        processor: the model's own.
        name: what the model is called in results.
    """

    def __init__(self, model: RecapForCaptioning, processor: RecapProcessor, name: str) -> None:
        self.model, self.processor, self.name = model.eval(), processor, name

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        device: str = "auto",
        music_encoder: Path | None = None,
        bart: str = "facebook/bart-base",
    ) -> "Captioner":
        """Load a captioner.

        Args:
            source: a folder of `recap train`, a hub id, or published weights (ALCAP's `model_N.pt`, BART-fusion's
                state dict); None is the embedded demonstration model.
            device: auto, cpu, cuda or mps.
            music_encoder: CNNSA weights for published weights that hold none.
            bart: the BART that published weights were trained from.

        Raises:
            ModelError: the model cannot be had or does not fit.
        """
        folder = EMBEDDED_MODEL if source is None else Path(source)
        name = "embedded demonstration model" if source is None else str(source)
        if folder.is_file() or folder.suffix in WEIGHTS_SUFFIXES:
            model, processor = load_published(folder, music_encoder, bart)
        else:
            model, processor = load_folder(EMBEDDED_MODEL if source is None else model_folder(str(source), "--model"))
        return cls(model.to(choose_device(device)), processor, name)

    def caption(
        self,
        audio: str | Path,
        lyrics: str | Path | None = None,
        *,
        excerpt: str | float = "start",
        decoding: DecodingOptions | None = None,
    ) -> SongCaption:
        """Caption one song.

        Args:
            audio: the audio file.
            lyrics: text, or a `Path` to a .txt or .lrc file; None says that the song is an instrumental.
            excerpt: `start`, `middle` or seconds.
            decoding: how to write; beam search with 4 beams by default.

        Raises:
            AudioError: the audio cannot be heard.
            LyricsError: the lyrics cannot be read.
        """
        began = time.monotonic()
        decoding = decoding or DecodingOptions()
        text = read_lyrics(lyrics) if isinstance(lyrics, Path) else clean_lyrics(lyrics or "")
        heard = read_excerpt(audio, self.processor.audio, excerpt)
        mels = [log_mel(heard.samples, self.processor.audio)] if self.model.config.use_music else None
        batch = self.processor([text], mels)
        written = next(iter(generate_captions(self.model, self.processor, [batch], decoding)))
        tokens = self.processor.encode_lyrics(text)[1]
        return SongCaption(
            audio=str(audio),
            captions=written.captions,
            scores=written.scores,
            model=self.name,
            excerpt={"start": round(heard.start, 3), "seconds": round(heard.seconds, 3)},
            settings=decoding.to_json(),
            lyrics_tokens=tokens,
            warnings=self.collect_warnings(heard, None if lyrics is None else text, tokens, written.captions),
            seconds=time.monotonic() - began,
        )

    def collect_warnings(self, heard: Excerpt, text: str | None, tokens: int, captions: list[str]) -> list[str]:
        """Say what a reader of the caption should know."""
        warnings = list(heard.warnings)
        if text is not None and not text.strip():
            warnings.append("no lyrics, so the caption comes from the music alone (--instrumental says there are none)")
        if tokens > self.processor.max_lyrics_tokens:
            warnings.append(f"lyrics of {tokens} tokens were cut at {self.processor.max_lyrics_tokens}")
        if not all(captions):
            warnings.append("the model wrote an empty caption")
        if not self.model.config.use_music:
            warnings.append("the model does not listen: it was trained without music")
        return warnings


def caption_songs(options: CaptionOptions, progress: Progress | None = None) -> Iterator[SongCaption]:
    """Caption a song, or all songs of a folder or manifest; of many, a failed one is answered with its reason.

    Raises:
        RecapError: the one song cannot be captioned, or the model or the corpus cannot be had.
    """
    progress = progress or SilentProgress()
    if not options.audio.exists():
        raise AudioError(f"no audio at {options.audio}", "check the path")
    songs = list(read_corpus(options.audio)) if options.is_batch else []
    lyrics = None if options.is_batch else find_lyrics(options)
    if options.model is None:
        progress.say(
            "No --model: captioning with the embedded model, a demonstration on made-up songs. "
            "It does not understand real ones."
        )
    captioner = Captioner.from_pretrained(
        options.model, device=options.device, music_encoder=options.music_encoder, bart=options.bart
    )
    if not options.is_batch:
        yield captioner.caption(options.audio, lyrics, excerpt=options.excerpt, decoding=options.decoding)
        return
    progress.start("Captioning songs", len(songs))
    for entry in songs:
        yield caption_one_of_many(captioner, entry, options)
        progress.advance()
    progress.finish()


def find_lyrics(options: CaptionOptions) -> str | None:
    """Find the lyrics of the one song: text, a file, or what lies beside the audio; None for an instrumental."""
    if options.instrumental:
        return None
    if options.lyrics_text is not None:
        return clean_lyrics(options.lyrics_text)
    if options.lyrics is not None:
        return read_lyrics(options.lyrics)
    return lyrics_beside(options.audio) or ""


def caption_one_of_many(captioner: Captioner, entry: Song | Rejected, options: CaptionOptions) -> SongCaption:
    """Caption one song of many; a failure becomes part of the result."""
    file = entry.audio if isinstance(entry, Song) else entry.file
    try:
        if isinstance(entry, Rejected):
            raise RecapError(entry.reason)
        lyrics = None if options.instrumental else entry.lyrics
        return captioner.caption(file, lyrics, excerpt=options.excerpt, decoding=options.decoding)
    except RecapError as error:
        return SongCaption(file, [], [], captioner.name, {}, options.decoding.to_json(), error=error.message)


def load_folder(folder: Path) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Load a model folder with its processor.

    Raises:
        ModelError: the folder holds no RECAP model, or a damaged one.
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
        model, report = RecapForCaptioning.from_pretrained(folder, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the model in {folder} cannot be loaded: {first_line(error)}", "copy the folder again"
        ) from error
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise ModelError(f"the model in {folder} lacks {len(lacking)} tensors, such as {lacking[0]}", "copy it again")
    return model, RecapProcessor.from_pretrained(folder)


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
    return model, RecapProcessor(tokenizer, AudioSettings(), limit, limit)
