"""BART's encoder with cross-attention to the music after its upper layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bart.modeling_bart import BartEncoder

from recap_cli.model.alignment import pool
from recap_cli.model.config import RecapConfig

TOKENS_AT_ONCE = 2048  # of verses, pads counted


@dataclass
class LyricsEncoderOutput(BaseModelOutput):
    """Fused lyrics states, and what the decoder, the alignment loss and `--explain` need beside them.

    A model with `verse_layers` has a state for each verse where others have one for each token.
    """

    state_mask: Tensor | None = None  # 1 for real lyrics states [batch, states]
    unfused_state: Tensor | None = None  # that enters `align_layer` [batch, states, width]
    music_states: Tensor | None = None  # that were fused in [batch, steps, music width]
    music_mask: Tensor | None = None  # of them [batch, steps]
    music_attentions: tuple[Tensor, ...] | None = None  # on request, [batch, states, steps] for each fusion layer


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
        verse_states: Tensor | None = None,
        verse_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> LyricsEncoderOutput:
        """Encodes lyrics, fusing in the music where there is any.

        Args:
            input_ids: lyrics tokens [batch, tokens]; with `verse_layers`, a begin token begins each verse.
            attention_mask: 1 for real tokens [batch, tokens].
            inputs_embeds: token embeddings instead of `input_ids` [batch, tokens, width].
            music_states: [batch, steps, music width]; None encodes the lyrics alone.
            music_mask: 1 for real steps [batch, steps].
            output_hidden_states: also return the state that enters each layer that sees the whole song.
            output_music_attentions: also return the fusion attention maps.
            verse_states: what `read_verses` returned [batch, verses, width]; None reads the tokens.
            verse_mask: 1 for real verses [batch, verses].
            **kwargs: passed over; `generate` hands down more than an encoder needs.
        """
        below = self.config.verse_layers
        if not below:
            state, state_mask = self.embed(input_ids, inputs_embeds), attention_mask
        elif verse_states is None:
            assert input_ids is not None
            state, state_mask = self.read_verses(input_ids, attention_mask)
        else:
            state, state_mask = verse_states, verse_mask
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=state, attention_mask=state_mask)
        entering: list[Tensor] = []
        maps: list[Tensor] = []
        unfused = None
        for index, layer in enumerate(self.layers[below:], start=below):
            entering += [state] if output_hidden_states else []
            unfused = state if index == self.config.align_layer else unfused
            state = layer(state, mask)
            if music_states is not None and index in self.config.fusion_layers:
                state, weights = self.fuse(index, state, music_states, music_mask, output_music_attentions)
                maps += [weights] if weights is not None else []
        return LyricsEncoderOutput(
            last_hidden_state=state,
            state_mask=state_mask,
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
        return nn.functional.dropout(state, p=self.dropout, training=self.training and not self.config.freeze_verses)

    def read_verses(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns a state for each verse of each song [batch, verses, width], and their mask [batch, verses].

        Args:
            input_ids: lyrics tokens, a begin token before each verse [batch, tokens].
            attention_mask: 1 for real tokens [batch, tokens]; None takes the pads from the tokens.
        """
        real = input_ids.ne(self.config.pad_token_id) if attention_mask is None else attention_mask.bool()
        songs = [cut_verses(ids[own], self.config.bos_token_id) for ids, own in zip(input_ids, real, strict=True)]
        counts = [len(verses) for verses in songs]
        states = self.pool_verses([verse for verses in songs for verse in verses])
        states = pad_sequence(list(states.split(counts)), batch_first=True)
        places = torch.arange(states.shape[1], device=states.device)
        return states, (places < torch.tensor(counts, device=states.device)[:, None]).long()

    def pool_verses(self, verses: Sequence[Tensor]) -> Tensor:
        """Returns the mean state of each verse [verses, width] after the layers that read verses.

        Each of them is read by itself; those of like length go through the layers together.

        Args:
            verses: the tokens of each, begin and end marked [tokens].
        """
        order = sorted(range(len(verses)), key=lambda row: len(verses[row]))
        states: list[Tensor] = []
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(verses[order[stop]]) <= TOKENS_AT_ONCE:
                stop += 1
            some = [verses[row] for row in order[start:stop]]
            ids = pad_sequence(some, batch_first=True, padding_value=self.config.pad_token_id)
            lengths = torch.tensor([len(one) for one in some], device=ids.device)
            real = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
            state = self.embed(ids)
            mask = create_bidirectional_mask(config=self.config, inputs_embeds=state, attention_mask=real)
            for layer in self.layers[: self.config.verse_layers]:
                state = layer(state, mask)
            states.append(pool(state, real))
            start = stop
        return torch.cat(states)[torch.argsort(torch.tensor(order)).to(states[0].device)]

    def train(self, mode: bool = True) -> "LyricsEncoder":
        """Switches modes; frozen verse layers stay in eval mode and out of training, so that verses are read once."""
        super().train(mode)
        if self.config.freeze_verses:
            self.verse_parts.eval().requires_grad_(False)
        return self

    @property
    def verse_parts(self) -> nn.ModuleList:
        """Everything that a verse's state depends on."""
        embeddings = (self.embed_tokens, self.embed_positions, self.layernorm_embedding)
        return nn.ModuleList([*embeddings, *self.layers[: self.config.verse_layers]])

    def fuse(
        self, layer: int, state: Tensor, music_states: Tensor, music_mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Applies the fusion block of one layer."""
        block = self.fusion[0 if len(self.fusion) == 1 else list(self.config.fusion_layers).index(layer)]
        return block(state, music_states, music_mask, need_weights)


def verse_names(config: RecapConfig) -> tuple[str, ...]:
    """Returns what the names of an encoder's weights begin with on which a verse's state depends: its `verse_parts`."""
    layers = (f"layers.{number}." for number in range(config.verse_layers))
    return ("embed_tokens.", "embed_positions.", "layernorm_embedding.", *layers)


def cut_verses(tokens: Tensor, begin: int | None) -> Sequence[Tensor]:
    """Returns the verses of a song's tokens [tokens], each from one `begin` token to the next; one at least."""
    begins = torch.as_tensor(tokens[1:] == begin)
    return tokens.tensor_split((begins.nonzero()[:, 0] + 1).cpu())
