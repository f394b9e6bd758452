"""musicnn: convolutions of musical shape that give each 3 s of a song tags; log-mel in, their probabilities out.

After Pons and Serra 2019 ("musicnn: Pre-trained convolutional neural networks for music audio tagging"), with the
weights of the package musicnn 0.1.0 under the ISC licence (`recap_cli/data/musicnn/LICENSE`). `tests/make_musicnn.py`
converts them and leaves out what they never use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from recap_cli.audio.settings import MUSICNN_TAGS, MUSICNN_WINDOW

WEIGHTS = Path(__file__).parents[1] / "data" / "musicnn" / "musicnn.safetensors"
WINDOWS_AT_ONCE = 4  # some 40 MB
TIMBRAL = ((7, 38), (7, 67))  # frames and mel bands of the filters that hear timbre
TEMPORAL = (128, 64, 32)  # frames of those that hear rhythm, in one band at a time
MID = 7  # frames of the filters behind them
CHANNELS = 64  # of these
UNITS = 200
# Trained on tags of the Million Song Dataset (by listeners), and on MagnaTagATune's (by players of a game).
TAGS = {
    "msd": (
        *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s"),
        *("alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock"),
        *("soul", "indie rock", "mellow", "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk"),
        *("oldies", "blues", "hard rock", "ambient", "acoustic", "experimental", "female vocalist", "guitar"),
        *("hip-hop", "70s", "party", "country", "easy listening", "sexy", "catchy", "funk", "electro"),
        *("heavy metal", "progressive rock", "60s", "rnb", "indie pop", "sad", "house", "happy"),
    ),
    "mtt": (
        *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano"),
        *("ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing"),
        *("vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal"),
        *("pop", "soft", "sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice"),
        *("female vocal", "beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice"),
        "choral",
    ),
}


@dataclass(frozen=True)
class TaggerSizes:
    """How many filters of a tagger say anything; those that training left without weights are not kept."""

    timbral: tuple[int, int]  # of 204 each
    temporal: tuple[int, int, int]  # of 51 each
    mid: int  # of the first 64


SIZES = {"msd": TaggerSizes((23, 14), (3, 7, 17), 20), "mtt": TaggerSizes((113, 81), (37, 31, 46), 21)}


class Affine(nn.Module):
    """A batch norm with its figures of training: a factor and a summand for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, sound: Tensor) -> Tensor:
        """Transforms [batch, channels, ...]."""
        shape = (-1, *[1] * (sound.dim() - 2))
        return sound * self.weight.view(shape) + self.bias.view(shape)


