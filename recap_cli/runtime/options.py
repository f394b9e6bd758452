"""How captions are generated: what `recap caption`, `eval` and `ablate` have in common."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from recap_cli.errors import OptionError
from recap_cli.settings import MACHINE, WRITING, Setting, check_settings


@dataclass(frozen=True)
class DecodingOptions:
    """How captions are generated."""

    beams: Annotated[
        int,
        Setting("Beams of the caption search; 1 is greedy: faster, and a little worse.", WRITING, minimum=1),
    ] = 4
    sample: Annotated[bool, Setting("Draw words at random instead of taking the likeliest.", WRITING)] = False
    top_p: Annotated[
        float,
        Setting(
            "With --sample, draw from the likeliest words that share this probability.", WRITING, above=0, maximum=1
        ),
    ] = 1.0
    num_captions: Annotated[
        int,
        Setting("Captions a song, best first: up to --beams, or any number with --sample.", WRITING, minimum=1),
    ] = 1
    max_caption_tokens: Annotated[
        int | None, Setting("Longest caption in tokens.", WRITING, default="the model's own limit", minimum=3)
    ] = None
    no_repeat_ngram: Annotated[
        int, Setting("Let no run of this many tokens occur twice in a caption; 0 allows all.", WRITING, minimum=0)
    ] = 0
    seed: Annotated[int, Setting("Seed of the random draws of --sample.", WRITING)] = 0
    batch_size: Annotated[
        int,
        Setting(
            "Songs that are captioned at a time; captions do not depend on it.",
            MACHINE,
            minimum=1,
        ),
    ] = 32
    min_caption_tokens: Annotated[int, Setting("Shortest caption in tokens.", WRITING, minimum=0)] = 0

    def __post_init__(self) -> None:
        check_settings(self)
        if self.max_caption_tokens is not None and self.min_caption_tokens > self.max_caption_tokens:
            raise OptionError(
                f"--min-caption-tokens {self.min_caption_tokens} does not fit", "give 0 up to --max-caption-tokens"
            )
        if not self.sample and self.num_captions > self.beams:
            raise OptionError(
                f"--num-captions {self.num_captions} needs as many beams", "raise --beams, or draw with --sample"
            )

    def to_json(self) -> dict[str, Any]:
        """Returns the options as plain values, for records of how captions were made."""
        return asdict(self)
