"""RecapConfig: sizes, the form of the fusion and the alignment settings, on top of BART's own config."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from huggingface_hub.dataclasses import strict
from transformers import BartConfig

from recap_cli.errors import OptionError

ALIGNMENT_LOSSES = ("positive", "infonce", "infonce-symmetric", "none")
SIMILARITIES = ("cosine", "dot")
POOLINGS = ("masked", "all")
FUSION_SHARINGS = ("shared", "per-layer")


@dataclass(frozen=True)
class MusicEncoderSizes:
    """Sizes of CNNSA; the defaults are those of the published weights (Won et al. 2019).

    Attributes:
        channels: output channels of the seven residual blocks; the last one is the width of the music states.
        layers: self-attention layers after the convolutions.
        heads: heads of each of them.
        ffn: width inside each feed-forward part.
    """

    channels: tuple[int, ...] = (128, 128, 256, 256, 256, 256, 256)
    layers: int = 2
    heads: int = 8
    ffn: int = 1024

    @property
    def width(self) -> int:
        """Width of the music states."""
        return self.channels[-1]


@strict
class RecapConfig(BartConfig):
    """Everything that shapes a RECAP model; BART's fields keep their names.

    Where the paper (arXiv 2212.10901) and its public code differ, each difference is one field here.
    Layers are 0-based; layer k of the encoder is entered by state k.

    Attributes:
        use_music: False removes the music encoder, fusion and alignment: plain BART, the lyrics-only baseline.
        music_channels: channels of the music encoder's blocks, see `MusicEncoderSizes`.
        music_layers: self-attention layers of the music encoder.
        music_heads: their heads.
        music_ffn: their feed-forward width.
        train_music_encoder: False (paper) keeps the music encoder frozen and in eval mode.
        fusion_layers: encoder layers after which the music is fused in (public code: 4, 5).
        fusion_scale: factor on what the fusion attention adds (public code: 0.1).
        fusion_heads: heads of the fusion attention (public code: 1).
        fusion_sharing: `shared`, one fusion block for all fusion layers (public code), or `per-layer`.
        alpha: weight of the alignment loss (paper, eq. 3: 0.02).
        alignment_loss: `positive` (paper, eq. 1), `infonce` (the public code's default), `infonce-symmetric`, `none`.
        similarity: similarity of a pair in the alignment loss; the paper's experiments use `cosine`.
        alignment_temperature: divides the similarities of InfoNCE (public code: 0.3).
        pooling: `masked` means over real positions, `all` over pads too (public code).
        standardise_music: centre and scale the pooled music by the training songs' figures before it is compared;
            frozen features that all point one way otherwise give high cosines for any pair (ours).
        align_layer: the lyrics state that enters this layer is aligned (public code: 4, before any fusion).
        allow_fused_alignment: permits an `align_layer` behind a fusion layer, where music leaks into the lyrics side.
        alignment_probe: with alpha 0, train the projection on detached states: what it finds by itself (ours).
        constant_music: steps of a learned sequence that stands in for every song's music; 0 hears the songs (ours).
        pads_in_loss: True counts pad positions in the caption loss (public code); False masks them.
    """

    model_type = "recap"

    if TYPE_CHECKING:  # BART's own, which its declaration lets be None
        d_model: int = 1024
        encoder_layers: int = 12
        dropout: float | int = 0.1
        pad_token_id: int = 1
        decoder_start_token_id: int = 2

    use_music: bool = True
    music_channels: list[int] | tuple[int, ...] = (128, 128, 256, 256, 256, 256, 256)
    music_layers: int = 2
    music_heads: int = 8
    music_ffn: int = 1024
    train_music_encoder: bool = False
    fusion_layers: list[int] | tuple[int, ...] = (4, 5)
    fusion_scale: float | int = 0.1
    fusion_heads: int = 1
    fusion_sharing: str = "shared"
    alpha: float | int = 0.02
    alignment_loss: str = "positive"
    similarity: str = "cosine"
    alignment_temperature: float | int = 0.3
    pooling: str = "masked"
    standardise_music: bool = False
    align_layer: int = 4
    allow_fused_alignment: bool = False
    pads_in_loss: bool = False
    alignment_probe: bool = False
    constant_music: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        """Keep lists as JSON gives them back, then check every field that RECAP adds."""
        self.music_channels = list(self.music_channels)
        self.fusion_layers = list(self.fusion_layers)
        super().__post_init__(**kwargs)
        if self.use_music:
            self._check_layers()
        self._check_choices()

    @property
    def music_sizes(self) -> MusicEncoderSizes:
        """Sizes of the music encoder."""
        return MusicEncoderSizes(tuple(self.music_channels), self.music_layers, self.music_heads, self.music_ffn)

    @classmethod
    def from_bart(cls, bart: BartConfig, **settings: Any) -> "RecapConfig":
        """Give a BART's config RECAP's fields: the defaults, or `settings`."""
        own = {name: value for name, value in bart.to_dict().items() if name not in ("model_type", "architectures")}
        return cls(**{**own, **settings})

    @classmethod
    def tiny(cls, vocab_size: int, **settings: Any) -> "RecapConfig":
        """The sizes of the embedded model and of tests: 3 + 1 layers, 64 wide, a music encoder of 340 k parameters."""
        sizes = {
            "vocab_size": vocab_size,
            "d_model": 64,
            "encoder_layers": 3,
            "decoder_layers": 1,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 256,
            "decoder_ffn_dim": 256,
            "max_position_embeddings": 512,
            # 1 / sqrt(width): with BART's 0.02 so narrow a post-norm model never reads its lyrics
            "init_std": 0.125,
            "music_channels": (8, 8, 16, 32, 32, 64, 64),
            "music_ffn": 256,
            "fusion_layers": (1, 2),
            "align_layer": 1,
        }
        return cls(**{**sizes, **settings})

    def _check_layers(self) -> None:
        if not self.fusion_layers or any(not 0 <= layer < self.encoder_layers for layer in self.fusion_layers):
            raise OptionError(
                f"--fusion-layers {','.join(map(str, self.fusion_layers))} is out of range",
                f"the encoder's layers are 0 to {self.encoder_layers - 1}",
            )
        if len(set(self.fusion_layers)) != len(self.fusion_layers):
            raise OptionError("--fusion-layers names a layer twice", "name each layer once")
        if not 0 <= self.align_layer <= self.encoder_layers:
            raise OptionError(
                f"--align-layer {self.align_layer} is out of range",
                f"states that can be aligned are 0 to {self.encoder_layers}",
            )
        if self.align_layer > min(self.fusion_layers) and not self.allow_fused_alignment:
            raise OptionError(
                f"--align-layer {self.align_layer} lies behind fusion layer {min(self.fusion_layers)}, where music "
                "has leaked into the lyrics",
                "choose an earlier layer, or --allow-fused-alignment for a study",
            )

    def _check_choices(self) -> None:
        choices = {
            "alignment-loss": (self.alignment_loss, ALIGNMENT_LOSSES),
            "similarity": (self.similarity, SIMILARITIES),
            "pooling": (self.pooling, POOLINGS),
            "fusion-sharing": (self.fusion_sharing, FUSION_SHARINGS),
        }
        for flag, (value, allowed) in choices.items():
            if value not in allowed:
                raise OptionError(f"--{flag} {value} is not known", f"choose one of {', '.join(allowed)}")
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise OptionError(f"--alpha {self.alpha} is not a weight", "give a number of 0 or more, such as 0.02")
        if self.alignment_probe and self.alpha > 0:
            raise OptionError("the probe of the alignment rides in a run with alpha 0 only", "set alpha to 0")
        if not math.isfinite(self.fusion_scale):
            raise OptionError(f"--fusion-scale {self.fusion_scale} is no number", "the public code uses 0.1")
        if not (math.isfinite(self.alignment_temperature) and self.alignment_temperature > 0):
            raise OptionError(f"--temperature {self.alignment_temperature} is not positive", "the public code uses 0.3")
        if self.use_music and (self.fusion_heads < 1 or self.d_model % self.fusion_heads):
            raise OptionError(
                f"--fusion-heads {self.fusion_heads} does not divide the width {self.d_model}",
                "the public code uses 1",
            )
