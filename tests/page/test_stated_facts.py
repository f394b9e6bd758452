"""Facts of captions by name: agreed, contradicted or alone, each fact in one kind."""

from recap_cli.page.stated_facts import StatedFacts, sort_facts
from recap_cli.scoring.facts import count_facts, fact_table, read_facts


def test_facts_are_agreed_contradicted_or_alone():
    references = ["A slow piano piece.", "Instrumental, with no drums."]
    captions = ["A fast piano piece with drums and a guitar.", "", "slow"]
    found = sort_facts(captions, [references] * 3)
    assert found[0] == StatedFacts(("piano",), ("drums", "fast"), ("guitar", "percussion"))
    assert found[1:] == [StatedFacts(), StatedFacts(("slow",))]
    counts = count_facts(fact_table(map(read_facts, captions[:1])), fact_table([read_facts(" ".join(references))]))
    assert counts[0, :3].tolist() == [5, 1, 2]
