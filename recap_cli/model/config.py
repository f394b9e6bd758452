"""RecapConfig: sizes, the form of the fusion and the alignment settings, on top of BART's own config."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from huggingface_hub.dataclasses import strict
from transformers.models.bart.configuration_bart import BartConfig

from recap_cli.audio.settings import MUSIC_ENCODERS, MUSICNN_TAGS
from recap_cli.errors import OptionError

ALIGNMENT_LOSSES = ("positive", "infonce", "infonce-symmetric", "none")
# What fields may say.
CHOICES = {
    "music_encoder": MUSIC_ENCODERS,
    "alignment_loss": ALIGNMENT_LOSSES,
    "similarity": ("cosine", "dot"),
    "pooling": ("masked", "all"),
    "fusion_sharing": ("shared", "per-layer"),
}


@dataclass(frozen=True)
class MusicEncoderSizes:
    """Sizes of CNNSA; the defaults are those of the published weights (Won et al. 2019)."""

    channels: tuple[int, ...] = (128, 128, 256, 256, 256, 256, 256)  # of the seven residual blocks
    layers: int = 2  # of self-attention, after the convolutions
    heads: int = 8
    ffn: int = 1024  # width inside each feed-forward part

    @property
    def width(self) -> int:
        """Width of the music states: the last block's channels."""
        return self.channels[-1]


@strict
class RecapConfig(BartConfig):
    """Everything that shapes a RECAP model; BART's fields keep their names.

    Where the paper (arXiv 2212.10901) and its public code differ, each difference is one field here.
    Layers are 0-based; layer k of the encoder is entered by state k.
    """

    model_type = "recap"

    if TYPE_CHECKING:  # BART's own, which its declaration lets be None
        d_model: int = 1024
        encoder_layers: int = 12
        dropout: float | int = 0.1
        pad_token_id: int = 1
        decoder_start_token_id: int = 2

    use_music: bool = True  # False: no music encoder, fusion or alignment; plain BART, the lyrics-only baseline
    music_encoder: str = "cnnsa"  # (paper), or `musicnn`, whose one size is not among these fields (ours)
    music_channels: list[int] | tuple[int, ...] = (128, 128, 256, 256, 256, 256, 256)  # see `MusicEncoderSizes`
    music_layers: int = 2
    music_heads: int = 8
    music_ffn: int = 1024
    train_music_encoder: bool = False  # False (paper) keeps the music encoder frozen and in eval mode
    fusion_layers: list[int] | tuple[int, ...] = (4, 5)  # after which the music is fused in (public code)
    fusion_scale: float | int = 0.1  # factor on what the fusion attention adds (public code)
    fusion_heads: int = 1  # (public code)
    fusion_sharing: str = "shared"  # one fusion block for all fusion layers (public code), or `per-layer`
    alpha: float | int = 0.02  # weight of the alignment loss (paper, eq. 3)
    # `positive` (paper, eq. 1), `infonce` (the public code's default), `infonce-symmetric` or `none`
    alignment_loss: str = "positive"
    similarity: str = "cosine"  # of a pair in the alignment loss; the paper's experiments use `cosine`
    alignment_temperature: float | int = 0.3  # divides the similarities of InfoNCE (public code)
    pooling: str = "masked"  # means over real positions; `all`: over pads too (public code)
    # Centre and scale the pooled music by the training songs' figures before it is compared; frozen features that all
    # point one way otherwise give high cosines for any pair (ours).
    standardise_music: bool = False
    align_layer: int = 4  # the lyrics state that enters this layer is aligned (public code: before any fusion)
    allow_fused_alignment: bool = False  # permits one behind a fusion layer, where music leaks into the lyrics side
    pads_in_loss: bool = False  # True counts pad positions in the caption loss (public code); False masks them
    alignment_probe: bool = False  # with alpha 0, train the projection on detached states: what it finds alone (ours)
    constant_music: int = 0  # steps of a learned sequence that stands in for every song's music (ours)
    # How many of the lower encoder layers read each verse by itself, its positions counted from 0. The mean over a
    # verse's tokens, as Reimers and Gurevych 2019 (arXiv 1908.10084) pool sentences, is its one state in the layers
    # above, which see the whole song (ours). 0 (paper): all layers read the lyrics as one text.
    verse_layers: int = 0
    freeze_verses: bool = False  # True keeps these layers and all embeddings as they came (ours)
    states_facts: bool = False  # True: it learnt from `facts.wordings`, so captions can be read back as facts (ours)
    eight_bit: bool = False  # `save_pretrained` stores large weights in 8 bit, see `weight_files.pack_weights` (ours)

    def __post_init__(self, **kwargs: Any) -> None:
        """Keeps lists as JSON gives them back, then checks every field that RECAP adds."""
        self.music_channels = list(self.music_channels)
        self.fusion_layers = list(self.fusion_layers)
        super().__post_init__(**kwargs)
        if self.use_music:
            self._check_layers()
        self._check_verses()
        self._check_choices()

    @property
    def music_width(self) -> int:
        """Width of the music states."""
        return MUSICNN_TAGS if self.music_encoder == "musicnn" else self.music_sizes.width

    @property
    def music_sizes(self) -> MusicEncoderSizes:
        """Sizes of CNNSA."""
        return MusicEncoderSizes(tuple(self.music_channels), self.music_layers, self.music_heads, self.music_ffn)

    @classmethod
    def from_bart(cls, bart: BartConfig, **settings: Any) -> "RecapConfig":
        """Returns a BART's config with RECAP's fields: the defaults, or `settings`."""
        own = {name: value for name, value in bart.to_dict().items() if name not in ("model_type", "architectures")}
        return cls(**{**own, **settings})

    def to_bart(self) -> BartConfig:
        """Returns BART's own fields alone."""
        known = BartConfig().to_dict()
        own = {name: value for name, value in self.to_dict().items() if name in known and name != "model_type"}
        return BartConfig(**own)

    @classmethod
    def tiny(cls, vocab_size: int, **settings: Any) -> "RecapConfig":
        """Returns the sizes of the embedded model and of tests: 3 + 1 layers, 64 wide, 340 k parameters for music."""
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

    def _check_verses(self) -> None:
        if not 0 <= self.verse_layers <= self.encoder_layers:
            raise OptionError(
                f"--verse-layers {self.verse_layers} is out of range", f"the encoder has {self.encoder_layers} layers"
            )
        if self.freeze_verses and not self.verse_layers:
            raise OptionError("--freeze-verses: no layer reads verses", "say how many do with --verse-layers")
        if self.use_music and self.verse_layers > min(self.align_layer, *self.fusion_layers):
            raise OptionError(
                f"--verse-layers {self.verse_layers} leaves layers above it to the whole song, but --align-layer is "
                f"{self.align_layer} and --fusion-layers {','.join(map(str, self.fusion_layers))}",
                f"align and fuse at layers from {self.verse_layers} on",
            )

    def _check_choices(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                flag = f"--{name.replace('_', '-')}"
                raise OptionError(f"{flag} {getattr(self, name)} is not known", f"choose one of {', '.join(allowed)}")
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
