"""Results to pages: the model card of a run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recap_cli.escaping import flat, is_hub_id, markdown_cell
from recap_cli.files import open_atomically
from recap_cli.runtime.run_folder import OPTIONS_FILE
from recap_cli.training.recipes import RECIPE_LINES
from recap_cli.training.train import TrainResult

CARD = """\
---
{head}
---
# {title}

A RECAP music captioner ({senses} in, a caption out), trained with recap-cli {version}.

- Data: {source}, fingerprint `{fingerprint}`, {used}
- Recipe: {recipe}; {alignment}
- Best epoch {epoch:g} of the validation songs: ROUGE-L F1 {rouge:.1f}, METEOR {meteor:.1f}

Every setting is in `options.json`, every epoch in `log.jsonl`.

    recap caption song.wav lyrics.txt --model {name}

{limits}

## Data

{data}

## Recipe

{lines}

## Figures

{figures}

## Limits

{cautions}

## Use and share

From Python, `recap_cli.Captioner.from_pretrained("{name}")` captions audio and lyrics; after `import recap_cli`,
`AutoModelForSeq2SeqLM.from_pretrained` gives the bare model. The folder is a whole Hugging Face model: weights as
safetensors, tokenizer, processor and this card. `hf upload OWNER/{name} {name}` publishes it as it is; look into
`options.json` first, it names your files.
"""
DEMO_LIMITS = """\
**A demonstration.** It was trained on made-up songs of seven attributes; what it says about real ones means nothing."""
LIMITS = "It writes what listeners wrote about songs like these; it can be wrong, and repeats their slant and language."
DEMO_CAUTIONS = (
    "The songs are rendered in code and the captions made from templates: do not caption real songs with it.",
)
CAUTIONS = (
    "A caption is a guess at what listeners would write. It is no fact about the song, its makers or their intent.",
    "It can repeat slurs, names and claims that its training captions hold.",
    "ROUGE and METEOR count shared words. They hardly notice a caption that ignores the music: "
    "`recap eval --controls` measures that.",
    "The training data may have a licence of their own that bounds what these weights may be used for.",
)
MUSIC_CAUTIONS = (
    "A falling alignment loss, or a high cosine of matched pairs, is no proof of alignment: look at the gap to the "
    "mismatched ones.",
)
LYRICS_CAUTIONS = ("It hears nothing: without lyrics it has nothing to go by.",)
# Settings that a run without music has no use for, by how they begin.
MUSIC_SETTINGS = ("align", "alpha", "fusion", "pooling", "similarity", "standardise", "temperature")
# Names of music encoders that are no file.
ENCODERS = {
    None: "pretrained on the songs' tags",
    "tags": "pretrained on the songs' tags",
    "demo": "that of the demo model of recap-cli, pretrained on made-up songs",
}
MEASURES = {
    "rougeL": "ROUGE-L F1",
    "meteor": "METEOR",
    "caption_loss": "caption loss (nats per token)",
    "distinct": "share of captions that differ from all others",
    "matched_cosine": "cosine of a song's music and its own lyrics",
    "mismatched_cosine": "cosine of its music and other lyrics",
}


def write_model_card(result: TrainResult) -> Path:
    """Writes `README.md` into a run's folder: data, recipe, figures and limits.

    The paths of this machine stay out of it: files are named without their folders.

    Raises:
        DataError: the disk refuses.
    """
    best = result.figures["best"]
    options = read_options(result.out)
    demo, music = "demo" in result.data, not options.get("no_music", False)
    path = result.out / "README.md"
    text = CARD.format(
        head=head(result),
        title=markdown_cell(result.out.name),
        name=code(result.out.name),
        senses="audio and lyrics" if music else "lyrics",
        version=markdown_cell(str(result.data["recap"])),
        source=markdown_cell(Path(result.data["source"]).name),
        fingerprint=code(str(result.data["fingerprint"])),
        recipe=result.settings["recipe"],
        alignment="alignment loss {alignment_loss}, alpha {alpha}".format(**result.settings) if music else "no music",
        used=tell_used(result, options),
        epoch=best["epoch"],
        rouge=100 * best["rougeL"],
        meteor=100 * best["meteor"],
        limits=DEMO_LIMITS if demo else LIMITS,
        data="\n".join(describe_data(result.data, music)),
        lines="\n".join(describe_recipe(result.settings, options)),
        figures="\n".join(describe_figures(result)),
        cautions="\n".join(
            f"- {caution}"
            for caution in (
                *(DEMO_CAUTIONS if demo else CAUTIONS),
                *(MUSIC_CAUTIONS if music else LYRICS_CAUTIONS),
            )
        ),
    )
    with open_atomically(path) as file:
        file.write(text)
    return path


def read_options(out: Path) -> dict[str, Any]:
    """Reads a run's options; nothing where there are none."""
    path = out / OPTIONS_FILE
    options: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return options


def head(result: TrainResult) -> str:
    """Returns the card's YAML: what the Hugging Face hub sorts models by."""
    lines = ["library_name: transformers", "tags: [music-captioning, recap]", "metrics: [rouge, meteor]"]
    bart = str(result.settings.get("bart", ""))
    if is_hub_id(bart):
        lines.append(f"base_model: {bart}")
    return "\n".join(lines)


