"""Bounds on the information that music and lyrics vectors share, judged on songs that fitted nothing."""

from dataclasses import dataclass

import numpy as np

from recap_cli.errors import DataError
from recap_cli.scoring.alignment import unit_vectors

TEMPERATURES = tuple(2.0**power for power in range(-7, 2))
COMPONENTS = 32
# Fitting songs for each principal component, so that a Gaussian of all of them can be fitted.
SONGS_PER_COMPONENT = 10
SHRINKAGE = 0.05
# A bound from a pool of N songs compares N x N pairs; beyond this its ceiling grows too slowly to pay.
LARGEST_POOL = 2000


@dataclass(frozen=True)
class InformationBounds:
    """What music and lyrics vectors tell of each other, in nats.

    Attributes:
        infonce: lower bound log N - InfoNCE loss of music picking its lyrics (van den Oord et al., arXiv 1807.03748).
        ceiling: log N, which `infonce` cannot pass whatever the truth is.
        temperature: of the cosines in `infonce`, chosen on songs of neither side.
        club: upper bound (Cheng et al., arXiv 2006.12013) in the leading principal components. It is a bound as far as
            the Gaussian of lyrics given music, fitted on other songs, is right.
        components: how many of them.
        pool: N, the held-out songs.
        fitted: songs that temperature and Gaussian were fitted on.
    """

    infonce: float
    ceiling: float
    temperature: float
    club: float
    components: int
    pool: int
    fitted: int


Sides = tuple[np.ndarray, np.ndarray]


def bound_information(fitting: Sides, choosing: Sides, held_out: Sides) -> InformationBounds:
    """Bound the information between music and lyrics from below and above.

    Args:
        fitting: music [songs, width] and lyrics [songs, width] of songs that fit CLUB's Gaussian; the model's training
            songs may serve.
        choosing: those of songs that choose InfoNCE's temperature; the model must not have been trained on them, or the
            temperature is too low.
        held_out: those of the songs that are judged.

    Raises:
        DataError: fewer than two songs on any side, or vectors that cannot be used.
    """
    if min(len(side) for songs in (fitting, choosing, held_out) for side in songs) < 2:
        raise DataError("Information bounds need at least two songs to fit and two to judge.", "Use a larger split.")
    (fit_music, fit_lyrics), tried, (music, lyrics) = (
        (unit_vectors(songs[0], "music"), unit_vectors(songs[1], "lyrics")) for songs in (fitting, choosing, held_out)
    )
    music, lyrics = music[:LARGEST_POOL], lyrics[:LARGEST_POOL]
    head = slice(0, LARGEST_POOL)
    temperature = max(TEMPERATURES, key=lambda t: infonce_bound(tried[0][head], tried[1][head], t))
    components = max(1, min(COMPONENTS, music.shape[1], len(fit_music) // SONGS_PER_COMPONENT))
    return InformationBounds(
        infonce=infonce_bound(music, lyrics, temperature),
        ceiling=float(np.log(len(music))),
        temperature=temperature,
        club=club_bound(fit_music, fit_lyrics, music, lyrics, components),
        components=components,
        pool=len(music),
        fitted=len(fit_music),
    )


def infonce_bound(music: np.ndarray, lyrics: np.ndarray, temperature: float) -> float:
    """Give log N - InfoNCE loss in nats, for unit vectors [songs, width]; any temperature gives a valid lower bound."""
    scores = music @ lyrics.T / temperature
    highest = scores.max(axis=1, keepdims=True)
    spread = highest[:, 0] + np.log(np.exp(scores - highest).sum(axis=1))
    return float(np.log(len(music)) + np.mean(np.diag(scores) - spread))


def club_bound(
    fit_music: np.ndarray, fit_lyrics: np.ndarray, music: np.ndarray, lyrics: np.ndarray, components: int
) -> float:
    """Give CLUB in nats: mean log q(lyrics | own music) minus mean log q(lyrics | any music).

    q is Gaussian: a ridge regression on the leading principal components of both sides, one covariance for all songs.

    Args:
        fit_music: [fitting songs, width].
        fit_lyrics: [fitting songs, width].
        music: held-out songs [songs, width].
        lyrics: held-out songs [songs, width].
        components: principal components kept a side.
    """
    x_fit, x = _principal(fit_music, music, components)
    y_fit, y = _principal(fit_lyrics, lyrics, components)
    weights = np.linalg.solve(x_fit.T @ x_fit + np.eye(x_fit.shape[1]), x_fit.T @ y_fit)
    rest = y_fit - x_fit @ weights
    covariance = rest.T @ rest / len(rest)
    scale = np.trace(covariance) / len(covariance)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * max(scale, 1e-12) * np.eye(len(covariance))
    precision = np.linalg.inv(covariance)
    own, around = y - x @ weights, y.mean(axis=0) - x @ weights
    matched = np.einsum("sc,cd,sd->s", own, precision, own).mean()
    anyone = np.einsum("sc,cd,sd->s", around, precision, around).mean() + np.trace(
        precision @ np.cov(y, rowvar=False, bias=True).reshape(precision.shape)
    )
    return float((anyone - matched) / 2)


def _principal(fit: np.ndarray, other: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Give both tables in the leading principal components of the first, scaled to its deviations."""
    mean = fit.mean(axis=0)
    _, deviations, directions = np.linalg.svd(fit - mean, full_matrices=False)
    kept = min(components, int(np.count_nonzero(deviations > 1e-9))) or 1
    scale = np.maximum(deviations[:kept], 1e-9) / np.sqrt(len(fit))
    return (fit - mean) @ directions[:kept].T / scale, (other - mean) @ directions[:kept].T / scale
