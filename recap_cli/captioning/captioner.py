"""`Captioner`: one model that turns a song's audio and lyrics into a caption, for programs and for the command."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from recap_cli import __version__
from recap_cli.captioning.caption_input import WHOLE, HeardAudio, hear_audio, hear_windows
from recap_cli.captioning.explain import Explanation, explain_caption
from recap_cli.captioning.load_model import load_model
from recap_cli.captioning.whole_song import encode_windows
from recap_cli.lyrics.reader import Lyrics, lyrics_of_text, read_lyrics
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.processor import RecapProcessor, pad_mels, pad_states
from recap_cli.progress import Progress
from recap_cli.runtime.decoding import Decoded, DecodingOptions, effective_settings, generate_captions
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.hub import DEFAULT_BART


@dataclass(frozen=True)
class SongCaption:
    """What was written for one song, and how.

    Attributes:
        audio: the audio file.
        captions: the captions, best first.
        scores: mean log-probability a token of each; None where it was drawn.
        model: the model.
        excerpt: start and length in seconds of what was heard; a whole song also has its windows.
        settings: how the captions were written.
        lyrics_tokens: tokens of the lyrics.
        warnings: what a reader of the caption should know.
        seconds: time it took.
        error: for a song of many that failed, the reason; it has no captions then.
        id: for a song of many, its name in the folder or manifest.
        weights: a fingerprint of the model's weights.
        recap: version of this program.
        explanation: on request, what the caption looked at.
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
    id: str = ""
    weights: str = ""
    recap: str = __version__
    explanation: Explanation | None = None

    @property
    def caption(self) -> str:
        """The best caption."""
        return self.captions[0] if self.captions else ""

    def to_json(self) -> dict[str, Any]:
        """The result as plain values; time is left out, so that the same song gives the same line."""
        record: dict[str, Any] = {**({"id": self.id} if self.id else {}), "audio": self.audio, "caption": self.caption}
        record |= {name: value for name, value in asdict(self).items() if name not in (*record, "id", "seconds")}
        # what remains of the digits depends on the songs in the same batch
        record["scores"] = [None if score is None else round(score, 4) for score in self.scores]
        record["explanation"] = None if self.explanation is None else self.explanation.to_json()
        return {name: value for name, value in record.items() if name not in ("error", "explanation") or value}


@dataclass(frozen=True)
class HeardSong:
    """A song that is ready to be captioned.

    Attributes:
        audio: the audio file.
        lyrics: clean text, "" where there are none.
        heard: what was heard of it.
        warnings: about its lyrics.
        id: its name among many.
        place: the excerpt that was asked for.
        seconds: time it took to hear.
    """

    audio: str
    lyrics: str
    heard: HeardAudio
    warnings: tuple[str, ...] = ()
    id: str = ""
    place: str | float = "start"
    seconds: float = 0.0


