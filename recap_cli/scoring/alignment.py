"""Pooled music and lyrics vectors to measures of alignment: cosines, collapse, retrieval both ways."""

from dataclasses import dataclass

import numpy as np

from recap_cli.errors import DataError

# Cosines this close are a tie: equal vectors come out of a matrix product up to 1e-15 apart.
TIE = 1e-9

# Similarities are held for this many queries at a time; a pool of 20,000 songs takes 160 MB.
QUERY_BLOCK = 1024


@dataclass(frozen=True)
class Retrieval:
    """How well each query finds its one partner among all songs of the pool (as MusCALL and TTMR report it).

    Attributes:
        recall_at_1: share of queries whose partner comes first, 0 to 1.
        recall_at_5: share whose partner is among the first five.
        recall_at_10: share whose partner is among the first ten.
        map_at_10: mean of 1 / rank, 0 beyond rank 10; with one partner this is the mean average precision.
        median_rank: median rank of the partner, 1 is best.
    """

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    map_at_10: float
    median_rank: float


@dataclass(frozen=True)
class Spread:
    """How far the unit vectors of one side fill their space.

    Attributes:
        deviation: standard deviation over songs times sqrt(width), averaged over dimensions; about 1 is healthy,
            below 0.2 is collapsed (VICReg, arXiv 2105.04906, looks at the same figure).
        cosine: mean cosine of different songs; near 1 when all vectors point one way.
        uniformity: log of the mean of exp(-2 d^2) over pairs of different songs at distance d; 0 is collapsed, lower
            is more even (Wang and Isola, arXiv 2005.10242).
        effective_rank: exp of the entropy of the shares of variance, 1 to the width (Roy and Vetterli 2007).
    """

    deviation: float
    cosine: float
    uniformity: float
    effective_rank: float


@dataclass(frozen=True)
class AlignmentMeasures:
    """Alignment of music and lyrics over a pool of songs; cosines run from -1 to 1.

    Attributes:
        matched: mean cosine of a song's music and its own lyrics.
        mismatched: mean cosine of a song's music and another song's lyrics.
        gap: matched minus mismatched; near 0 when either side has collapsed, however high both are.
        modality_gap: distance of the two sides' mean unit vectors, 0 to 2 (Liang et al., arXiv 2203.02053).
        music: spread of the music side.
        lyrics: spread of the lyrics side.
        music_to_lyrics: lyrics found from music.
        lyrics_to_music: music found from lyrics.
        chance: what random order gives, either way.
        pool: number of songs.
    """

    matched: float
    mismatched: float
    gap: float
    modality_gap: float
    music: Spread
    lyrics: Spread
    music_to_lyrics: Retrieval
    lyrics_to_music: Retrieval
    chance: Retrieval
    pool: int


def measure_alignment(music: np.ndarray, lyrics: np.ndarray) -> AlignmentMeasures:
    """Measure how music and lyrics of the same songs lie to each other.

    Args:
        music: pooled music vectors [songs, width], any length.
        lyrics: pooled, projected lyrics vectors [songs, width], row by row the same songs.

    Raises:
        DataError: shapes differ, fewer than two songs, a value that is not finite, or a vector of length 0.
    """
    music, lyrics = unit_vectors(music, "music"), unit_vectors(lyrics, "lyrics")
    if music.shape != lyrics.shape:
        raise DataError(f"Music vectors {music.shape} and lyrics vectors {lyrics.shape} do not match in shape.")
    if len(music) < 2:
        raise DataError("Alignment needs at least two songs to compare.", "Measure on a larger split.")
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
    """Give the mean cosine of matched and of mismatched pairs, all songs by all others.

    Args:
        music: unit vectors [songs, width].
        lyrics: unit vectors [songs, width].
    """
    songs = len(music)
    matched = float(np.einsum("sw,sw->", music, lyrics))
    everything = float(music.sum(axis=0) @ lyrics.sum(axis=0))
    return matched / songs, (everything - matched) / (songs * (songs - 1))


def song_gaps(music: np.ndarray, lyrics: np.ndarray) -> np.ndarray:
    """Give each song's part of the gap [songs]: the cosine of its music and its own lyrics minus its mean with others.

    Args:
        music: vectors [songs, width], any length.
        lyrics: vectors of the same songs [songs, width].
    """
    music, lyrics = unit_vectors(music, "music"), unit_vectors(lyrics, "lyrics")
    matched = np.einsum("sw,sw->s", music, lyrics)
    everything = music @ lyrics.sum(axis=0)
    return matched - (everything - matched) / (len(music) - 1)


def measure_spread(vectors: np.ndarray) -> Spread:
    """Measure how unit vectors [songs, width] spread over songs."""
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
    """Rank each query's partner, the target in the same row, among all targets.

    A target as near as the partner counts as nearer, so a model that maps all songs to one vector ranks last.

    Args:
        queries: unit vectors [songs, width].
        targets: unit vectors [songs, width].

    Returns:
        Ranks from 1 to the number of songs [songs].
    """
    ranks = []
    for start in range(0, len(queries), QUERY_BLOCK):
        cosines = queries[start : start + QUERY_BLOCK] @ targets.T
        rows = np.arange(len(cosines))
        partner = cosines[rows, start + rows]
        ranks.append(np.count_nonzero(cosines >= partner[:, None] - TIE, axis=1))
    return np.concatenate(ranks)


def retrieval_from_ranks(ranks: np.ndarray) -> Retrieval:
    """Sum up ranks of partners [songs], each from 1."""
    return Retrieval(
        recall_at_1=float(np.mean(ranks <= 1)),
        recall_at_5=float(np.mean(ranks <= 5)),
        recall_at_10=float(np.mean(ranks <= 10)),
        map_at_10=float(np.where(ranks <= 10, 1.0 / ranks, 0.0).mean()),
        median_rank=float(np.median(ranks)),
    )


def chance_retrieval(pool: int) -> Retrieval:
    """Give what random order gives in a pool of songs: partners at all ranks alike."""
    return retrieval_from_ranks(np.arange(1, pool + 1))


def unit_vectors(vectors: np.ndarray, side: str) -> np.ndarray:
    """Scale each row [songs, width] to length 1, in double precision.

    Raises:
        DataError: no table, a value that is not finite, or a vector of length 0.
    """
    vectors = np.asarray(vectors, dtype=float)
    if vectors.ndim != 2:
        raise DataError(f"The {side} vectors must be a table [songs, width], not of shape {vectors.shape}.")
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise DataError(f"The {side} vector of row {row} holds a value that is not a number.")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        raise DataError(f"The {side} vector of row {int(np.argmin(lengths))} has length 0 and no direction.")
    return vectors / lengths
