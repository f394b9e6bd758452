"""The alignment losses against the formulas, written out as loops in plain Python."""

import math

import pytest
import torch

from recap_cli.model.alignment import Alignment, first_rows, infonce_terms, pair_distances, pool
from recap_cli.model.config import RecapConfig

Vectors = list[list[float]]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def similarity(one: list[float], other: list[float], kind: str) -> float:
    """s(h^m, h^t) of the paper."""
    if kind == "dot":
        return dot(one, other)
    return dot(one, other) / math.sqrt(dot(one, one) * dot(other, other))


def naive_positive(music: Vectors, lyrics: Vectors, kind: str) -> float:
    """Eq. 1 with its constant 1: what is missing to full similarity, averaged over pairs."""
    return sum(1 - similarity(m, t, kind) for m, t in zip(music, lyrics, strict=True)) / len(music)


def naive_infonce(anchors: Vectors, others: Vectors, temperature: float, kind: str) -> float:
    """-log of the softmax that each anchor gives its own partner, averaged over anchors."""
    total = 0.0
    for row, anchor in enumerate(anchors):
        scores = [math.exp(similarity(anchor, other, kind) / temperature) for other in others]
        total -= math.log(scores[row] / sum(scores))
    return total / len(anchors)


@pytest.fixture
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(5, 4), torch.randn(5, 4)


def alignment(**settings) -> Alignment:
    """Music 8 wide, lyrics 16 wide, unless told otherwise."""
    sizes = {"d_model": 16, "music_channels": (2, 2, 2, 2, 2, 2, 8), "encoder_attention_heads": 2}
    torch.manual_seed(0)
    return Alignment(RecapConfig.tiny(10, **{**sizes, **settings}))


@pytest.mark.parametrize("kind", ["cosine", "dot"])
def test_positive_pair_loss(pairs, kind):
    music, lyrics = pairs
    expected = naive_positive(music.tolist(), lyrics.tolist(), kind)
    assert float(pair_distances(music, lyrics, kind).mean()) == pytest.approx(expected, rel=1e-5)


def test_positive_pair_loss_by_hand():
    """Equal directions cost 0, right angles 1, opposite directions 2; length matters to the dot product only."""
    east = torch.tensor([[3.0, 0.0]])
    for other, cosine, product in (([2.0, 0.0], 0.0, -5.0), ([0.0, 7.0], 1.0, 1.0), ([-1.0, 0.0], 2.0, 4.0)):
        assert float(pair_distances(east, torch.tensor([other])).mean()) == pytest.approx(cosine, abs=1e-6)
        assert float(pair_distances(east, torch.tensor([other]), "dot").mean()) == pytest.approx(product)


@pytest.mark.parametrize("kind", ["cosine", "dot"])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_infonce_loss(pairs, kind, temperature):
    music, lyrics = pairs
    expected = naive_infonce(music.tolist(), lyrics.tolist(), temperature, kind)
    assert float(infonce_terms(music, lyrics, temperature, kind).mean()) == pytest.approx(expected, rel=1e-5)


def test_infonce_by_hand():
    """Two orthogonal pairs: each anchor scores 1 against its own and 0 against the other."""
    rows = torch.eye(2)
    assert float(infonce_terms(rows, rows, 1.0).mean()) == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-6)
    assert float(infonce_terms(rows, rows.flip(0), 1.0).mean()) == pytest.approx(math.log(1 + math.e), rel=1e-6)
    assert float(infonce_terms(rows[:1], rows[1:], 0.3).mean()) == 0.0  # one song has no negatives


def test_collapsed_sides_cannot_win_infonce():
    """Constants reach the optimum of the positive-pair loss and only log N in InfoNCE."""
    same = torch.ones(4, 3)
    assert float(pair_distances(same, same).mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(infonce_terms(same, same, 0.3).mean()) == pytest.approx(math.log(4), rel=1e-5)


def test_each_setting_gives_its_loss(pairs):
    music, lyrics = pairs[0], pairs[1]
    m, t = music.tolist(), lyrics.tolist()
    one, other = naive_infonce(m, t, 0.2, "cosine"), naive_infonce(t, m, 0.2, "cosine")
    assert abs(one - other) > 1e-3
    expected = {
        "positive": naive_positive(m, t, "cosine"),
        "infonce": one,
        "infonce-symmetric": (one + other) / 2,
        "none": 0.0,
    }
    for name, value in expected.items():
        given = alignment(alignment_loss=name, alignment_temperature=0.2).compute_terms(music, lyrics).mean()
        assert float(given) == pytest.approx(value, rel=1e-5, abs=1e-7), name


def test_symmetric_infonce_does_not_care_which_side_is_which(pairs):
    music, lyrics = pairs
    symmetric, one_way = alignment(alignment_loss="infonce-symmetric"), alignment(alignment_loss="infonce")
    forth, back = symmetric.compute_terms(music, lyrics).mean(), symmetric.compute_terms(lyrics, music).mean()
    assert float(forth) == pytest.approx(float(back), rel=1e-6)
    other = one_way.compute_terms(lyrics, music).mean()
    assert abs(float(one_way.compute_terms(music, lyrics).mean()) - float(other)) > 1e-3


def test_dot_similarity_reaches_the_loss(pairs):
    music, lyrics = pairs
    for name in ("positive", "infonce"):
        given = alignment(alignment_loss=name, similarity="dot").compute_terms(music, lyrics).mean()
        naive = naive_positive if name == "positive" else lambda m, t, kind: naive_infonce(m, t, 0.3, kind)
        assert float(given) == pytest.approx(naive(music.tolist(), lyrics.tolist(), "dot"), rel=1e-5), name


def test_first_rows():
    assert first_rows(torch.tensor([7, 2, 7, 9, 2, 2])).tolist() == [1, 0, 3]
    assert first_rows(torch.tensor([5])).tolist() == [0]
    assert first_rows(torch.tensor([3, 3, 3])).tolist() == [0]


def states() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return {
        "music_states": torch.randn(4, 6, 8),
        "music_mask": torch.tensor([[1] * 6, [1] * 2 + [0] * 4, [1] * 5 + [0], [1] + [0] * 5]),
        "lyrics_state": torch.randn(4, 3, 16),
        "lyrics_mask": torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]),
    }