class FrontFilter(nn.Module):
    """Filters on the mel, the strongest answer over its bands: [batch, 1, frames, mels] to [batch, count, frames]."""

    def __init__(self, count: int, frames: int, mels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, count, (frames, mels))
        self.norm = Affine(count)
        self.padding = (0, 0, (frames - 1) // 2, frames // 2)  # as many frames out as in

    def forward(self, mel: Tensor) -> Tensor:
        """Returns a curve for each filter."""
        answers = self.conv(functional.pad(mel, self.padding))
        # The strongest is what the norm makes of the highest, or of the lowest where its factor is negative: so only
        # one value a frame goes through relu and norm.
        falls = (self.norm.weight < 0)[:, None]
        return self.norm(torch.relu(torch.where(falls, answers.amin(dim=3), answers.amax(dim=3))))


class MidFilter(nn.Module):
    """Filters over all curves and 7 frames: [batch, channels, frames] to [batch, count, frames]."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels + 1, count, MID, padding=MID // 2)
        self.norm = Affine(count)

    def forward(self, curves: Tensor) -> Tensor:
        """Returns a curve for each filter.

        The channel of ones stands for all curves that never change, which are not kept: unlike a bias it ends where the
        window does, as they did.
        """
        ones = curves.new_ones(len(curves), 1, curves.shape[2])
        return self.norm(torch.relu(self.conv(torch.cat([curves, ones], dim=1))))


class Tagger(nn.Module):
    """One of the two networks: windows [batch, mels, 187 frames] to logits of its tags [batch, 50]."""

    def __init__(self, sizes: TaggerSizes, tags: int) -> None:
        super().__init__()
        self.input_norm = Affine(1)
        shapes = (*TIMBRAL, *((frames, 1) for frames in TEMPORAL))
        counts = (*sizes.timbral, *sizes.temporal)
        self.front = nn.ModuleList(FrontFilter(count, *shape) for count, shape in zip(counts, shapes, strict=True))
        front = sum(counts)
        self.mid_1 = MidFilter(front, sizes.mid)
        self.mid_2 = MidFilter(sizes.mid, CHANNELS)
        self.mid_3 = MidFilter(CHANNELS, CHANNELS)
        self.dense = nn.Linear(2 * (front + sizes.mid + 2 * CHANNELS), UNITS)
        self.out = nn.Linear(UNITS, tags)

    def forward(self, mel: Tensor) -> Tensor:
        """Returns the logits."""
        logits: Tensor = self.out(self.represent(mel))
        return logits

    def represent(self, mel: Tensor) -> Tensor:
        """Returns what the last layer takes, 0 or above [batch, 200]."""
        sound = self.input_norm(mel.transpose(1, 2).unsqueeze(1))
        front = torch.cat([filters(sound) for filters in self.front], dim=1)
        first = self.mid_1(front)
        # the first of its channels are those that `first` has; what is constant in the others is in its summands
        second = self.mid_2(first) + functional.pad(first, (0, 0, 0, CHANNELS - first.shape[1]))
        curves = torch.cat([front, first, second, self.mid_3(second) + second], dim=1)
        pooled = torch.cat([curves.amax(dim=2), curves.mean(dim=2)], dim=1)
        return torch.relu(self.dense(pooled))


class Musicnn(nn.Module):
    """The music encoder that both taggers make: a music state for each 3 s, the probabilities of 100 tags.

    The tags did better as states than the 400 numbers before them: a captioner on few songs has less to learn.
    Windows follow each other as in the original. A rest of half a window or more has a window of its own, which is
    moved back until it is full; a shorter rest is left out. A song shorter than a window is filled with silence.
    """

    width = MUSICNN_TAGS
    summaries = 0  # music states that stand for the whole

    def __init__(self) -> None:
        super().__init__()
        self.taggers = nn.ModuleDict({name: Tagger(SIZES[name], len(tags)) for name, tags in TAGS.items()})

    def forward(self, mel: Tensor, mel_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns music states [batch, windows, 100], from 0 to 1, and their mask [batch, windows].

        Args:
            mel: log-mel [batch, 96 mels, frames], as `recap_cli.audio.mel.log_mel` makes it for musicnn.
            mel_mask: 1 for real frames, 0 for padding [batch, frames]; None when nothing is padded.
        """
        lengths = [mel.shape[2]] * len(mel) if mel_mask is None else mel_mask.sum(dim=1).tolist()
        windows = torch.stack([one for song, frames in zip(mel, lengths, strict=True) for one in cut(song, frames)])
        logits = [self.tag(some) for some in windows.split(WINDOWS_AT_ONCE)]
        counts = [self.steps(frames) for frames in lengths]
        mask = torch.arange(max(counts), device=mel.device) < torch.tensor(counts, device=mel.device)[:, None]
        states = mel.new_zeros(*mask.shape, self.width)
        states[mask] = torch.sigmoid(torch.cat(logits)).to(states.dtype)
        return states, mask.long()

    def tag(self, windows: Tensor) -> Tensor:
        """Returns the logits of all tags [windows, 100] of windows [windows, 96 mels, 187 frames]."""
        return torch.cat([tagger(windows) for tagger in self.taggers.values()], dim=1)

    def tagger(self, name: str) -> Tagger:
        """Returns one of the two, `msd` or `mtt`."""
        found = self.taggers[name]
        assert isinstance(found, Tagger)
        return found

    @staticmethod
    def steps(frames: int) -> int:
        """Returns how many music states a mel of so many frames gives."""
        return max(1, (frames + MUSICNN_WINDOW // 2) // MUSICNN_WINDOW)


def cut(mel: Tensor, frames: int) -> Sequence[Tensor]:
    """Returns the windows [mels, 187] of the first `frames` of a song's mel [mels, all frames]."""
    mel = functional.pad(mel[:, :frames], (0, max(0, MUSICNN_WINDOW - frames)))
    last = mel.shape[1] - MUSICNN_WINDOW
    starts = (min(window * MUSICNN_WINDOW, last) for window in range(Musicnn.steps(frames)))
    return [mel[:, start : start + MUSICNN_WINDOW] for start in starts]


def load_musicnn() -> Musicnn:
    """Returns the music encoder with the packaged weights, in eval mode."""
    encoder = Musicnn()
    encoder.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return encoder.eval()