def describe_data(data: Mapping[str, Any], music: bool) -> Iterator[str]:
    """Says which songs it learnt from and how their audio was read."""
    made_up = "demo" in data
    yield f"- songs: {'made up in code, `recap prepare`' if made_up else markdown_cell(Path(data['source']).name)}"
    yield f"- splits of the whole corpus, in songs: {tell_splits(data)}"
    audio = data.get("audio", {})
    if music and {"seconds", "sample_rate"} <= set(audio):
        resampler = f", resampled with {markdown_cell(str(audio['resampler']))}" if "resampler" in audio else ""
        whole = audio.get("music_encoder") == "musicnn"
        part = f"whole songs, up to {audio['seconds'] / 60:g} minutes," if whole else f"{audio['seconds']:g} s"
        yield f"- heard: {part} at {audio['sample_rate']} Hz{resampler}{'' if whole else '; not the rest of a song'}"
    yield f"- fingerprint: `{code(str(data['fingerprint']))}`; another preparation of the same songs gives another one"


def tell_used(result: TrainResult, options: Mapping[str, Any]) -> str:
    """Says how many songs a run saw, of how many, and for how long; runs of earlier versions know their data only."""
    used, splits = result.figures.get("used"), result.data["splits"]
    if used is None:
        return f"{tell_splits(result.data)} songs"
    limit = f" (--limit {options['limit']})" if options.get("limit") is not None else ""
    epochs = epochs_trained(result)
    return (
        f"trained on {used['train']} of {splits.get('train', used['train'])} songs{limit} with {used['captions']} "
        f"captions for {epochs:g} epoch{'s' if epochs != 1 else ''}, judged on {used['validation']} validation songs"
    )


def epochs_trained(result: TrainResult) -> float:
    """Returns the epochs that a run took, which may be more than those up to its best one."""
    return float(result.log[-1]["epoch"] if result.log else result.figures["best"]["epoch"])


def tell_splits(data: Mapping[str, Any]) -> str:
    """Returns the splits with their numbers of songs; a corpus may name them as it likes."""
    return ", ".join(f"{markdown_cell(name)} {count}" for name, count in data["splits"].items())


def describe_recipe(settings: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    """Returns the lines of the table of settings, with who set the recipe's value and where this run left it."""
    yield "| setting | value | set by |"
    yield "|---|---|---|"
    recipe = settings["recipe"]
    unused = MUSIC_SETTINGS if options.get("no_music") else ()
    for line in RECIPE_LINES:
        if line.setting in settings and not line.setting.startswith(unused):
            value = settings[line.setting]
            kept = plain(value) == plain(getattr(line, recipe, value))
            source = line.source if kept else f"this run; {recipe} has {plain(getattr(line, recipe))}"
            yield f"| {line.setting.replace('_', ' ')} | {plain(value)} | {source} |"
    if "seed" in options:
        encoder = options.get("music_encoder")
        trained = ", trained along" if options.get("train_music_encoder") else ", frozen"
        named = ENCODERS.get(encoder) or markdown_cell(Path(str(encoder)).name)
        yield f"| music encoder | {'none' if options.get('no_music') else named + trained} | this run |"
        yield f"| seed | {options['seed']} | this run |"


def plain(value: Any) -> str:
    """Returns a setting's value in a table's cell; a path loses its folders."""
    if isinstance(value, list | tuple):
        return markdown_cell(", ".join(map(str, value)))
    if isinstance(value, str) and value.startswith(("/", ".", "~")):
        return markdown_cell(Path(value).name)
    return markdown_cell(str(value))


def describe_figures(result: TrainResult) -> Iterator[str]:
    """Returns the best epoch's figures and one caption beside its reference."""
    best = result.figures["best"]
    count = result.settings.get("validation_songs")
    yield f"On the validation songs{f' (at most {count})' if count else ''}, which also chose the epoch: expect less on"
    yield "others. `recap eval` scores the test songs, with intervals and controls."
    yield ""
    yield "| figure | best epoch |"
    yield "|---|---|"
    for name, words in MEASURES.items():
        if name in best:
            value = f"{100 * best[name]:.1f}" if name in ("rougeL", "meteor") else f"{best[name]:.3f}"
            yield f"| {words} | {value} |"
    yield f"| epochs trained | {epochs_trained(result):g} |"
    sample = result.figures.get("sample") or {}
    if sample.get("caption"):
        yield ""
        yield f"It wrote: {quote(sample['caption'])}"
        yield ""
        yield f"The reference: {quote(sample.get('reference', ''))}"


def quote(text: str, longest: int = 400) -> str:
    """Returns a caption on one line, not too long and free of markup."""
    words = " ".join(text.split())
    return markdown_cell(words if len(words) <= longest else words[:longest].rstrip() + " ...")


def code(text: str) -> str:
    """Returns a name as it stands within back quotes or in a line of code."""
    return flat(text).replace("`", "'")
