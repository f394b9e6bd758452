"""What a headline figure is: the part of ROUGE, and over which pairs of caption and reference."""

from dataclasses import dataclass

from recap_cli.errors import OptionError

# The figures of the paper's Table 1, from 0 to 1.
HEADLINE = ("rouge1", "rouge2", "rougeL", "meteor")


@dataclass(frozen=True)
class Protocol:
    """What a headline figure is.

    Attributes:
        name: as `--protocol` has it.
        part: part of ROUGE in the headline.
        over: "best" reference of each song, or "captions": each pair of prediction and reference is a row.
        words: the same for the signature.
    """

    name: str
    part: str
    over: str
    words: str

    def metric(self, figure: str) -> str:
        """Give the name of the per-song score behind a figure of `HEADLINE`."""
        return figure if figure == "meteor" else f"{figure}.{self.part}"


PROTOCOLS = {
    "f1": Protocol("f1", "f1", "best", "F1, best of"),
    # What ALCAP's public code scores: ROUGE recall, each caption of a song apart.
    "published": Protocol("published", "recall", "captions", "recall, one row for each of"),
}


def protocol_named(name: str) -> Protocol:
    """Find a protocol by its name in `PROTOCOLS`.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in PROTOCOLS:
        raise OptionError(f"--protocol {name} is not known", f"choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
