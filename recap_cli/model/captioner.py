"""RecapForCaptioning: music encoder and lyrics encoder joined, BART's decoder, and both losses."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.models.auto.configuration_auto import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForSeq2SeqLM
from transformers.models.bart.modeling_bart import BartForConditionalGeneration, shift_tokens_right

from recap_cli.model.alignment import Alignment
from recap_cli.model.config import RecapConfig
from recap_cli.model.fast_decoder import CACHE, BeamScores, FastDecoder, SongCache, song_cache
from recap_cli.model.folder import read_config, read_generation
from recap_cli.model.lyrics_encoder import LyricsEncoder, LyricsEncoderOutput, MusicFusion
from recap_cli.model.music_encoder import MusicEncoder, cls_vector
from recap_cli.model.musicnn import Affine, Musicnn
from recap_cli.model.weight_files import WEIGHTS_FILE, is_packed, pack_file, read_folder_weights

IGNORED = -100


@dataclass
class RecapOutput(Seq2SeqLMOutput):
    """BART's output and the parts of the loss: loss = L_cap + alpha * L_contrast (paper, eq. 3).

    In training `logits` is None, since only real label positions are projected.
    """

    caption_loss: Tensor | None = None  # L_cap, mean cross-entropy over label tokens (paper, eq. 2)
    alignment_loss: Tensor | None = None  # L_contrast (paper, eq. 1), before its weight
    pooled_music: Tensor | None = None  # [batch, width]
    pooled_lyrics: Tensor | None = None  # projected [batch, width]


class ConstantMusic(nn.Module):
    """A learned sequence in the place of music states: a control that has RECAP's size and only lyrics."""

    def __init__(self, config: RecapConfig) -> None:
        super().__init__()
        self.states = nn.Parameter(torch.randn(config.constant_music, config.music_width))

    def forward(self, batch: int) -> Tensor:
        """Returns the sequence for each song [batch, steps, music width]."""
        return self.states.expand(batch, -1, -1)


class SongEncoder(LyricsEncoder):
    """The one encoder that `generate` asks for: the music is encoded, then fused into the lyrics."""

    def __init__(self, config: RecapConfig) -> None:
        super().__init__(config)
        self.music_encoder = make_music_encoder(config) if config.use_music else None
        constant = config.use_music and config.constant_music > 0
        self.constant_music = ConstantMusic(config) if constant else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        music_states: Tensor | None = None,
        music_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_music_attentions: bool = False,
        verse_states: Tensor | None = None,
        verse_mask: Tensor | None = None,
        mel: Tensor | None = None,
        mel_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> LyricsEncoderOutput:
        """Encodes a song from `mel` [batch, mels, frames] or from cached `music_states` [batch, steps, width].

        The other arguments are those of `LyricsEncoder.forward`.
        """
        if self.music_encoder is None:
            music_states = music_mask = None
        elif self.constant_music is not None:
            rows = len(inputs_embeds) if input_ids is None else len(input_ids)  # type: ignore[arg-type]
            music_states, music_mask = self.constant_music(rows), None
        elif music_states is None and mel is not None:
            music_states, music_mask = self.music_encoder(mel, mel_mask)
        return super().forward(
            input_ids,
            attention_mask,
            inputs_embeds,
            music_states,
            music_mask,
            output_hidden_states,
            output_music_attentions,
            verse_states,
            verse_mask,
        )

    def train(self, mode: bool = True) -> "SongEncoder":
        """Switches modes; a frozen music encoder stays in eval mode (its BatchNorm would drift) and out of training."""
        super().train(mode)
        if self.music_encoder is not None and not self.config.train_music_encoder:
            self.music_encoder.eval().requires_grad_(False)
        return self

    def _init_weights(self, module: nn.Module) -> None:
        """Initialises what BART does not know of; transformers calls this for every new module."""
        super()._init_weights(module)
        if isinstance(module, MusicFusion):
            init.xavier_uniform_(module.attention.in_proj_weight)
            init.zeros_(module.attention.in_proj_bias)
        elif isinstance(module, ConstantMusic):
            init.normal_(module.states, std=1.0)  # as music states are: a LayerNorm's output
        elif isinstance(module, MusicEncoder):
            init.copy_(module.cls, cls_vector(module.sizes.width))
        elif isinstance(module, Affine):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.TransformerEncoderLayer):
            init.xavier_uniform_(module.self_attn.in_proj_weight)
            init.zeros_(module.self_attn.in_proj_bias)


