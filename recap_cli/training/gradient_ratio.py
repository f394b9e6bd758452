"""How strongly the alignment loss pulls beside the caption loss, measured on one fixed batch."""

from collections.abc import Mapping

import torch
from torch import Tensor

from recap_cli.model.captioner import RecapForCaptioning


class GradientBalance:
    """Measures ||alpha g_align|| / ||g_cap|| and the cosine of the two gradients, over the parameters both reach.

    Args:
        model: the captioner, without any wrapper.
        batch: a fixed batch with labels and music.
    """

    def __init__(self, model: RecapForCaptioning, batch: Mapping[str, Tensor]) -> None:
        self.model, self.batch = model, batch

    def measure(self) -> dict[str, float]:
        """Give `gradient_ratio` and `gradient_cosine`; dropout is off, and no gradient is kept."""
        model = self.model
        was_training = model.training
        model.eval()
        with torch.enable_grad():
            output = model(**{key: value.to(model.device) for key, value in self.batch.items()}, full_logits=False)
            wanted = [one for one in model.parameters() if one.requires_grad]
            aligned = torch.autograd.grad(output.alignment_loss, wanted, retain_graph=True, allow_unused=True)
            captioned = torch.autograd.grad(output.caption_loss, wanted, allow_unused=True)
        model.train(was_training)
        pairs = [(a, c) for a, c in zip(aligned, captioned, strict=True) if a is not None and c is not None]
        return compare(pairs, model.config.alpha)


def compare(pairs: list[tuple[Tensor, Tensor]], alpha: float) -> dict[str, float]:
    """Compare the gradients of the alignment and the caption loss, parameter by parameter."""
    dot = sum(float((a.double() * c.double()).sum()) for a, c in pairs)
    align = sum(float(a.double().square().sum()) for a, _ in pairs) ** 0.5
    cap = sum(float(c.double().square().sum()) for _, c in pairs) ** 0.5
    return {
        "gradient_ratio": alpha * align / cap if cap else 0.0,
        "gradient_cosine": dot / (align * cap) if align and cap else 0.0,
    }
