"""The screens of an evaluation, of made-up figures: verdicts first, one table, the rest when it is asked for."""

import pytest
from make_scores import evaluation
from screens import check_screen, draw_screen

from recap_cli.report.scores import evaluation_screen

ELEVEN = ("bart", "fusion", "recap", "whisper-large", "gpt", "nearest", "constant", "alcap", "people", "lp", "mu-llama")


def test_one_run():
    check_screen("eval-one", *evaluation_screen(evaluation("tiny-alpha-0.02-seed-0")))


def test_two_runs():
    check_screen("eval-two", *evaluation_screen(evaluation("bart", "recap")))


def test_eleven_systems():
    result = evaluation(*ELEVEN)
    check_screen("eval-eleven", *evaluation_screen(result))
    assert len(result.verdicts) <= 6
    assert len(draw_screen(120, *evaluation_screen(result)).splitlines()) <= 30


def test_controls():
    result = evaluation("bart", "recap", controls=True)
    check_screen("eval-controls", *evaluation_screen(result))
    assert result.verdicts[-2].startswith("recap uses the music: ")
    assert result.verdicts[-1].startswith("recap is not shown to use the lyrics: ")


def test_details():
    check_screen("eval-details", *evaluation_screen(evaluation("bart", "recap", controls=True), details=True))


def test_verdicts_say_what_was_shown_and_no_more():
    lines = evaluation("bart", "recap").verdicts
    assert lines[0] == "Best in ROUGE-L F1: recap, 43.0 [41.0, 45.0] on 40 songs."
    assert lines[1].startswith("recap against bart: better in ROUGE-1, ROUGE-L; worse in METEOR;")
    assert lines[1].endswith("no difference shown in ROUGE-2, BLEU, chrF.")
    assert "single runs" in lines[2]
    few = evaluation("bart", "recap", test="Welch").verdicts
    assert few[1] == "recap against bart: no difference shown in any figure."
    assert "fewer than 5 seeds" in few[2]


def test_a_tie_has_two_winners():
    assert evaluation("a", "b", gain=0.0).verdicts[0].startswith("Best in ROUGE-L F1: a and b, ")


@pytest.mark.parametrize("count", [2, 5])
def test_the_first_line_is_the_best_by_the_headline(count):
    assert "system-1," in evaluation(*(f"system-{number}" for number in range(count))).verdicts[0]
