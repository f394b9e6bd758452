"""Proposition 3.1 of the paper, checked on random discrete cases where everything can be counted.

The paper assumes that music m and lyrics t are independent given the latent z of the song x = (m, t), and argues from
an inequality about I(x;z) that aligning m and t helps. Its proof applies Jensen although the outer expectation depends
on z as well. What is checked here, in nats:

- the identity I(x;z) = I(m;z) + I(t;z) - I(m;t) holds under the assumption, and fails without it;
- I(x;z) >= I(m;t) holds under the assumption;
- the right side of the printed inequality, averaged over z, is I(m;t) - I(m;t) = 0 in any case, so it would say
  I(x;z) <= 0: it fails in every case in which z tells anything of x.
"""

import numpy as np
import pytest

# 2,000 cases take half a second.
CASES = 2000


def entropy(p):
    p = np.asarray(p).ravel()
    return float(-np.sum(p[p > 0] * np.log(p[p > 0])))


def information(joint):
    """I(a;b) of a joint table [a, b]."""
    return entropy(joint.sum(axis=1)) + entropy(joint.sum(axis=0)) - entropy(joint)


def draw_case(rng, independent=True):
    """A joint distribution p(m, t, z) [m, t, z]; with `independent`, p(z) p(m|z) p(t|z)."""
    m, t, z = rng.integers(2, 6, size=3)
    concentration = 10 ** rng.uniform(-1, 1)
    if not independent:
        return rng.dirichlet(np.full(m * t * z, concentration)).reshape(m, t, z)
    given = [rng.dirichlet(np.full(size, concentration), size=z) for size in (m, t)]
    return np.einsum("z,zm,zt->mtz", rng.dirichlet(np.ones(z)), *given)


def parts(joint):
    """I(x;z), I(m;z), I(t;z) and I(m;t), x being the pair (m, t)."""
    m, t, z = joint.shape
    return (
        information(joint.reshape(m * t, z)),
        information(joint.sum(axis=1)),
        information(joint.sum(axis=0)),
        information(joint.sum(axis=2)),
    )


def printed_bound(joint):
    """The right side as printed, averaged over z: E_z E_{m,t|z} log p(m,t) / (p(m) p(t)), less I(m;t)."""
    pair = joint.sum(axis=2)
    ratio = np.log(pair / np.outer(pair.sum(axis=1), pair.sum(axis=0)))
    per_z = np.einsum("mtz,mt->z", joint, ratio)
    return float(per_z.sum() - information(pair))


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    return [draw_case(rng) for _ in range(CASES)]


def test_the_identity_holds_under_the_assumption(cases):
    for joint in cases:
        both, music, lyrics, shared = parts(joint)
        assert both == pytest.approx(music + lyrics - shared, abs=1e-9)


def test_the_identity_needs_the_assumption():
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(200):
        both, music, lyrics, shared = parts(draw_case(rng, independent=False))
        broken += abs(both - (music + lyrics - shared)) > 1e-6
    assert broken == 200


def test_what_can_be_said_instead(cases):
    """z tells at least as much of the pair as the sides tell of each other: both see each other through z alone."""
    for joint in cases:
        both, music, lyrics, shared = parts(joint)
        assert both >= shared - 1e-9
        assert min(music, lyrics) >= shared - 1e-9


def test_the_inequality_as_printed_fails(cases):
    """The printed upper bound on I(x;z) is 0 in every case, and I(x;z) is above it in all of them."""
    assert all(printed_bound(joint) == pytest.approx(0.0, abs=1e-9) for joint in cases)
    failures = sum(parts(joint)[0] > printed_bound(joint) + 1e-9 for joint in cases)
    assert failures == CASES


def test_a_case_by_hand():
    """Two fair values of z, m and t copies of it: every information is log 2."""
    joint = np.zeros((2, 2, 2))
    joint[0, 0, 0] = joint[1, 1, 1] = 0.5
    assert parts(joint) == pytest.approx([np.log(2)] * 4)
