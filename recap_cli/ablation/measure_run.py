"""From a finished run to its record: every test song's figures, and what alignment did."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.demo.lexicon import ATTRIBUTES, read_attributes
from recap_cli.evaluation.alignment_report import attend, compare_maps
from recap_cli.evaluation.captions import caption_split, music_states
from recap_cli.evaluation.controls import swap_music
from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.systems import attribute_accuracy
from recap_cli.progress import Progress
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.scoring.alignment import measure_alignment
from recap_cli.scoring.rouge import is_other_script, rouge, rouge_tokens
from recap_cli.scoring.text import TextScores, score_songs
from recap_cli.training.interventions import Music, change_states, partners
from recap_cli.training.recipes import CONSTANT, Interventions
from recap_cli.training.validation import Validation, summarise_losses

# What a caption of a demo song says of the sound, and what can only be heard.
SOUND = ("tempo", "mode", "timbre", "drums")
UNSEEN = "unseen"
ATTENDED_SONGS = 100
DECIMALS = 4


@dataclass(frozen=True)
class Measurement:
    """Measures one run on the songs of a split, with the interventions that it was trained with."""

    captioner: Captioner
    data: PreparedData
    songs: Sequence[PreparedSong]
    decoding: DecodingOptions
    interventions: Interventions
    progress: Progress

    @cached_property
    def music(self) -> Music | None:
        """The music states by mel key as the run gets them; None where it takes no music."""
        states = music_states(self.captioner, self.data, self.progress)
        return None if states is None else change_states(states, self.data, self.interventions)

    def score(self) -> tuple[TextScores, dict[str, list[float]], dict[str, float]]:
        """Captions the songs; returns their scores, every song's figures, and the accuracy of each attribute."""
        captions = self.caption(self.songs)
        scored = SongSet.from_prepared(self.songs, self.data.is_demo)
        scores = score_songs(scored.ids, captions, scored.references)
        first = [overlap_with(ours[0], said) for ours, said in zip(scored.references, captions, strict=True)]
        values = {
            "rouge1": scores.values("rouge1"),
            "rouge2": scores.values("rouge2"),
            "rougeL": scores.values("rougeL"),
            "meteor": scores.values("meteor"),
            "rougeL_recall": scores.values("rougeL.recall"),
            "rougeL_mean": scores.values("rougeL", "mean"),
            "rougeL_single": np.array(first),
        }
        attributes = attribute_accuracy(scored.tags, captions) if scored.tags else {}
        if attributes:
            values["attributes"] = share_named(scored.tags, captions)
        return scores, {name: np.round(found, DECIMALS).tolist() for name, found in values.items()}, attributes

    def measure(self) -> dict[str, float]:
        """Measures loss, alignment and attention, and on demo songs whose music the captions follow."""
        kind = "" if self.music is None else "states"
        validation = Validation(self.captioner.model, self.captioner.processor, self.songs, self.music, kind)
        losses = validation.measure_losses(list(validation.collate.batches(validation.dataset, validation.batch_size)))
        found = {
            "caption_loss": summarise_losses([losses])["caption_loss"],
            "caption_tokens": losses["tokens"] / len(self.songs),
        }
        if self.music is not None and self.interventions.music != CONSTANT and len(self.songs) > 1:
            found |= self.measure_sides(np.concatenate(losses["music"]), np.concatenate(losses["lyrics"]))
            found |= self.measure_attention(self.music)
            if self.data.is_demo:
                found["music_following"] = self.follow_music()
        if self.data.is_demo and UNSEEN in self.data.splits:
            unseen = self.data.split(UNSEEN)[: len(self.songs)]
            captions = self.caption(unseen)
            found["unseen_attributes"] = float(share_named([entry.song.tags for entry in unseen], captions).mean())
        return {name: round(value, 5) for name, value in found.items()}

    def caption(self, songs: Sequence[PreparedSong]) -> list[str]:
        """Returns captions of songs with the music that the run gets."""
        return caption_split(self.captioner, self.data, songs, self.decoding, self.progress, self.music)

    def measure_sides(self, music: np.ndarray, lyrics: np.ndarray) -> dict[str, float]:
        """Returns cosines, spread and retrieval; those of a probe begin with `probe_`."""
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

    def measure_attention(self, music: Music) -> dict[str, float]:
        """Returns how even the fusion attention is, and how much it changes with another song's music."""
        songs = self.songs[:ATTENDED_SONGS]
        own, other = (attend(self.captioner, some, music) for some in (songs, with_other_music(songs)))
        rows = [compare_maps(*pair) for pair in zip(own, other, strict=True)]
        return {f"attention_{name}": float(np.mean([row[name] for row in rows])) for name in ("entropy", "swapped")}

    def follow_music(self) -> float:
        """Returns the share of sound words that follow another song's music, where the two songs differ."""
        captions = self.caption(with_other_music(self.songs))
        others = [self.songs[number] for number in partners(len(self.songs), seed=0)]
        followed = [
            said[name] == other.song.tags[name]
            for own, other, said in zip(self.songs, others, map(read_attributes, captions), strict=True)
            for name in SOUND
            if own.song.tags[name] != other.song.tags[name]
        ]
        return float(np.mean(followed)) if followed else 1.0


def with_other_music(songs: Sequence[PreparedSong]) -> list[PreparedSong]:
    """Returns the songs, each with the music of another."""
    others = [songs[number] for number in partners(len(songs), seed=0)]
    return [swap_music(entry, other) for entry, other in zip(songs, others, strict=True)]


def share_named(tags: Sequence[dict[str, str]], captions: Sequence[str]) -> np.ndarray:
    """Returns for each demo song the share of its attributes that the caption names rightly [songs]."""
    pairs = zip(tags, map(read_attributes, captions), strict=True)
    return np.array([[one[name] == right[name] for name in ATTRIBUTES] for right, one in pairs]).mean(axis=1)


def overlap_with(reference: str, caption: str) -> float:
    """Returns ROUGE-L F1 of a caption against one reference."""
    by_characters = is_other_script([reference])
    return rouge(rouge_tokens(reference, by_characters), rouge_tokens(caption, by_characters))[2].f1