def mean_of(rows: Vectors) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["masked", "all"])
def test_pooling(pooling):
    """`masked` means over real positions, `all` over pads as well."""
    given, module = states(), alignment(pooling=pooling)
    _, music, lyrics = module(**given)
    for row in range(4):
        steps = [step for step, keep in zip(given["music_states"][row].tolist(), given["music_mask"][row], strict=True)
                 if keep or pooling == "all"]  # fmt: skip
        tokens = [token for token, keep in zip(given["lyrics_state"][row].tolist(), given["lyrics_mask"][row],
                  strict=True) if keep or pooling == "all"]  # fmt: skip
        assert music[row].tolist() == pytest.approx(mean_of(steps), abs=1e-6)
        projected = module.projection(torch.tensor(mean_of(tokens)))
        assert lyrics[row].tolist() == pytest.approx(projected.tolist(), abs=1e-6)


def test_pool_of_nothing_is_zero_and_not_nan():
    assert pool(torch.ones(1, 3, 2), torch.zeros(1, 3)).tolist() == [[0.0, 0.0]]
    assert pool(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([[1, 1, 0]])).tolist() == [[3.0]]
    assert pool(torch.tensor([[[2.0], [4.0], [9.0]]]), None).tolist() == [[5.0]]


@torch.no_grad()
@pytest.mark.parametrize("name", ["positive", "infonce", "infonce-symmetric"])
def test_rows_of_a_song_count_once(name):
    """The loss sees the first row of each song; the pooled sides are given for every row."""
    given, module = states(), alignment(alignment_loss=name)
    loss, music, lyrics = module(**given, song_ids=torch.tensor([8, 3, 8, 3]))
    assert music.shape == lyrics.shape == (4, 8)
    m, t = [music[1].tolist(), music[0].tolist()], [lyrics[1].tolist(), lyrics[0].tolist()]
    one, other = naive_infonce(m, t, 0.3, "cosine"), naive_infonce(t, m, 0.3, "cosine")
    expected = {"positive": naive_positive(m, t, "cosine"), "infonce": one, "infonce-symmetric": (one + other) / 2}
    assert float(loss) == pytest.approx(expected[name], rel=1e-5)
    assert abs(float(module(**given)[0]) - float(loss)) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize(("music", "lyrics"), [(8, 16), (16, 8), (8, 8)])
def test_one_projection_of_the_wider_side(music, lyrics):
    """The lyrics are projected when both sides are equally wide."""
    module = alignment(music_channels=(2, 2, 2, 2, 2, 2, music), d_model=lyrics)
    assert module.projection.weight.shape == (8, max(music, lyrics))
    given = {**states(), "music_states": torch.ones(4, 6, music), "lyrics_state": torch.ones(4, 3, lyrics)}
    _, pooled_music, pooled_lyrics = module(**given)
    kept, projected = (pooled_lyrics, pooled_music) if music > lyrics else (pooled_music, pooled_lyrics)
    assert torch.equal(kept, torch.ones(4, 8))
    assert torch.allclose(projected, module.projection(torch.ones(4, max(music, lyrics))), atol=1e-6)
    assert not torch.allclose(projected, kept)


def test_the_loss_reaches_both_sides_and_the_projection():
    given, module = states(), alignment(alignment_loss="infonce")
    given["music_states"].requires_grad_()
    given["lyrics_state"].requires_grad_()
    module(**given)[0].backward()
    assert float(module.projection.weight.grad.abs().sum()) > 0
    for name, mask in (("music_states", "music_mask"), ("lyrics_state", "lyrics_mask")):
        moved = given[name].grad.abs().sum(dim=-1) > 0
        assert torch.equal(moved, given[mask].bool()), name
