"""Fast generation: stock `generate` searches, and each decoder step shares what a song's beams have in common.

Stock generation keeps the song's keys and values once for every beam and copies them whenever beams change places. Here
they are computed once a song, and the beams are the queries of one attention over them. The caption so far is kept the
same way: one cache a song, and a mask that says which entries are a beam's own past, so that no key ever moves.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.models.bart.modeling_bart import BartAttention, BartDecoderLayer, BartForConditionalGeneration

# transformers 5.24 renamed `past_key_values`.
CACHE = "cache" if "cache" in inspect.signature(BartForConditionalGeneration.forward).parameters else "past_key_values"
CAPACITY = 64  # steps that a cache holds at first
# What asks for more than logits, or for a past that this decoder does not keep.
STOCK_ONLY = (
    CACHE,
    "past_key_values",
    "assistant_model",
    "cache_implementation",
    "decoder_attention_mask",
    "output_attentions",
    "output_hidden_states",
    "prompt_lookup_num_tokens",
)

Linear = Callable[[Tensor], Tensor]


class FastDecoder:
    """BART's decoder, a token at a time, on weights made ready once for many songs.

    It holds the weights of the moment it was made: make another after a training step.

    Args:
        model: a model in eval mode whose decoder is BART's own, see `is_stock_decoder`.
        pack: lay the weights out for oneDNN once instead of at every product; on CPU in float32 only.
    """

    def __init__(self, model: BartForConditionalGeneration, pack: bool = False) -> None:
        decoder = model.model.decoder
        self.embed_tokens, self.embed_positions = decoder.embed_tokens, decoder.embed_positions
        self.norm = decoder.layernorm_embedding
        weight = decoder.embed_tokens.weight
        on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
        make = packed_linear if pack and on_cpu else plain_linear
        self.layers = [FastLayer(layer, make) for layer in decoder.layers]
        self.output = make(model.lm_head.weight, model.final_logits_bias[0])

    def step(self, tokens: Tensor, cache: "SongCache") -> Tensor:
        """Returns the next token's logits [rows, 1, vocab] after one more token [rows, 1] of each row's caption."""
        state = (
            self.embed_tokens(tokens[:, 0]) + self.embed_positions.weight[cache.length + self.embed_positions.offset]
        )
        state = self.norm(state)
        cache.begin_step()
        for number, layer in enumerate(self.layers):
            state = layer(state, cache, number)
        return self.output(state)[:, None]


class FastLayer:
    """One decoder layer: attention to the caption so far, attention to the song, feed-forward, each with its norm."""

    def __init__(self, layer: BartDecoderLayer, make: Callable[[Tensor, Tensor], Linear]) -> None:
        own, song = layer.self_attn, layer.encoder_attn
        self.heads = own.num_heads
        inward = (own.q_proj, own.k_proj, own.v_proj)
        self.own_inward = make(torch.cat([part.weight for part in inward]), torch.cat([part.bias for part in inward]))
        self.own_outward = make(own.out_proj.weight, own.out_proj.bias)
        self.song_query = make(song.q_proj.weight, song.q_proj.bias)
        self.song_outward = make(song.out_proj.weight, song.out_proj.bias)
        self.song_key, self.song_value = song.k_proj, song.v_proj
        self.widen, self.narrow = make(layer.fc1.weight, layer.fc1.bias), make(layer.fc2.weight, layer.fc2.bias)
        self.activation = layer.activation_fn
        self.norms = (layer.self_attn_layer_norm, layer.encoder_attn_layer_norm, layer.final_layer_norm)

    def __call__(self, state: Tensor, cache: "SongCache", number: int) -> Tensor:
        """Transforms states [rows, width]."""
        query, key, value = (cache.split(part, self.heads) for part in self.own_inward(state).chunk(3, dim=-1))
        keys, values, seen = cache.extend(number, key, value)
        found = nn.functional.scaled_dot_product_attention(query, keys, values, seen)
        state = self.norms[0](state + self.own_outward(cache.join(found)))
        query = cache.split(self.song_query(state), self.heads)
        found = nn.functional.scaled_dot_product_attention(query, *cache.songs[number], cache.song_mask)
        state = self.norms[1](state + self.song_outward(cache.join(found)))
        return self.norms[2](state + self.narrow(self.activation(self.widen(state))))

    def encode_song(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the keys and values [songs, heads, tokens, head width] of song states [songs, tokens, width]."""
        songs, tokens, _ = states.shape
        shape = (songs, tokens, self.heads, -1)
        key, value = self.song_key(states).view(shape), self.song_value(states).view(shape)
        return key.transpose(1, 2).contiguous(), value.transpose(1, 2).contiguous()


