"""BART's encoder with cross-attention to the music after its upper layers."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bart.modeling_bart import BartEncoder

from recap_cli.model.config import RecapConfig


@dataclass
class LyricsEncoderOutput(BaseModelOutput):
    """Fused lyrics states, and what the alignment loss and `--explain` need beside them."""

    unfused_state: Tensor | None = None  # that enters `align_layer` [batch, tokens, width]
    music_states: Tensor | None = None  # that were fused in [batch, steps, music width]
    music_mask: Tensor | None = None  # of them [batch, steps]
    music_attentions: tuple[Tensor, ...] | None = None  # on request, [batch, tokens, steps] for each fusion layer


class MusicFusion(nn.Module):
    """h <- LayerNorm(h + scale * MHA(W3 h, W1 a, W2 a)), the form that ALCAP took over from BART-fusion.

    One block serves every fusion layer unless `fusion_sharing` says otherwise.
    """

    def __init__(self, config: RecapConfig) -> None:
        super().__init__()
        self.scale = config.fusion_scale
        self.music_key = nn.Linear(config.music_width, config.d_model)
        self.music_value = nn.Linear(config.music_width, config.d_model)
        self.lyrics_query = nn.Linear(config.d_model, config.d_model)
        self.attention = nn.MultiheadAttention(config.d_model, config.fusion_heads, batch_first=True)
        self.norm = nn.LayerNorm(config.d_model)

    def forward(
        self, lyrics: Tensor, music: Tensor, music_mask: Tensor | None, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Adds what the lyrics [batch, tokens, width] find in the music [batch, steps, music width].

        The mask [batch, steps] is 1 for real steps. With `need_weights` the attention map [batch, tokens, steps], mean
        over heads, comes back too.
        """
        found, weights = self.attention(
            self.lyrics_query(lyrics),
            self.music_key(music),
            self.music_value(music),
            key_padding_mask=None if music_mask is None else music_mask == 0,
            need_weights=need_weights,
        )
        return self.norm(lyrics + self.scale * found), weights


class LyricsEncoder(BartEncoder):
    """BART's encoder; after each of `config.fusion_layers` the music is fused in."""

    config: RecapConfig
    dropout: float

    def __init__(self, config: RecapConfig) -> None:
        super().__init__(config)
        blocks = 0 if not config.use_music else 1 if config.fusion_sharing == "shared" else len(config.fusion_layers)
        self.fusion = nn.ModuleList(MusicFusion(config) for _ in range(blocks))
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
        **kwargs: Any,
    ) -> LyricsEncoderOutput:
        """Encodes lyrics, fusing in the music where there is any.

        Args:
            input_ids: lyrics tokens [batch, tokens].
            attention_mask: 1 for real tokens [batch, tokens].
            inputs_embeds: token embeddings instead of `input_ids` [batch, tokens, width].
            music_states: [batch, steps, music width]; None encodes the lyrics alone.
            music_mask: 1 for real steps [batch, steps].
            output_hidden_states: also return the state that enters each layer.
            output_music_attentions: also return the fusion attention maps.
            **kwargs: passed over; `generate` hands down more than an encoder needs.
        """
        state = self.embed(input_ids, inputs_embeds)
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=state, attention_mask=attention_mask)
        entering: list[Tensor] = []
        maps: list[Tensor] = []
        unfused = None
        for index, layer in enumerate(self.layers):
            entering += [state] if output_hidden_states else []
            unfused = state if index == self.config.align_layer else unfused
            state = layer(state, mask)
            if music_states is not None and index in self.config.fusion_layers:
                state, weights = self.fuse(index, state, music_states, music_mask, output_music_attentions)
                maps += [weights] if weights is not None else []
        return LyricsEncoderOutput(
            last_hidden_state=state,
            hidden_states=(*entering, state) if output_hidden_states else None,
            unfused_state=state if self.config.align_layer == len(self.layers) else unfused,
            music_states=music_states,
            music_mask=music_mask,
            music_attentions=tuple(maps) if output_music_attentions else None,
        )

    def embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None = None) -> Tensor:
        """Returns BART's input state: tokens and positions, normalised [batch, tokens, width]."""
        tokens = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        state = self.layernorm_embedding(tokens + self.embed_positions(tokens[:, :, -1]))
        return nn.functional.dropout(state, p=self.dropout, training=self.training)

    def fuse(
        self, layer: int, state: Tensor, music_states: Tensor, music_mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Applies the fusion block of one layer."""
        block = self.fusion[0 if len(self.fusion) == 1 else list(self.config.fusion_layers).index(layer)]
        return block(state, music_states, music_mask, need_weights)
