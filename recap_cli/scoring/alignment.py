"""Pooled music and lyrics vectors to measures of alignment: cosines, collapse, retrieval, bounds on information."""

from dataclasses import dataclass

import numpy as np

from recap_cli.errors import DataError

# Cosines this close are a tie: equal vectors come out of a matrix product up to 1e-15 apart.
TIE = 1e-9

# Similarities are held for this many queries at a time; a pool of 20,000 songs takes 160 MB.
QUERY_BLOCK = 1024

TEMPERATURES = tuple(2.0**power for power in range(-7, 2))
COMPONENTS = 32
# Fitting songs for each principal component, so that a Gaussian of all of them can be fitted.
SONGS_PER_COMPONENT = 10
SHRINKAGE = 0.05
# A bound from a pool of N songs compares N x N pairs; beyond this its ceiling grows too slowly to pay.
LARGEST_POOL = 2000

# Music vectors [songs, width] and lyrics vectors [songs, width] of the same songs.
Sides = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Retrieval:
    """How well each query finds its one partner among all songs of the pool (as MusCALL and TTMR report it)."""

    recall_at_1: float  # share of queries whose partner comes first, 0 to 1
    recall_at_5: float
    recall_at_10: float
    map_at_10: float  # mean of 1 / rank, 0 beyond rank 10; with one partner this is the mean average precision
    median_rank: float  # of the partner, 1 is best


@dataclass(frozen=True)
class Spread:
    """How far the unit vectors of one side fill their space."""

    # Standard deviation over songs times sqrt(width), averaged over dimensions; about 1 is healthy, below 0.2 is
    # collapsed (VICReg, arXiv 2105.04906, looks at the same figure).
    deviation: float
    cosine: float  # mean cosine of different songs; near 1 when all vectors point one way
    # Log of the mean of exp(-2 d^2) over pairs of different songs at distance d; 0 is collapsed, lower is more even
    # (Wang and Isola, arXiv 2005.10242).
    uniformity: float
    effective_rank: float  # exp of the entropy of the shares of variance, 1 to the width (Roy and Vetterli 2007)


@dataclass(frozen=True)
class AlignmentMeasures:
    """Alignment of music and lyrics over a pool of songs; cosines run from -1 to 1."""

    matched: float  # mean cosine of a song's music and its own lyrics
    mismatched: float  # mean cosine of a song's music and another song's lyrics
    gap: float  # matched minus mismatched; near 0 when either side has collapsed, however high both are
    modality_gap: float  # distance of the two sides' mean unit vectors, 0 to 2 (Liang et al., arXiv 2203.02053)
    music: Spread
    lyrics: Spread
    music_to_lyrics: Retrieval
    lyrics_to_music: Retrieval
    chance: Retrieval  # what random order gives, either way
    pool: int  # number of songs


@dataclass(frozen=True)
class InformationBounds:
    """What music and lyrics vectors tell of each other, in nats, judged on songs that fitted nothing."""

    # Lower bound log N - InfoNCE loss of music picking its lyrics (van den Oord et al., arXiv 1807.03748).
    infonce: float
    ceiling: float  # log N, which `infonce` cannot pass whatever the truth is
    temperature: float  # of the cosines in `infonce`, chosen on songs of neither side
    # Upper bound (Cheng et al., arXiv 2006.12013) in the leading principal components. It is a bound as far as the
    # Gaussian of lyrics given music, fitted on other songs, is right.
    club: float
    components: int
    pool: int  # N, the held-out songs
    fitted: int  # songs that temperature and Gaussian were fitted on


def measure_alignment(music: np.ndarray, lyrics: np.ndarray) -> AlignmentMeasures:
    """Measures how projected music and lyrics vectors [songs, width], of any length, lie to each other.

    Raises:
        DataError: shapes differ, fewer than two songs, a value that is not finite, or a vector of length 0.
    """
    music, lyrics = unit_vectors(music, "music"), unit_vectors(lyrics, "lyrics")
    if music.shape != lyrics.shape:
        raise DataError(f"Music vectors {music.shape} and lyrics vectors {lyrics.shape} do not match in shape")
    if len(music) < 2:
        raise DataError("Alignment needs at least two songs to compare", "measure on a larger split")
    matched, mismatched = cosine_means(music, lyrics)
    return AlignmentMeasures(
        matched=matched,
        mismatched=mismatched,
        gap=matched - mismatched,
        modality_gap=float(np.linalg.norm(music.mean(axis=0) - lyrics.mean(axis=0))),
        music=measure_spread(music),
        lyrics=measure_spread(lyrics),
        music_to_lyrics=retrieval_from_ranks(partner_ranks(music, lyrics)),
        lyrics_to_music=retrieval_from_ranks(partner_ranks(lyrics, music)),
        chance=chance_retrieval(len(music)),
        pool=len(music),
    )


def cosine_means(music: np.ndarray, lyrics: np.ndarray) -> tuple[float, float]:
    """Returns the mean cosine of matched and of mismatched pairs of unit vectors, all songs by all others."""
    songs = len(music)
    matched = float(np.einsum("sw,sw->", music, lyrics))
    everything = float(music.sum(axis=0) @ lyrics.sum(axis=0))
    return matched / songs, (everything - matched) / (songs * (songs - 1))


