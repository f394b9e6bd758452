"""Results to pages: the model card of a run."""

from pathlib import Path

from recap_cli.workflows.train import TrainResult

CARD = """\
---
library_name: transformers
tags: [music-captioning, recap]
---
# {name}

A RECAP music captioner (audio and lyrics in, a caption out), trained with recap-cli {version}.

- Data: {data}, fingerprint `{fingerprint}`, {splits} songs
- Recipe: {recipe}; alignment loss {alignment_loss}, alpha {alpha}
- Best epoch {epoch:g} of the validation songs: ROUGE-L F1 {rouge:.1f}, METEOR {meteor:.1f}

Every setting is in `options.json`, every epoch in `log.jsonl`.

    recap caption song.wav lyrics.txt --model {name}

{limits}
"""
DEMO_LIMITS = """\
**A demonstration.** It was trained on made-up songs of seven attributes and says nothing of worth about real ones."""
LIMITS = "It writes what listeners wrote about songs like these; it can be wrong, and repeats their slant and language."


def write_model_card(result: TrainResult) -> Path:
    """Write `README.md` into a run's folder."""
    best = result.figures["best"]
    path = result.out / "README.md"
    text = CARD.format(
        name=result.out.name,
        version=result.data["recap"],
        data=result.data["source"],
        fingerprint=result.data["fingerprint"],
        splits=", ".join(f"{name} {count}" for name, count in result.data["splits"].items()),
        epoch=best["epoch"],
        rouge=100 * best["rougeL"],
        meteor=100 * best["meteor"],
        limits=DEMO_LIMITS if "demo" in result.data else LIMITS,
        **{name: result.settings[name] for name in ("recipe", "alignment_loss", "alpha")},
    )
    path.write_text(text, encoding="utf-8")
    return path
