"""`Captioner`: one model that turns a song's audio and lyrics into a caption, for programs and for the command."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recap_cli.audio.decode import SILENT
from recap_cli.audio.song_mel import ENVELOPE_STEP, WHOLE
from recap_cli.captioning.caption_input import CaptionInput, DecodedAudio, decode_audio, decode_windows
from recap_cli.captioning.explain import Explanation, explain_caption
from recap_cli.captioning.load_model import load_model
from recap_cli.captioning.song_caption import FactsOfSong, SongCaption, find_facts, hears_tags
from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import AudioError, ModelError
from recap_cli.facts.music import UNLIKE, find_unlike
from recap_cli.lyrics.reader import Lyrics, lyrics_of_words, read_lyrics
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.music_encoder import TIME_STRIDE
from recap_cli.processor import RecapProcessor, pad_mels, pad_states
from recap_cli.progress import Progress
from recap_cli.runtime.decoding import Decoded, DecodingOptions, effective_settings, fitting_threads, generate_captions
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.hub import DEFAULT_BART

NO_LYRICS = "no lyrics: the caption comes from the music alone (--instrumental says there are none)"
WINDOWS_AT_ONCE = 4  # of a whole song
SHORT_SONG = 15.0  # seconds that a model of whole songs should have at least


class Captioner:
    """Captions songs with one model.

    Args:
        model: put into eval mode.
        processor: the model's own.
        name: what the model is called in results.
    """

    def __init__(self, model: RecapForCaptioning, processor: RecapProcessor, name: str) -> None:
        self.model, self.processor, self.name = model.eval(), processor, name

    @cached_property
    def weights(self) -> str:
        """A fingerprint of the model's weights, as it stands in results."""
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
        """Returns a captioner with the model that `source` names.

        Args:
            source: a folder of `recap train`, `hf://owner/name[@revision]`, published weights (ALCAP's `model_N.pt`,
                BART-fusion's state dict), or `demo`, the model on made-up songs; None is the embedded model.
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
        any_sound: bool = False,
    ) -> SongCaption:
        """Returns the caption of one song.

        Args:
            audio: the audio file.
            lyrics: the words, a `Path` to a file of them, or what was read; None says that the song is an instrumental.
            excerpt: `start`, `middle`, seconds, or `whole`: the music of all windows of the song is fused.
            decoding: by default beam search with 4 beams.
            explain: also find out what the caption looked at.
            any_sound: also caption what is unlike the music that the model knows.

        Raises:
            AudioError: the audio cannot be decoded, or is unlike music.
            LyricsError: the lyrics cannot be read, or the words are the name of a file.
        """
        song = self.make_input(audio, lyrics, excerpt, any_sound)
        return self.generate([song], decoding or DecodingOptions(), explain=explain)[0]

    def make_input(
        self,
        audio: str | Path,
        lyrics: str | Path | Lyrics | None = None,
        excerpt: str | float = "start",
        any_sound: bool = False,
    ) -> CaptionInput:
        """Decodes a song's audio and reads its lyrics; the arguments and errors are those of `caption`."""
        began = time.monotonic()
        if isinstance(lyrics, Lyrics):
            read = lyrics
        else:
            read = read_lyrics(lyrics) if isinstance(lyrics, Path) else lyrics_of_words(lyrics or "")
        warnings = read.warnings if lyrics is None or read.text.strip() else (*read.warnings, NO_LYRICS)
        decoded = self.decode_audio(audio, excerpt)
        warnings = (*warnings, *self.check_music(str(audio), decoded, any_sound))
        seconds, source = time.monotonic() - began, read.source if read.text.strip() else "none"
        return CaptionInput(str(audio), read.text, decoded, warnings, os.path.normpath(audio), excerpt, seconds, source)

    def decode_audio(self, audio: str | Path, excerpt: str | float = "start") -> DecodedAudio:
        """Decodes an excerpt; of a whole song, the music is encoded, too.

        Raises:
            AudioError: the audio cannot be decoded.
            OptionError: the excerpt is none, or a place in a song that the model hears as a whole.
        """
        settings = self.processor.audio
        if excerpt != WHOLE or settings.takes_whole_songs:
            return self.encode_song(decode_audio(audio, settings, excerpt))
        if not self.model.config.use_music:
            return decode_audio(audio, settings, "start")
        return self.encode_windows(decode_windows(audio, settings))

    @torch.inference_mode()
    def encode_song(self, decoded: DecodedAudio) -> DecodedAudio:
        """Encodes the music of a song that the model hears as a whole; an excerpt stays as it is.

        So a song's states do not depend on others, and no batch holds mels of many minutes.
        """
        encoder = self.model.model.encoder.music_encoder
        if encoder is None or not self.processor.audio.takes_whole_songs:
            return decoded
        mel = np.asarray(decoded.mel, np.float32)
        states = encoder(torch.from_numpy(mel)[None].to(self.model.device))[0][0]
        return replace(decoded, mel=mel[:, :0], states=states.cpu().numpy())

    def check_music(self, audio: str, decoded: DecodedAudio, any_sound: bool = False) -> list[str]:
        """Refuses a sound that is unlike all music that a model which states facts knows.

        With `any_sound` it is let through, and a warning is returned.

        Raises:
            AudioError: it is.
        """
        if decoded.states is None or not hears_tags(self.model.config):
            return []
        if (kind := find_unlike(decoded.states)) is None:
            return []
        if any_sound:
            return [f"no music that the model knows: {UNLIKE[kind]}"]
        message = f"{audio} {'is' if kind == 'short' else 'seems to be'} {UNLIKE[kind]}"
        hint = "name 10 s or more of the song" if kind == "short" else "name a song"
        raise AudioError(message, f"{hint}, or have it captioned all the same: --any-sound")

    @torch.inference_mode()
    def encode_windows(self, windows: Iterator[tuple[DecodedAudio, float]]) -> DecodedAudio:
        """Encodes a song's windows, a few at a time, and joins their music states [windows x steps, width].

        The part of the last window that the one before holds gives it context, and then its states are dropped: no
        second of the song counts twice, and a short rest is never encoded alone.

        Args:
            windows: with each, how many seconds at its start the window before holds, too.
        """
        encoder, settings = self.model.model.encoder.music_encoder, self.processor.audio
        assert encoder is not None
        step = TIME_STRIDE * settings.hop / settings.sample_rate  # seconds
        no_mel = np.zeros((settings.mels, 0), np.float32)
        states: list[np.ndarray] = []
        envelopes: list[np.ndarray] = []
        seen: list[DecodedAudio] = []
        while several := list(islice(windows, WINDOWS_AT_ONCE)):
            batch = pad_mels([window.mel for window, _ in several], settings)
            encoded, mask = encoder(batch["mel"].to(self.model.device), batch["mel_mask"].to(self.model.device))
            for (window, repeated), rows, steps in zip(
                several, encoded.cpu().numpy(), mask.sum(dim=1).tolist(), strict=True
            ):
                known = round(repeated / step)
                # the first state stands for the whole window: a window that is mostly known has none of its own
                states.append(rows[1 + known : steps] if known else rows[:steps])
                if window.envelope is not None:
                    envelopes.append(window.envelope[round(repeated / ENVELOPE_STEP) :])
                seen.append(replace(window, mel=no_mel))  # a mel has a hundred times the numbers of its states
        last = seen[-1].excerpt
        excerpt = {"start": 0.0, "seconds": round(last["start"] + last["seconds"], 3), "windows": len(seen)}
        warnings = dict.fromkeys(text for window in seen for text in window.warnings if text != SILENT)
        if all(SILENT in window.warnings for window in seen):
            warnings[SILENT] = None
        envelope = np.concatenate(envelopes) if envelopes else None
        return DecodedAudio(no_mel, excerpt, tuple(warnings), np.concatenate(states), envelope)

    def generate(
        self, songs: Sequence[CaptionInput], decoding: DecodingOptions, *, explain: bool = False
    ) -> list[SongCaption]:
        """Captions songs in one batch; when drawing, one by one, so that no song depends on others."""
        if decoding.sample and len(songs) > 1:
            return [self.generate([song], decoding, explain=explain)[0] for song in songs]
        began = time.monotonic()
        batch = self.make_batch(songs)
        found = list(generate_captions(self.model, self.processor, [batch], decoding))
        seconds = (time.monotonic() - began) / len(songs)
        settings = effective_settings(decoding, self.model, self.processor)
        results = []
        for row, (song, decoded) in enumerate(zip(songs, found, strict=True)):
            tokens = self.processor.encode_lyrics(song.lyrics)[1]
            results.append(
                SongCaption(
                    audio=song.audio,
                    captions=decoded.captions,
                    scores=decoded.scores,
                    model=self.name,
                    excerpt=song.decoded.excerpt,
                    settings={**settings, "excerpt": song.excerpt},
                    lyrics_tokens=tokens,
                    warnings=self.collect_warnings(song, decoded),
                    seconds=song.seconds + seconds,
                    id=song.id,
                    weights=self.weights,
                    explanation=self.explain(song, decoded.captions[0], batch) if explain else None,
                    lyrics_from=song.lyrics_from,
                    title=song.title,
                    rests_on=self.find_facts(song, decoded.captions[0], batch, row),
                )
            )
        return results

    def find_facts(self, song: CaptionInput, caption: str, batch: dict[str, Tensor], row: int) -> FactsOfSong | None:
        """Returns what a caption states and rests on, by the song's states in a batch; None for most models."""
        if not self.model.config.states_facts:
            return None
        verses = None
        if "verse_states" in batch:
            verses = batch["verse_states"][row, : int(batch["verse_mask"][row].sum())].float().cpu().numpy()
        return find_facts(self.model.config, caption, song.lyrics, song.decoded.states, verses)

    def explain(self, song: CaptionInput, caption: str, batch: dict[str, Tensor] | None = None) -> Explanation:
        """Returns what a caption looked at; the song may be in a batch of its own already."""
        batch = batch if batch and len(batch["input_ids"]) == 1 else self.make_batch([song])
        return explain_caption(self.model, self.processor, batch, song.lyrics, caption, song.decoded)

    def make_batch(self, songs: Sequence[CaptionInput]) -> dict[str, Tensor]:
        """Returns the model's input for songs; where facts are read from the states of verses, with these."""
        batch = self.processor([song.lyrics for song in songs])
        if self.model.config.states_facts and self.model.config.verse_layers:
            batch |= self.read_verses(batch)
        if not self.model.config.use_music:
            return batch
        states = [song.decoded.states for song in songs if song.decoded.states is not None]
        if states:
            return batch | pad_states(states)
        return batch | pad_mels([song.decoded.mel for song in songs], self.processor.audio)

    @torch.inference_mode()
    def read_verses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the states of the verses of lyrics, so that they are read once: `verse_states`, `verse_mask`."""
        tokens, mask = (batch[name].to(self.model.device) for name in ("input_ids", "attention_mask"))
        with fitting_threads(self.model):
            states, state_mask = self.model.model.encoder.read_verses(tokens, mask)
        return {"verse_states": states, "verse_mask": state_mask}

    def collect_warnings(self, song: CaptionInput, found: Decoded) -> list[str]:
        """Returns what a reader of the caption should know."""
        warnings = [*song.decoded.warnings, *song.warnings]
        seconds, audio = song.decoded.excerpt["seconds"], self.processor.audio
        window = SHORT_SONG if audio.takes_whole_songs else audio.seconds
        if seconds < window / 2 and not any(text.startswith("very short") for text in warnings):
            known = f"{window:g} s that the model {'should' if audio.takes_whole_songs else 'can'} hear"
            warnings.append(f"short: the excerpt has less than half of the {known}")
        if cut := self.processor.cut_warning(song.lyrics):
            warnings.append(cut)
        if not all(found.captions):
            warnings.append("the model wrote an empty caption")
        if not self.model.config.use_music:
            warnings.append("the model does not use the music: it was trained without")
        return warnings

    def check_audio(self, data: PreparedData) -> None:
        """Refuses data that were prepared with other audio settings than the model's.

        Raises:
            ModelError: they were.
        """
        if self.model.config.use_music and self.processor.audio != data.audio:
            raise ModelError(
                f"{self.name} was trained on audio prepared in another way than {data.folder}",
                "prepare the data with the model's settings, see recap_processor.json",
            )