def song_gaps(music: np.ndarray, lyrics: np.ndarray) -> np.ndarray:
    """Returns each song's part of the gap [songs]: the cosine of its two sides minus its music's mean with others."""
    music, lyrics = unit_vectors(music, "music"), unit_vectors(lyrics, "lyrics")
    matched = np.einsum("sw,sw->s", music, lyrics)
    everything = music @ lyrics.sum(axis=0)
    return matched - (everything - matched) / (len(music) - 1)


def measure_spread(vectors: np.ndarray) -> Spread:
    """Measures how unit vectors [songs, width] spread over songs."""
    songs = len(vectors)
    cosine = float(np.sum(vectors.sum(axis=0) ** 2) - songs) / (songs * (songs - 1))
    shares = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
    # What rounding leaves of equal vectors is no variance.
    shares = shares[shares > 1e-12 * songs]
    shares = shares / shares.sum() if len(shares) else np.ones(1)
    near = 0.0
    for start in range(0, songs, QUERY_BLOCK):
        near += float(np.exp(-4 * (1 - vectors[start : start + QUERY_BLOCK] @ vectors.T)).sum())
    return Spread(
        deviation=float(vectors.std(axis=0).mean() * np.sqrt(vectors.shape[1])),
        cosine=cosine,
        uniformity=float(np.log((near - songs) / (songs * (songs - 1)))),
        effective_rank=float(np.exp(-np.sum(shares * np.log(shares)))),
    )


def partner_ranks(queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the rank of each query's partner, the target in the same row, among all targets [songs], 1 is best.

    A target as near as the partner counts as nearer, so a model that maps all songs to one vector ranks last.
    """
    ranks = []
    for start in range(0, len(queries), QUERY_BLOCK):
        cosines = queries[start : start + QUERY_BLOCK] @ targets.T
        rows = np.arange(len(cosines))
        partner = cosines[rows, start + rows]
        ranks.append(np.count_nonzero(cosines >= partner[:, None] - TIE, axis=1))
    return np.concatenate(ranks)


def retrieval_from_ranks(ranks: np.ndarray) -> Retrieval:
    """Sums up ranks of partners [songs], each from 1."""
    return Retrieval(
        recall_at_1=float(np.mean(ranks <= 1)),
        recall_at_5=float(np.mean(ranks <= 5)),
        recall_at_10=float(np.mean(ranks <= 10)),
        map_at_10=float(np.where(ranks <= 10, 1.0 / ranks, 0.0).mean()),
        median_rank=float(np.median(ranks)),
    )


def chance_retrieval(pool: int) -> Retrieval:
    """Returns what random order gives in a pool of songs: partners at all ranks alike."""
    return retrieval_from_ranks(np.arange(1, pool + 1))


def unit_vectors(vectors: np.ndarray, side: str) -> np.ndarray:
    """Returns each row [songs, width] scaled to length 1, in double precision.

    Raises:
        DataError: no table, a value that is not finite, or a vector of length 0.
    """
    vectors = np.asarray(vectors, dtype=float)
    if vectors.ndim != 2:
        raise DataError(f"The {side} vectors must be a table [songs, width], not of shape {vectors.shape}")
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise DataError(f"The {side} vector of row {row} holds a value that is not a number")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        raise DataError(f"The {side} vector of row {int(np.argmin(lengths))} has length 0 and no direction")
    return vectors / lengths


def bound_information(fitting: Sides, choosing: Sides, held_out: Sides) -> InformationBounds:
    """Bounds the information between music and lyrics from below and above.

    Args:
        fitting: songs that fit CLUB's Gaussian; the model's training songs may serve.
        choosing: songs that choose InfoNCE's temperature; the model must not have been trained on them, or the
            temperature is too low.
        held_out: the songs that are judged.

    Raises:
        DataError: fewer than two songs on any side, or vectors that cannot be used.
    """
    if min(len(side) for songs in (fitting, choosing, held_out) for side in songs) < 2:
        raise DataError("Information bounds need at least two songs to fit and two to judge", "use a larger split")
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
    """Returns log N - InfoNCE loss in nats, for unit vectors [songs, width]; a valid lower bound at any temperature."""
    scores = music @ lyrics.T / temperature
    highest = scores.max(axis=1, keepdims=True)
    spread = highest[:, 0] + np.log(np.exp(scores - highest).sum(axis=1))
    return float(np.log(len(music)) + np.mean(np.diag(scores) - spread))


def club_bound(
    fit_music: np.ndarray, fit_lyrics: np.ndarray, music: np.ndarray, lyrics: np.ndarray, components: int
) -> float:
    """Returns CLUB in nats: mean log q(lyrics | own music) minus mean log q(lyrics | any music).

    q is Gaussian: a ridge regression on the leading principal components of both sides, one covariance for all songs.
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
    """Returns both tables in the leading principal components of the first, scaled to its deviations."""
    mean = fit.mean(axis=0)
    _, deviations, directions = np.linalg.svd(fit - mean, full_matrices=False)
    kept = min(components, int(np.count_nonzero(deviations > 1e-9))) or 1
    scale = np.maximum(deviations[:kept], 1e-9) / np.sqrt(len(fit))
    return (fit - mean) @ directions[:kept].T / scale, (other - mean) @ directions[:kept].T / scale
