"""From a finished run to its record: every test song's figures, and what alignment did."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.demo.lexicon import ATTRIBUTES, read_attributes
from recap_cli.evaluation.captions import SongSet, caption_split, music_states
from recap_cli.evaluation.controls import swap_music
from recap_cli.evaluation.fusion_attention import attend, compare_maps
from recap_cli.evaluation.systems import attribute_accuracy
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.scoring.alignment import measure_alignment
from recap_cli.scoring.rouge import rouge
from recap_cli.scoring.text import TextScores, score_songs
from recap_cli.scoring.tokens import is_other_script, rouge_tokens
from recap_cli.training.interventions import CONSTANT, Music, Study, partners
from recap_cli.training.validation import Validation, summarise_losses

# What a caption of a demo song says of the sound, and what can only be heard.
SOUND = ("tempo", "mode", "timbre", "drums")
UNSEEN = "unseen"
ATTENDED_SONGS = 100
DECIMALS = 4


class Measurement:
    """Measures one run on the songs of a split.

    Args:
        captioner: the run's model.
        data: the prepared folder.
        songs: the songs, in order.
        decoding: how captions are written.
        study: what the run heard.
        progress: where to report.
    """

    def __init__(
        self,
        captioner: Captioner,
        data: PreparedData,
        songs: Sequence[PreparedSong],
        decoding: DecodingOptions,
        study: Study,
        progress: Any,
    ) -> None:
        self.captioner, self.data, self.songs = captioner, data, songs
        self.decoding, self.study, self.progress = decoding, study, progress
        states = music_states(captioner, data, progress)
        self.music: Music | Any = None if states is None else study.states(states, data)
        self.scored = SongSet.from_prepared(songs, data.is_demo)

    def score(self) -> tuple[TextScores, dict[str, list[float]], dict[str, float]]:
        """Caption the songs: give their scores, every song's figures, and the accuracy of each attribute."""
        captions = self.caption(self.songs)
        references = self.scored.references
        pairs = list(zip(references, captions, strict=True))
        scores = score_songs(self.scored.ids, captions, references)
        values = {
            "rouge1": scores.values("rouge1"),
            "rouge2": scores.values("rouge2"),
            "rougeL": scores.values("rougeL"),
            "meteor": scores.values("meteor"),
            "rougeL_recall": scores.values("rougeL.recall"),
            "rougeL_mean": scores.values("rougeL", "mean"),
            "rougeL_single": np.array([overlap_with(ours[0], said) for ours, said in pairs]),
        }
        attributes = attribute_accuracy(self.scored.tags, captions) if self.scored.tags else {}
        if attributes:
            values["attributes"] = share_named(self.scored.tags, captions)
        return scores, {name: np.round(found, DECIMALS).tolist() for name, found in values.items()}, attributes

    def measure(self) -> dict[str, float]:
        """Measure loss, alignment and attention, and on demo songs whose music the captions follow."""
        kind = "" if self.music is None else "states"
        validation = Validation(self.captioner.model, self.captioner.processor, self.songs, self.music, kind)
        losses = validation.measure_losses(list(validation.collate.batches(validation.dataset, validation.batch_size)))
        found = {
            "caption_loss": summarise_losses([losses])["caption_loss"],
            "caption_tokens": losses["tokens"] / len(self.songs),
        }
        hears = self.music is not None and self.study.music != CONSTANT
        if hears and len(self.songs) > 1:
            found |= self.measure_sides(np.concatenate(losses["music"]), np.concatenate(losses["lyrics"]))
            found |= self.measure_attention()
        if hears and self.data.is_demo and len(self.songs) > 1:
            found["music_following"] = self.follow_music()
        if self.data.is_demo and UNSEEN in self.data.splits:
            unseen = self.data.split(UNSEEN)[: len(self.songs)]
            captions = self.caption(unseen)
            found["unseen_attributes"] = float(share_named([entry.song.tags for entry in unseen], captions).mean())
        return {name: round(value, 5) for name, value in found.items()}

    def caption(self, songs: Sequence[PreparedSong]) -> list[str]:
        """Caption songs with the music that the run is to hear."""
        return caption_split(self.captioner, self.data, songs, self.decoding, self.progress, self.music)

    def measure_sides(self, music: np.ndarray, lyrics: np.ndarray) -> dict[str, float]:
        """Give cosines, spread and retrieval; those of a probe begin with `probe_`."""
        measures = measure_alignment(music, lyrics)
        figures = {
            "matched": measures.matched,
            "mismatched": measures.mismatched,
            "gap": measures.gap,
            "music_deviation": measures.music.deviation,
            "lyrics_deviation": measures.lyrics.deviation,
            "recall_at_10": (measures.music_to_lyrics.recall_at_10 + measures.lyrics_to_music.recall_at_10) / 2,
        }
        prefix = "probe_" if self.captioner.model.config.alignment_probe else ""
        return {f"{prefix}{name}": value for name, value in figures.items()}

    def measure_attention(self) -> dict[str, float]:
        """Give how even the fusion attention is, and how much it changes with another song's music."""
        songs = self.songs[:ATTENDED_SONGS]
        swapped = self.swapped(songs)
        pairs = zip(attend(self.captioner, songs, self.music), attend(self.captioner, swapped, self.music), strict=True)
        rows = [compare_maps(own, other) for own, other in pairs]
        means = {name: float(np.mean([row[name] for row in rows])) for name in ("entropy", "swapped")}
        return {f"attention_{name}": value for name, value in means.items()}

    def follow_music(self) -> float:
        """Give the share of sound words that follow another song's music, where the two songs differ."""
        captions = self.caption(self.swapped(self.songs))
        others = [self.songs[number] for number in partners(len(self.songs), seed=0)]
        followed = [
            said[name] == other.song.tags[name]
            for own, other, said in zip(self.songs, others, map(read_attributes, captions), strict=True)
            for name in SOUND
            if own.song.tags[name] != other.song.tags[name]
        ]
        return float(np.mean(followed)) if followed else 1.0

    def swapped(self, songs: Sequence[PreparedSong]) -> list[PreparedSong]:
        """Give songs the music of others."""
        others = [songs[number] for number in partners(len(songs), seed=0)]
        return [swap_music(entry, other) for entry, other in zip(songs, others, strict=True)]


def share_named(tags: Sequence[dict[str, str]], captions: Sequence[str]) -> np.ndarray:
    """Give for each demo song the share of its attributes that the caption names rightly [songs]."""
    pairs = zip(tags, map(read_attributes, captions), strict=True)
    return np.array([[one[name] == right[name] for name in ATTRIBUTES] for right, one in pairs]).mean(axis=1)


def overlap_with(reference: str, caption: str) -> float:
    """Give ROUGE-L F1 of a caption against one reference."""
    by_characters = is_other_script([reference])
    return rouge(rouge_tokens(reference, by_characters), rouge_tokens(caption, by_characters))[2].f1
