"""Feedback in the score: it moves, it is explained, and it has a floor. Weights are not tested."""

import pytest

from models.evidence import FEEDBACK, GRAVE, NEW, Evidence, score

USUAL = Evidence(own=1.5, namespace=0.8, gravity=0.4, minutes=10.0)


@pytest.mark.parametrize(("feedback", "points"), [(-1.0, -FEEDBACK), (0.5, FEEDBACK / 2)])
def test_a_verdict_moves_the_score_by_its_share_and_is_one_of_the_terms(feedback, points):
    before, _ = score(USUAL)
    after, terms = score(USUAL._replace(feedback=feedback))
    assert after - before == pytest.approx(points)
    assert [term.points for term in terms if term.name == "feedback"] == [points]
    assert sum(term.points for term in terms) == pytest.approx(after)


def test_without_a_verdict_there_is_no_term_of_it():
    assert "feedback" not in [term.name for term in score(USUAL)[1]]


@pytest.mark.parametrize("place", ["namespace", "fleet", "node"])
def test_nobody_can_call_noise_what_is_grave_and_new(place):
    found = USUAL._replace(gravity=GRAVE, **{place: NEW})
    assert score(found._replace(feedback=-1.0))[0] == score(found)[0]
    assert score(found._replace(feedback=1.0))[0] > score(found)[0]
    for less in (found._replace(gravity=GRAVE - 0.1), found._replace(**{place: NEW - 0.1})):
        assert score(less._replace(feedback=-1.0))[0] < score(less)[0]