class Captioner:
    """Captions songs with one model.

    Args:
        model: in eval mode.
        processor: the model's own.
        name: what the model is called in results.
    """

    def __init__(self, model: RecapForCaptioning, processor: RecapProcessor, name: str) -> None:
        self.model, self.processor, self.name = model.eval(), processor, name

    @cached_property
    def weights(self) -> str:
        """A short name for the model's weights, as it stands in results."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:12]

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        device: str = "auto",
        music_encoder: Path | None = None,
        bart: str = DEFAULT_BART,
        progress: Progress | None = None,
    ) -> "Captioner":
        """Load a captioner.

        Args:
            source: a folder of `recap train`, `hf://owner/name[@revision]`, or published weights (ALCAP's
                `model_N.pt`, BART-fusion's state dict); None is the embedded demonstration model.
            device: auto, cpu, cuda or mps.
            music_encoder: CNNSA weights for published weights that hold none.
            bart: the BART that published weights were trained from.
            progress: where to say that the hub or its local cache is used.

        Raises:
            ModelError: the model cannot be had or does not fit.
        """
        model, processor, name = load_model(source, music_encoder, bart, progress)
        model.to(choose_device(device))  # type: ignore[arg-type]  # transformers wraps torch's method and hides its types
        return cls(model, processor, name)

    def caption(
        self,
        audio: str | Path,
        lyrics: str | Path | Lyrics | None = None,
        *,
        excerpt: str | float = "start",
        decoding: DecodingOptions | None = None,
        explain: bool = False,
    ) -> SongCaption:
        """Caption one song.

        Args:
            audio: the audio file.
            lyrics: text, a `Path` to a lyrics file, or what was read; None says that the song is an instrumental.
            excerpt: `start`, `middle`, seconds, or `whole`: the music of all windows of the song is fused.
            decoding: how to write; beam search with 4 beams by default.
            explain: also give what the caption looked at.

        Raises:
            AudioError: the audio cannot be heard.
            LyricsError: the lyrics cannot be read.
        """
        song = self.hear(audio, lyrics, excerpt)
        return self.write([song], decoding or DecodingOptions(), explain=explain)[0]

    def hear(
        self, audio: str | Path, lyrics: str | Path | Lyrics | None = None, excerpt: str | float = "start"
    ) -> HeardSong:
        """Decode a song's audio and read its lyrics; the arguments and errors are those of `caption`."""
        began = time.monotonic()
        if isinstance(lyrics, Lyrics):
            read = lyrics
        else:
            read = read_lyrics(lyrics) if isinstance(lyrics, Path) else lyrics_of_text(lyrics or "")
        warnings = read.warnings if lyrics is None or read.text.strip() else (*read.warnings, NO_LYRICS)
        heard = self.hear_audio(audio, excerpt)
        return HeardSong(str(audio), read.text, heard, warnings, "", excerpt, time.monotonic() - began)

    def hear_audio(self, audio: str | Path, excerpt: str | float = "start") -> HeardAudio:
        """Decode a song's audio; of a whole song, encode it too.

        Raises:
            AudioError: the audio cannot be heard.
        """
        if excerpt != WHOLE:
            return hear_audio(audio, self.processor.audio, excerpt)
        if not self.model.config.use_music:
            return hear_audio(audio, self.processor.audio, "start")
        return encode_windows(self.model, self.processor, hear_windows(audio, self.processor.audio))

    def write(
        self, songs: Sequence[HeardSong], decoding: DecodingOptions, *, explain: bool = False
    ) -> list[SongCaption]:
        """Caption songs that were heard, in one batch; when drawing, one by one, so that no song depends on others."""
        if decoding.sample and len(songs) > 1:
            return [self.write([song], decoding, explain=explain)[0] for song in songs]
        began = time.monotonic()
        batch = self.make_batch(songs)
        written = list(generate_captions(self.model, self.processor, [batch], decoding))
        seconds = (time.monotonic() - began) / len(songs)
        results = []
        for row, (song, decoded) in enumerate(zip(songs, written, strict=True)):
            tokens = self.processor.encode_lyrics(song.lyrics)[1]
            found = None
            if explain:
                alone = batch if len(songs) == 1 else self.make_batch([songs[row]])
                found = explain_caption(self.model, self.processor, alone, song.lyrics, decoded.captions[0], song.heard)
            results.append(
                SongCaption(
                    audio=song.audio,
                    captions=decoded.captions,
                    scores=decoded.scores,
                    model=self.name,
                    excerpt=song.heard.excerpt,
                    settings={**effective_settings(decoding, self.model, self.processor), "excerpt": song.place},
                    lyrics_tokens=tokens,
                    warnings=self.collect_warnings(song, tokens, decoded),
                    seconds=song.seconds + seconds,
                    id=song.id,
                    weights=self.weights,
                    explanation=found,
                )
            )
        return results

    def make_batch(self, songs: Sequence[HeardSong]) -> dict[str, Any]:
        """Give the model's input for songs that were heard."""
        batch = self.processor([song.lyrics for song in songs])
        if not self.model.config.use_music:
            return batch
        states = [song.heard.states for song in songs if song.heard.states is not None]
        if states:
            return batch | pad_states(states)
        return batch | pad_mels([song.heard.mel for song in songs], self.processor.audio)

    def collect_warnings(self, song: HeardSong, tokens: int, written: Decoded) -> list[str]:
        """Say what a reader of the caption should know."""
        warnings = [*song.heard.warnings, *song.warnings]
        heard, window = song.heard.excerpt["seconds"], self.processor.audio.seconds
        if heard < window / 2 and not any(text.startswith("very short") for text in warnings):
            warnings.append(f"short: the excerpt has less than half of the {window:g} s that the model can hear")
        if tokens > self.processor.max_lyrics_tokens:
            warnings.append(f"lyrics of {tokens} tokens were cut at {self.processor.max_lyrics_tokens}")
        if not all(written.captions):
            warnings.append("the model wrote an empty caption")
        if not self.model.config.use_music:
            warnings.append("the model does not listen: it was trained without music")
        return warnings


NO_LYRICS = "no lyrics, so the caption comes from the music alone (--instrumental says there are none)"
