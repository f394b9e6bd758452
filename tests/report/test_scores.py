"""The screens of an evaluation, of made-up figures: verdicts first, one table, the rest when it is asked for."""

import pytest
from make_scores import Lengths, all_pairs, evaluation, specificity, system
from screens import check_screen, draw_screen

from recap_cli.report.drawing import draw
from recap_cli.report.scores import evaluation_screen, judges_table, to_csv, to_markdown
from recap_cli.report.table_one import contrast_table, to_latex
from recap_cli.scoring.song_scores import Judges

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


def test_specificity():
    """The table that says whose captions belong to their songs comes first, sorted where that is asked for."""
    names = ("bart", "recap", "lp")
    result = evaluation(*names, specificity=specificity(*names), sort="specificity")
    screen = evaluation_screen(result)
    check_screen("eval-specificity", *screen)
    text = draw_screen(120, *screen)
    assert text.index("lp ") < text.index("recap   ") < text.index("bart   ") < text.index("people (18 songs)")
    assert any("not shown to fit" in line and "bart" in line for line in result.verdicts)
    rows = [line.split(",") for line in to_csv(result).splitlines() if ",lp," in line and ",rougeL," in line]
    assert {row[0]: row[6] for row in rows} == {
        "run": "0.405000",
        "own songs": "0.260000",
        "shuffled": "0.200000",
        "specificity": "0.060000",
        "share of people": "1.060000",
        "share of people's specificity": "1.200000",
    }
    assert "106 \\%" in to_latex(result) and "| 106 %" in to_markdown(result)


def test_all_pairs_of_many_systems_are_a_matrix():
    names = ("qwen2", "flamingo", "salmonn", "gama", "pengi", "ltu")
    result = evaluation(*names, contrasts=all_pairs(*names))
    table = contrast_table(result)
    check_screen("eval-all-pairs", draw(table))
    assert table.rows[1][:3] == ["2 flamingo", "-1.0 *", ""] and table.rows[5][1] == "-5.0 *"
    assert len(table.rows) == 6 and any("of 15 pairs differ" in line for line in result.verdicts)
    assert "differ" not in draw_screen(120, *evaluation_screen(result)).split("songs of")[1].split("figures from")[0]
    assert "Differences in ROUGE-L F1 between all systems" in to_latex(result)


def test_details():
    check_screen("eval-details", *evaluation_screen(evaluation("bart", "recap", controls=True), details=True))


def test_meaning_and_tags():
    """The table of what is asked for beside references, whole and in parts."""
    tags = {f"song-{number}": frozenset({"rock", "piano"}) for number in range(30)}
    for name, judges in {
        "eval-meaning-and-tags": Judges(Lengths(), tags),
        "eval-meaning": Judges(Lengths()),
        "eval-tags": Judges(tag_facts=tags),
    }.items():
        systems = [system("qwen2", judges=judges), system("a-system-with-a-long-name", 0.02, judges)]
        check_screen(name, draw(judges_table(evaluation("one", systems=systems))))
    assert judges_table(evaluation("one")) is None


def test_verdicts_say_what_was_shown_and_no_more():
    lines = evaluation("bart", "recap").verdicts
    assert lines[0] == "Best in ROUGE-L F1: recap, 43.0 [41.0, 45.0] on 40 songs."
    assert lines[1].startswith("recap against bart: better in ROUGE-1, ROUGE-L, facts; worse in METEOR;")
    assert lines[1].endswith("no difference shown in ROUGE-2, BLEU, chrF, CIDEr-D.")
    assert "single runs" in lines[2]
    few = evaluation("bart", "recap", test="Welch").verdicts
    assert few[1] == "recap against bart: no difference shown in any figure."
    assert "fewer than 5 seeds" in few[2]


def test_a_tie_has_two_winners():
    assert evaluation("a", "b", gain=0.0).verdicts[0].startswith("Best in ROUGE-L F1: a and b, ")


@pytest.mark.parametrize("count", [2, 5])
def test_the_first_line_is_the_best_by_the_headline(count):
    assert "system-1," in evaluation(*(f"system-{number}" for number in range(count))).verdicts[0]
