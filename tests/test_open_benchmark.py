"""The page of the open benchmark: its tables are those of the committed figures, and no text of others is committed."""

import json
import re
from pathlib import Path

import pytest
from pages import blocks

FOLDER = Path(__file__).parents[1] / "examples" / "open-benchmark"
PAGE = FOLDER / "README.md"
PEOPLE = "people"
FACTS = ("facts_f1_by_song", "tag_facts_f1_by_song")
MOST_BYTES = 1_000_000


def figures():
    return json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))


def line(*cells):
    return f"| {' | '.join(cells)} |\n"


def points(share):
    return f"{100 * share:.1f}"


def percent(share):
    return "" if share is None else f"{100 * share['mean']:.0f} %"


def specificity_rows(part):
    """The headline table, systems by specificity, then the others."""
    rows = part["specificity"]["rows"]
    systems = [row for row in rows if row["kind"] == "system"]
    systems.sort(key=lambda row: -row["scores"]["rougeL"]["specificity"]["mean"])
    for row in [*systems, *(row for row in rows if row["kind"] != "system")]:
        found, share = row["scores"]["rougeL"], row.get("share_of_people", {}).get("rougeL", {})
        lost = found["specificity"]
        name = f"people ({row['songs']} songs)" if row["kind"] == PEOPLE else row["name"]
        yield line(
            name,
            points(found["score"]["mean"]),
            points(found["shuffled"]["mean"]),
            f"{points(lost['mean'])} [{points(lost['low'])}, {points(lost['high'])}]",
            percent(share.get("of_score")),
            percent(share.get("of_specificity")),
            f"{row['words_per_caption']:.0f}",
        )


def quoted_rows(found):
    quoted = found["closer"]["quoted"]
    shares = {row["name"]: row.get("share_of_people") for row in found["all"]["specificity"]["rows"]}
    for name in sorted(quoted["8"], key=lambda name: -quoted["8"][name]["captions"]):
        counts = [
            str(quoted[length][name].get(kind, ""))
            for length in ("8", "12")
            for kind in ("captions", "from_other_songs")
        ]
        of = [shares[name][one]["of_specificity"] if name != PEOPLE else None for one in FACTS]
        yield line(name, *counts, *map(percent, of))


def script_rows(found):
    rows = found["closer"]["other_script"]
    for name in sorted(rows, key=lambda name: -rows[name]["rougeL_recall_own"]):
        keys = [f"{figure}_{kind}" for figure in ("rougeL_recall", "character_bleu") for kind in ("own", "others")]
        yield line(name, *(points(rows[name][key]) for key in keys))


def tables():
    found = figures()
    return {
        "all": list(specificity_rows(found["all"])),
        "quoted": list(quoted_rows(found)),
        "script": list(script_rows(found)),
        "lyrics": list(specificity_rows(found["lyrics"])),
    }


def strings(value):
    if isinstance(value, dict):
        return [text for one in value.items() for part in one for text in strings(part)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", ["all", "quoted", "script", "lyrics"])
def test_a_table_of_the_page_is_that_of_the_figures(name):
    (shown,) = blocks(PAGE, name)
    assert [row + "\n" for row in shown.splitlines() if row.startswith("|")][2:] == tables()[name]


def test_the_figures_are_of_eleven_systems_on_all_songs_and_on_those_with_lyrics():
    found = figures()
    systems = re.findall(
        r'"?([\w -]+)=\w+"?', (FOLDER / "score.sh").read_text().split("for system in")[1].split("; do")[0]
    )
    for part, songs in (("all", 706), ("lyrics", 146)):
        assert [row["name"] for row in found[part]["systems"]] == [name.strip() for name in systems]
        assert {row["songs"] for row in found[part]["systems"]} == {songs} and len(systems) == 11
    assert "191 artists" in found["all"]["signature"] and "49 artists" in found["lyrics"]["signature"]


def test_the_words_say_what_the_figures_say():
    """The claims that a new run could make untrue."""
    found, text = figures(), " ".join(PAGE.read_text().split())
    rows = {row["name"]: row["scores"] for row in found["all"]["specificity"]["rows"]}
    constant, best = rows["one reference for all songs"]["rougeL"], rows["Qwen2-Audio"]["rougeL"]
    assert abs(constant["score"]["mean"] - best["score"]["mean"]) < 0.005
    shown = [row for row in rows.values() if row["rougeL"]["specificity"]["low"] > 0]
    assert "Ten of eleven systems" in text and len(shown) == 10 + 1, "and people"
    cut = {row["name"]: row["scores"] for row in found["closer"]["first_words"]}
    assert f"scores {points(cut['MusiLingo']['score']['mean'])} in place of" in text
    kept = {row["name"]: row for row in found["closer"]["without_quoted_songs"]}["Qwen2-Audio"]
    assert f"to {points(kept['scores']['specificity']['mean'])}, which is what people reach" in text
    assert f"({percent(kept['share_of_people']['of_specificity'])})" in text and f"On the {kept['songs']} songs" in text


def test_nothing_of_others_is_committed():
    """Figures, names and how they were made; the folder stays small."""
    longest = {text for text in strings(figures()) if len(text) > 40}
    assert all(text.startswith("protocol f1: ") for text in longest)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES
