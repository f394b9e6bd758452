import numpy as np
import pytest

from recap_cli.errors import DataError
from recap_cli.scoring import alignment
from recap_cli.scoring.alignment import (
    bound_information,
    chance_retrieval,
    club_bound,
    infonce_bound,
    measure_alignment,
    partner_ranks,
    retrieval_from_ranks,
    song_gaps,
)


def pair(songs=40, width=8, noise=0.7, seed=0):
    rng = np.random.default_rng(seed)
    music = rng.normal(size=(songs, width))
    return music, music + noise * rng.normal(size=(songs, width))


def test_three_songs_by_hand():
    # Cosines, music by lyrics: [[.6, 1, .8], [.8, 0, .6], [.6, 1, .8]]
    music = np.array([[2.0, 0.0], [0.0, 1.0], [5.0, 0.0]])
    lyrics = np.array([[3.0, 4.0], [7.0, 0.0], [0.8, 0.6]])
    measures = measure_alignment(music, lyrics)
    assert measures.matched == pytest.approx((0.6 + 0.0 + 0.8) / 3)
    assert measures.mismatched == pytest.approx((1.0 + 0.8 + 0.8 + 0.6 + 0.6 + 1.0) / 6)
    assert measures.gap == pytest.approx(1.4 / 3 - 4.8 / 6)
    # Ranks from music 3, 3, 2; from lyrics 3 (.6 twice, .8), 3, 2 (.8 twice: the tie counts against).
    found = measures.music_to_lyrics
    assert (found.recall_at_1, found.recall_at_5, found.median_rank) == (0.0, 1.0, 3.0)
    assert found.map_at_10 == pytest.approx((1 / 3 + 1 / 3 + 1 / 2) / 3)
    assert list(
        partner_ranks(lyrics / np.linalg.norm(lyrics, axis=1)[:, None], np.array([[1, 0], [0, 1], [1, 0]]))
    ) == [
        3,
        3,
        2,
    ]
    # Music x: 1, 0, 1 and y: 0, 1, 0, each of deviation sqrt(2) / 3; times sqrt(2 dimensions).
    assert measures.music.deviation == pytest.approx(2 / 3)
    assert measures.pool == 3


def test_measures_equal_the_plain_loops():
    music, lyrics = pair()
    measures = measure_alignment(music, lyrics)
    unit = [side / np.linalg.norm(side, axis=1)[:, None] for side in (music, lyrics)]
    cosines = [[float(song @ text) for text in unit[1]] for song in unit[0]]
    other = [cosines[i][j] for i in range(40) for j in range(40) if i != j]
    ranks = [1 + sum(cosines[i][j] >= cosines[i][i] for j in range(40) if j != i) for i in range(40)]
    back = [1 + sum(cosines[j][i] >= cosines[i][i] for j in range(40) if j != i) for i in range(40)]
    assert measures.mismatched == pytest.approx(np.mean(other))
    gaps = [cosines[i][i] - np.mean([cosines[i][j] for j in range(40) if j != i]) for i in range(40)]
    assert song_gaps(music, lyrics) == pytest.approx(np.array(gaps))
    assert np.mean(gaps) == pytest.approx(measures.gap)
    assert measures.music_to_lyrics == retrieval_from_ranks(np.array(ranks))
    assert measures.lyrics_to_music == retrieval_from_ranks(np.array(back))
    assert ranks != back
    deviations = [np.sqrt(np.mean((unit[1][:, d] - unit[1][:, d].mean()) ** 2)) for d in range(8)]
    assert measures.lyrics.deviation == pytest.approx(np.mean(deviations) * np.sqrt(8))
    pairs = [(unit[1][i], unit[1][j]) for i in range(40) for j in range(40) if i != j]
    assert measures.lyrics.cosine == pytest.approx(np.mean([a @ b for a, b in pairs]))
    assert measures.lyrics.uniformity == pytest.approx(
        np.log(np.mean([np.exp(-2 * sum((a - b) ** 2)) for a, b in pairs]))
    )
    assert measures.modality_gap == pytest.approx(np.linalg.norm(unit[0].mean(axis=0) - unit[1].mean(axis=0)))


def test_ranks_to_figures_by_hand():
    found = retrieval_from_ranks(np.array([1, 1, 2, 5, 6, 10, 11, 400]))
    assert (found.recall_at_1, found.recall_at_5, found.recall_at_10) == (2 / 8, 4 / 8, 6 / 8)
    assert found.map_at_10 == pytest.approx((1 + 1 + 1 / 2 + 1 / 5 + 1 / 6 + 1 / 10) / 8)
    assert found.median_rank == 5.5


def test_chance_is_the_share_of_the_pool():
    chance = chance_retrieval(200)
    assert (chance.recall_at_1, chance.recall_at_10, chance.median_rank) == (1 / 200, 10 / 200, 100.5)
    assert chance.map_at_10 == pytest.approx(sum(1 / rank for rank in range(1, 11)) / 200)
    assert chance_retrieval(4).recall_at_5 == 1.0


@pytest.mark.parametrize("scale", [1.0, 0.1, 1 / 3])
def test_collapse_shows_and_ties_count_against_the_model(scale):
    music, _ = pair()
    constant = np.tile(scale * music.mean(axis=0), (40, 1))
    measures = measure_alignment(music, constant)
    assert measures.lyrics.deviation == pytest.approx(0.0, abs=1e-9)
    assert (measures.lyrics.cosine, measures.lyrics.uniformity) == pytest.approx((1.0, 0.0))
    assert measures.lyrics.effective_rank == pytest.approx(1.0)
    assert measures.gap == pytest.approx(0.0, abs=1e-9)
    assert measures.music_to_lyrics.median_rank == 40
    assert measures.music_to_lyrics.recall_at_10 == 0.0


