"""From several channels to one: their mean, or, where channels cancel each other, the mean without those that do."""

import numpy as np

CANCELLED = (
    0.2  # of two channels' energy left in their sum; 1 where they have nothing in common, 2 where they are equal
)
LONGEST_CANCELLED = 0.1  # of the passage's time
LOUD = 0.1  # of the passage's mean energy, below which a moment says nothing
MOST_CHANNELS = 16  # that are compared with each other; more are no recording of music
FEW = 7  # columns, up to which NumPy adds a row from left to right
STEP = 8192  # frames that are looked at together
CANCELLING = "the channels cancel each other: heard without channel {}"


def mix_down(channels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns one channel and what a user should know of it.

    It is the mean of the channels. Where two of them are nearly opposite, so that less than a fifth of their energy is
    left in their sum (a correlation below -0.8), for the whole passage or a tenth of its time, that mean would be
    silence or what a lossy coder left over; there the quieter of the two is left out of the mean, with a warning.

    Args:
        channels: float32 `[frames, channels]`.
    """
    count = channels.shape[1]
    with np.errstate(invalid="ignore", over="ignore"):
        dropped = cancelling(channels) if 1 < count <= MOST_CHANNELS else []
        if not dropped:
            return mean_of(channels), ()
        kept = [number for number in range(count) if number not in dropped]
        names = " and ".join(str(number + 1) for number in sorted(dropped))
        return mean_of(channels[:, kept]), (CANCELLING.format(names),)


def mean_of(channels: np.ndarray) -> np.ndarray:
    """Returns `channels.mean(axis=1)` to the bit; a few long columns are added much faster than many short rows."""
    count = channels.shape[1]
    if count > FEW:
        return channels.mean(axis=1)
    total = channels[:, 0] + np.float32(0)  # NumPy begins with 0, too, which turns -0 into 0
    for number in range(1, count):
        total += channels[:, number]
    return total / np.float32(count) if count > 1 else total


def cancelling(channels: np.ndarray) -> list[int]:
    """Returns the channels to leave out, so that no two are left that cancel each other; damaged samples leave none."""
    products = energy_products(channels)
    energies = np.diagonal(products, axis1=1, axis2=2)
    pairs = energies[:, :, None] + energies[:, None, :]
    little = pairs + 2 * products < CANCELLED * pairs
    loud = pairs > LOUD * energies.sum(axis=1).mean()
    for_long = (little & loud).mean(axis=0) >= LONGEST_CANCELLED
    total, whole = products.sum(axis=0), pairs.sum(axis=0)
    in_all = (whole + 2 * total < CANCELLED * whole) & (whole > LOUD * np.trace(total))
    opposite = for_long | in_all
    dropped: list[int] = []
    for number in np.argsort(np.diagonal(total), kind="stable"):  # the quietest goes first
        others = [other for other in np.flatnonzero(opposite[number]) if other not in dropped]
        if others:
            dropped.append(int(number))
    return dropped


def energy_products(channels: np.ndarray) -> np.ndarray:
    """Returns each moment's sums of products of two channels, float32 `[moments, channels, channels]`."""
    whole = len(channels) // STEP * STEP
    moments = channels[:whole].reshape(-1, STEP, channels.shape[1])
    rest = channels[whole:]
    return np.concatenate([moments.transpose(0, 2, 1) @ moments, (rest.T @ rest)[None]])
