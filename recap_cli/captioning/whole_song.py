"""A whole song: the music of all its windows, encoded a few at a time, becomes one row of music states."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from recap_cli.audio.decode import SILENT
from recap_cli.captioning.caption_input import HeardAudio
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.music_encoder import TIME_STRIDE
from recap_cli.processor import RecapProcessor, pad_mels

AT_ONCE = 4  # windows


def encode_windows(
    model: RecapForCaptioning, processor: RecapProcessor, windows: Iterator[tuple[HeardAudio, float]]
) -> HeardAudio:
    """Encode a song's windows and join their states; only a few windows are in memory at a time.

    The part of the last window that was heard before gives it context, and then its states are dropped, so that no
    second of the song counts twice and a short rest is never encoded alone.

    Args:
        model: has a music encoder.
        processor: the model's own.
        windows: what was heard, and how many seconds at its start the window before holds, too.

    Returns:
        What was heard in all, with music states [windows x steps, width] and no mel.
    """
    encoder, settings = model.model.encoder.music_encoder, processor.audio
    step = TIME_STRIDE * settings.hop / settings.sample_rate  # seconds
    kept: list[np.ndarray] = []
    heard: list[tuple[dict[str, float], tuple[str, ...]]] = []
    while several := list(islice(windows, AT_ONCE)):
        batch = pad_mels([window.mel for window, _ in several], settings)
        with torch.inference_mode():
            states, mask = encoder(batch["mel"].to(model.device), batch["mel_mask"].to(model.device))
        for (window, repeated), rows, steps in zip(
            several, states.cpu().numpy(), mask.sum(dim=1).tolist(), strict=True
        ):
            known = round(repeated / step)
            # the first state stands for the whole window: a window that is mostly known has none of its own
            kept.append(rows[1 + known : steps] if known else rows[:steps])
            heard.append((window.excerpt, window.warnings))
    last = heard[-1][0]
    excerpt = {"start": 0.0, "seconds": round(last["start"] + last["seconds"], 3), "windows": len(heard)}
    warnings = dict.fromkeys(text for _, texts in heard for text in texts if text != SILENT)
    if all(SILENT in texts for _, texts in heard):
        warnings[SILENT] = None
    return HeardAudio(np.zeros((settings.mels, 0), np.float32), excerpt, tuple(warnings), np.concatenate(kept))