class SongCache(EncoderDecoderCache):
    """What the decoder keeps of one batch of songs, `copies` captions of each being written.

    To `generate` it is a cache like any other; rows are songs x copies, the copies of a song side by side. With one
    copy for every row, nothing is shared.
    """

    def __init__(self, decoder: FastDecoder, copies: int) -> None:
        super().__init__(DynamicCache(), DynamicCache())
        self.decoder = decoder
        self.copies = copies
        self.length = 0
        self.songs: list[tuple[Tensor, Tensor]] = []
        self.song_mask: Tensor | None = None
        self.past: list[tuple[Tensor, Tensor]] = []
        self.seen: Tensor | None = None

    def advance(self, tokens: Tensor, song_states: Tensor, song_mask: Tensor | None) -> Tensor:
        """Takes the next tokens [rows, new tokens] and returns the logits after the last [rows, 1, vocab].

        Args:
            tokens: of every row.
            song_states: the encoder's states, repeated for each copy [rows, lyrics tokens, width].
            song_mask: 1 for real lyrics tokens [rows, lyrics tokens].
        """
        # Packed weights take float32 only, also where a training validates under autocast.
        with torch.autocast("cpu", enabled=False):
            if not self.songs:
                self.keep_songs(song_states.to(self.decoder.embed_tokens.weight.dtype), song_mask)
            logits = tokens.new_empty(0)
            for place in range(tokens.shape[1]):
                logits = self.decoder.step(tokens[:, place : place + 1], self)
        return logits

    def keep_songs(self, song_states: Tensor, song_mask: Tensor | None) -> None:
        """Computes each layer's keys and values of the songs, once for all copies."""
        states = song_states[:: self.copies]
        self.songs = [layer.encode_song(states) for layer in self.decoder.layers]
        if song_mask is not None and not bool(song_mask.all()):
            self.song_mask = song_mask[:: self.copies].bool()[:, None, None]
            self.song_mask = self.song_mask.expand(-1, 1, self.copies, -1)

    def begin_step(self) -> None:
        """Makes room for one more token of each row, which then is part of its own past."""
        self.length += 1
        if self.copies == 1:
            return
        songs, needed = len(self.songs[0][0]), self.length * self.copies
        device = self.songs[0][0].device
        if self.seen is None:
            self.seen = torch.zeros(songs, self.copies, CAPACITY * self.copies, dtype=torch.bool, device=device)
        elif needed > self.seen.shape[2]:
            self.seen = torch.cat([self.seen, torch.zeros_like(self.seen)], dim=2)
        self.seen[:, :, needed - self.copies : needed] = torch.eye(self.copies, dtype=torch.bool, device=device)

    def extend(self, number: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Adds a layer's keys and values [songs, heads, copies, head width]; returns all, and each copy's own past."""
        stop = self.length * self.copies
        if number == len(self.past):
            room = (*key.shape[:2], CAPACITY * self.copies, key.shape[3])
            self.past.append((key.new_zeros(room), value.new_zeros(room)))
        keys, values = self.past[number]
        if stop > keys.shape[2]:
            keys, values = (torch.cat([part, torch.zeros_like(part)], dim=2) for part in (keys, values))
            self.past[number] = keys, values
        keys[:, :, stop - self.copies : stop] = key
        values[:, :, stop - self.copies : stop] = value
        seen = None if self.seen is None else self.seen[:, None, :, :stop]
        return keys[:, :, :stop], values[:, :, :stop], seen

    def split(self, rows: Tensor, heads: int) -> Tensor:
        """Returns rows [rows, width] as [songs, heads, copies, head width]."""
        return rows.view(-1, self.copies, heads, rows.shape[-1] // heads).transpose(1, 2)

    def join(self, found: Tensor) -> Tensor:
        """Returns [songs, heads, copies, head width] as rows [rows, width]."""
        return found.transpose(1, 2).reshape(found.shape[0] * found.shape[2], -1)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Returns the number of tokens of the captions so far."""
        return self.length

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Makes each row continue the row that `beam_idx` [rows] names, one of its own song."""
        if self.copies == 1:
            self.past = [(key.index_select(0, beam_idx), value.index_select(0, beam_idx)) for key, value in self.past]
        elif self.seen is not None:
            origin = beam_idx.long().view(-1, self.copies) % self.copies  # torch 2.6 gathers by int64 alone
            self.seen = self.seen.gather(1, origin[:, :, None].expand(-1, -1, self.seen.shape[2]))


class BeamScores:
    """Mixin that remembers the scores of a beam search.

    Stock `generate` gives them only along with every step's log-probabilities of the whole vocabulary, some gigabytes
    for a batch of BART's size.
    """

    beam_scores: Tensor | None = None  # [songs, beams], best first

    def _update_finished_beams(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._update_finished_beams(*args, **kwargs)  # type: ignore[misc]
        self.beam_scores = result[1]
        return result


def song_cache(
    model: BartForConditionalGeneration, decoder: FastDecoder | None, arguments: dict[str, Any]
) -> SongCache | None:
    """Returns the cache for a call of `generate` with these arguments; None leaves it to the stock decoder."""
    config = arguments.get("generation_config") or model.generation_config
    asks_for_more = any(arguments.get(name) is not None for name in STOCK_ONLY)
    uncached = arguments.get("use_cache", getattr(config, "use_cache", True)) is False
    if asks_for_more or uncached or model.training or (decoder is None and not is_stock_decoder(model)):
        return None

    def number(name: str) -> int:
        return int(arguments.get(name) or getattr(config, name, None) or 1)

    copies = max(number("num_beams"), number("num_return_sequences"))
    return SongCache(decoder or FastDecoder(model), copies)


def is_stock_decoder(model: BartForConditionalGeneration) -> bool:
    """Whether the decoder is BART's own, part by part; an adapted one (LoRA, quantised) is run as it is."""
    expected = {BartDecoderLayer, BartAttention, nn.Linear, nn.LayerNorm}
    layers = model.model.decoder.layers
    parts = [part for layer in layers for part in layer.modules() if next(part.parameters(), None) is not None]
    return type(model.lm_head) is nn.Linear and {type(part) for part in parts} <= expected


def fast_decoder(model: BartForConditionalGeneration) -> FastDecoder | None:
    """Returns a model's decoder made ready for many songs; None where the stock one has to do."""
    return FastDecoder(model, pack=True) if is_stock_decoder(model) and not model.training else None


def plain_linear(weight: Tensor, bias: Tensor) -> Linear:
    """Multiplies as `nn.Linear` does: rows [.., in] to [.., out]."""
    return lambda rows: nn.functional.linear(rows, weight, bias)


def packed_linear(weight: Tensor, bias: Tensor) -> Linear:
    """The same on a copy of the weight in oneDNN's own layout, where this build of torch has it."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return plain_linear(weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
    bias = bias.detach().contiguous()
    return lambda rows: torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