def test_isotropic_vectors_have_deviation_one():
    vectors = np.random.default_rng(0).normal(size=(4000, 64))
    spread = measure_alignment(vectors, vectors).music
    assert spread.deviation == pytest.approx(1.0, abs=0.02)
    assert spread.cosine == pytest.approx(0.0, abs=0.01)
    assert 60 < spread.effective_rank <= 64
    plane = measure_alignment(vectors[:, :2] @ np.eye(2, 64), vectors).music
    assert plane.effective_rank == pytest.approx(2.0, abs=0.01)


def test_perfect_alignment():
    music, _ = pair()
    measures = measure_alignment(music, 3 * music)
    assert measures.matched == pytest.approx(1.0)
    assert measures.lyrics_to_music.recall_at_1 == 1.0
    assert measures.gap > 0.9


def test_blocks_of_queries_change_nothing(monkeypatch):
    music, lyrics = pair()
    whole = measure_alignment(music, lyrics)
    monkeypatch.setattr(alignment, "QUERY_BLOCK", 7)
    parts = measure_alignment(music, lyrics)
    assert parts.music_to_lyrics == whole.music_to_lyrics
    assert vars(parts.lyrics) == pytest.approx(vars(whole.lyrics))


def damaged(value):
    music, lyrics = pair()
    lyrics[3] = value
    return music, lyrics


@pytest.mark.parametrize(
    ("music", "lyrics", "message"),
    [
        (*damaged(np.nan), "lyrics vector of row 3"),
        (*damaged(np.inf), "lyrics vector of row 3"),
        (*damaged(0.0), "row 3 has length 0"),
        (pair()[0], pair(width=9)[0], "do not match"),
        (pair()[0], pair(songs=39)[0], "do not match"),
        (pair()[0][0], pair()[0][0], "table"),
        (*pair(songs=1), "at least two songs"),
    ],
)
def test_bad_vectors_are_named(music, lyrics, message):
    with pytest.raises(DataError, match=message):
        measure_alignment(music, lyrics)


# information: bounds enclose what is known in closed form, and stop at their ceilings ---------------------------------


def correlated(songs, rho, width=4, seed=0):
    """Pairs of Gaussians, each dimension correlated by rho: I = -width / 2 * log(1 - rho^2)."""
    rng = np.random.default_rng(seed)
    music = rng.normal(size=(songs, width))
    return music, rho * music + np.sqrt(1 - rho**2) * rng.normal(size=(songs, width))


def split(music, lyrics, fitted):
    return music[:fitted], lyrics[:fitted], music[fitted:], lyrics[fitted:]


def bound(fit_music, fit_lyrics, music, lyrics):
    fitting = fit_music, fit_lyrics
    return bound_information(fitting, fitting, (music, lyrics))


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_bounds_enclose_the_truth(rho):
    """Unit vectors keep part of the information, so CLUB is checked on the vectors as they are too."""
    truth = -2 * np.log(1 - rho**2)
    parts = split(*correlated(3000, rho), 2000)
    found = bound(*parts)
    assert 0.1 < found.infonce < truth
    assert club_bound(*parts, 4) > truth
    assert found.club > found.infonce
    assert (found.pool, found.fitted, found.components) == (1000, 2000, 4)


def test_independent_sides_share_nothing():
    rng = np.random.default_rng(1)
    found = bound(*split(rng.normal(size=(1500, 8)), rng.normal(size=(1500, 8)), 1000))
    assert found.infonce == pytest.approx(0.0, abs=0.02)
    assert found.club == pytest.approx(0.0, abs=0.1)


def test_ceiling_is_log_n_however_much_is_shared():
    music = np.random.default_rng(2).normal(size=(164, 16))
    found = bound(*split(music, music, 100))
    assert found.ceiling == pytest.approx(np.log(64))
    assert 0.9 * found.ceiling < found.infonce <= found.ceiling
    assert found.club > found.ceiling


def test_infonce_is_the_loss_written_out():
    music, lyrics = correlated(30, 0.7)
    unit = [side / np.linalg.norm(side, axis=1)[:, None] for side in (music, lyrics)]
    scores = [[float(a @ b) / 0.25 for b in unit[1]] for a in unit[0]]
    loss = np.mean([np.log(sum(np.exp(row))) - row[k] for k, row in enumerate(scores)])
    assert infonce_bound(*unit, 0.25) == pytest.approx(np.log(30) - loss)


def test_club_of_shuffled_pairs_falls():
    parts = split(*correlated(60, 0.6, width=2), 40)
    shuffled = parts[3][np.random.default_rng(3).permutation(20)]
    assert club_bound(*parts[:3], shuffled, 2) < club_bound(*parts, 2)


def test_collapsed_vectors_share_nothing():
    music, _ = correlated(50, 0.5)
    constant = np.ones((50, 4))
    found = bound(*split(music, constant, 30))
    assert found.infonce == pytest.approx(0.0, abs=1e-9)
    assert abs(found.club) < 1e-6


def test_a_temperature_from_songs_that_were_learnt_by_heart_is_too_low():
    """Training songs whose pairs are equal choose a sharp temperature, which the held-out songs contradict."""
    fitting, held_out = correlated(200, 0.999, seed=1), correlated(200, 0.4, seed=2)
    by_heart = bound_information(fitting, fitting, held_out)
    apart = bound_information(fitting, correlated(200, 0.4, seed=3), held_out)
    assert by_heart.temperature < apart.temperature
    assert by_heart.infonce < 0 < apart.infonce


def test_too_few_songs():
    music, lyrics = correlated(3, 0.5)
    with pytest.raises(DataError, match="at least two songs"):
        bound(*split(music, lyrics, 2))