def make_music_encoder(config: RecapConfig) -> MusicEncoder | Musicnn:
    """Returns the music encoder that a config names, without its weights."""
    return Musicnn() if config.music_encoder == "musicnn" else MusicEncoder(config.music_sizes)


class RecapForCaptioning(BeamScores, BartForConditionalGeneration):
    """RECAP: a song's audio and lyrics in, what the song is about out.

    A plain BART checkpoint loads into it; then only the music encoder, the fusion and the projection are new.
    """

    config_class = RecapConfig
    config: RecapConfig
    lm_head: nn.Linear
    final_logits_bias: nn.Buffer
    # `labels` and the losses are divided as the Trainer expects.
    accepts_loss_kwargs = True

    def __init__(self, config: RecapConfig) -> None:
        super().__init__(config)
        self.model.encoder = SongEncoder(config)
        self.alignment = Alignment(config) if config.use_music else None
        self.post_init()
        self.train()

    def forward(
        self,
        input_ids: Tensor | None = None,  # lyrics tokens [batch, tokens]
        attention_mask: Tensor | None = None,  # 1 for real lyrics tokens [batch, tokens]
        mel: Tensor | None = None,  # log-mel in dB [batch, mels, frames], or
        mel_mask: Tensor | None = None,  # 1 for its real frames [batch, frames]
        music_states: Tensor | None = None,  # the music encoder's cached output [batch, steps, width]
        music_mask: Tensor | None = None,  # 1 for its real steps [batch, steps]
        labels: Tensor | None = None,  # caption tokens [batch, caption tokens], -100 where padded
        verse_states: Tensor | None = None,  # cached states of the lyrics' verses [batch, verses, width], and
        verse_mask: Tensor | None = None,  # 1 for real verses [batch, verses], see `LyricsEncoder.read_verses`
        song_ids: Tensor | None = None,  # a number for each row's song [batch], see `Alignment`
        decoder_input_ids: Tensor | None = None,  # caption so far; derived from `labels` when left out
        encoder_outputs: LyricsEncoderOutput | None = None,  # an earlier output, as `generate` hands it over
        num_items_in_batch: Tensor | int | None = None,  # label tokens of the step, which the Trainer counts
        aligned_rows: Tensor | None = None,  # rows that count in the alignment loss [batch], see `Alignment`
        num_songs_in_batch: Tensor | int | None = None,  # songs of the step
        full_logits: bool | None = None,  # with labels, project every position, by default not in training
        **kwargs: Any,
    ) -> RecapOutput:
        """Runs the model; with `labels`, computes both losses.

        Counts that are left out are those of this batch; further arguments are BART's.
        """
        if encoder_outputs is None:
            music = {"music_states": music_states, "music_mask": music_mask, "mel": mel, "mel_mask": mel_mask}
            verses = {"verse_states": verse_states, "verse_mask": verse_mask}
            encoder_outputs = self.model.encoder(input_ids, attention_mask, **music, **verses, **kwargs)
        if getattr(encoder_outputs, "state_mask", None) is not None:
            attention_mask = encoder_outputs.state_mask
        cache = kwargs.get(CACHE)
        if isinstance(cache, SongCache) and decoder_input_ids is not None:
            logits = cache.advance(decoder_input_ids, encoder_outputs[0], attention_mask)
            answer: dict[str, Any] = {"logits": logits, CACHE: cache}
            return RecapOutput(**answer)
        if labels is not None and decoder_input_ids is None:
            decoder_input_ids = shift_tokens_right(labels, self.config.pad_token_id, self.config.decoder_start_token_id)
            kwargs["use_cache"] = False
        arguments = {
            "attention_mask": attention_mask,
            "decoder_input_ids": decoder_input_ids,
            "encoder_outputs": encoder_outputs,
            **kwargs,
        }
        if labels is None:
            return RecapOutput(**super().forward(**arguments))
        projects_all = not self.training if full_logits is None else full_logits
        parts = self.compute_caption_loss(arguments, labels, num_items_in_batch, projects_all)
        rows = {"song_ids": song_ids, "aligned_rows": aligned_rows, "num_songs": num_songs_in_batch}
        parts |= self.compute_alignment_loss(parts["caption_loss"], encoder_outputs, attention_mask, **rows)
        return RecapOutput(**parts)

    def compute_caption_loss(
        self, arguments: dict[str, Any], labels: Tensor, tokens: Tensor | int | None, projects_all: bool
    ) -> dict[str, Any]:
        """Returns the fields of BART's output for its arguments, and L_cap; without `projects_all` only that.

        With `pads_in_loss`, padded positions count as pad tokens, as the public code trains.
        """
        if self.config.pads_in_loss:
            labels = labels.masked_fill(labels == IGNORED, self.config.pad_token_id)
        real = labels != IGNORED
        output: dict[str, Any] = {}
        if projects_all:
            output = dict(super().forward(**arguments))
            logits = output["logits"][real]
        else:  # real label positions only: the vocabulary is wide
            logits = self.lm_head(self.model(**arguments).last_hidden_state[real]) + self.final_logits_bias
        loss = caption_loss(logits, labels[real], tokens)
        return {**output, "loss": loss, "caption_loss": loss}

    def generate(
        self, inputs: Tensor | None = None, *, decoder: FastDecoder | None = None, fast: bool = True, **kwargs: Any
    ) -> Any:
        """Returns captions by stock `generate`, a step of the decoder being quicker than stock.

        A lyrics mask that is left out is read off the pads, as transformers 4 did and the public code relies on.

        Args:
            inputs: lyrics tokens, if not given as `input_ids`.
            decoder: a decoder of this model that was made ready before, for many calls.
            fast: False uses the stock decoder, and so does whatever the quick one does not know.
            **kwargs: the arguments of `forward` and of stock `generate`.
        """
        tokens = inputs if inputs is not None else kwargs.get("input_ids")
        if kwargs.get("attention_mask") is None and tokens is not None:
            kwargs["attention_mask"] = tokens.ne(self.config.pad_token_id).long()
        cache = song_cache(self, decoder, kwargs) if fast else None
        return super().generate(inputs, **kwargs, **({} if cache is None else {CACHE: cache}))

    def compute_alignment_loss(
        self, caption: Tensor, encoded: LyricsEncoderOutput, lyrics_mask: Tensor | None, **rows: Any
    ) -> dict[str, Tensor]:
        """Returns L_cap + alpha * L_contrast (paper, eq. 3) and its parts; `rows` as in `Alignment.forward`."""
        if self.alignment is None or encoded.music_states is None or self.model.encoder.constant_music is not None:
            return {}
        music, lyrics = encoded.music_states, encoded.unfused_state
        if self.config.alignment_probe and lyrics is not None:
            music, lyrics = music.detach(), lyrics.detach()
        loss, pooled_music, pooled_lyrics = self.alignment(music, encoded.music_mask, lyrics, lyrics_mask, **rows)
        parts = {"alignment_loss": loss, "pooled_music": pooled_music, "pooled_lyrics": pooled_lyrics}
        weight = 1.0 if self.config.alignment_probe else self.config.alpha
        return {**parts, "loss": caption + weight * loss} if weight > 0 else parts

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Writes a model folder as transformers does; in 8 bit where the config says so."""
        super().save_pretrained(save_directory, *args, **kwargs)
        if self.config.eight_bit and (path := Path(save_directory) / WEIGHTS_FILE).is_file():
            pack_file(path)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str] | None, *args: Any, **kwargs: Any
    ) -> "RecapForCaptioning":
        """Loads as transformers does; weights in 8 bit, which it does not know, become float32 first."""
        source = pretrained_model_name_or_path
        kwargs.pop("trust_remote_code", None)
        if source is None or not is_packed(Path(source) / WEIGHTS_FILE):
            return super().from_pretrained(source, *args, trust_remote_code=False, **kwargs)
        folder = Path(source)
        config = kwargs.pop("config", None) or read_config(folder)
        weights = read_folder_weights(folder)
        model = super().from_pretrained(None, config=config, state_dict=weights, trust_remote_code=False, **kwargs)
        model.generation_config = read_generation(folder, config)
        return model


def caption_loss(logits: Tensor, labels: Tensor, tokens: Tensor | int | None = None) -> Tensor:
    """Returns L_cap (paper, eq. 2): cross-entropy of `logits` [tokens, vocab] over the step's number of `tokens`."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision is too coarse for a sum
    total = nn.functional.cross_entropy(logits, labels, reduction="sum")
    if tokens is None:
        return total / max(len(labels), 1)
    return total / (tokens.clamp(min=1) if isinstance(tokens, Tensor) else max(tokens, 1))


AutoConfig.register("recap", RecapConfig)
AutoModelForSeq2SeqLM.register(RecapConfig, RecapForCaptioning)
