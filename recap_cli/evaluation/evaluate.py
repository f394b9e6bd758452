"""Score runs and files of captions: every song once, against all its references."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import numpy as np

from recap_cli import __version__
from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedSong
from recap_cli.demo.songs import lyrics_only_oracle, music_only_oracle
from recap_cli.evaluation.alignment_report import AlignmentReport, measure_run
from recap_cli.evaluation.captions import (
    caption_file,
    caption_split,
    weights_fingerprint,
)
from recap_cli.evaluation.controls import ControlReport, RunUnderTest, control_texts, run_controls
from recap_cli.evaluation.judges import find_judges, pair_scorers, song_scorers
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.evaluation.predictions import FileReader
from recap_cli.evaluation.songs import Scene, SongSet, match_files, set_scene
from recap_cli.evaluation.system_differences import (
    CaseStudy,
    Contrast,
    choose_cases,
    choose_pairs,
    compare_entries,
    tell_best,
    tell_differences,
    trials_of,
)
from recap_cli.evaluation.systems import (
    Entry,
    PaperRow,
    SystemScores,
    group_seeds,
    read_origin,
    read_paper_table,
    score_system,
    share_right,
)
from recap_cli.files import cannot_write, remove_stale_partials, write_json, write_json_lines
from recap_cli.outputs import EVALUATION, check_evaluation, hold_folder, is_evaluation, score_files
from recap_cli.progress import Progress, SilentProgress
from recap_cli.records import SCHEMA
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.runtime.hub import EMBEDDED_MODEL, EMBEDDED_NAME, model_path
from recap_cli.scoring.bootstrap import LEVEL, RESAMPLES
from recap_cli.scoring.text import headings
from recap_cli.specificity.results import TextControls

RESULT_FILE = "evaluation.json"


@dataclass(frozen=True)
class EvaluateResult:
    """Scores of all systems on the same songs."""

    data: Path  # the data folder, or the file that the songs came from
    split: str
    protocol: str
    systems: list[SystemScores]  # one a run or file
    entries: list[Entry]  # rows of the table: systems, runs that are seeds of one training joined
    oracles: dict[str, dict[str, float]]  # on demo songs, what a perfect captioner with only one input could name
    contrasts: list[Contrast]  # each other entry against the first, or as --against asks
    signature: str  # how the figures were made
    decoding: DecodingOptions
    controls: list[ControlReport] = field(default_factory=list)  # one a run, where asked for
    specificity: TextControls | None = None  # controls without a model, where asked for
    sort: Literal["given", "score", "specificity"] = "given"  # order of the rows in tables
    alignment: list[AlignmentReport] = field(default_factory=list)  # one a run with music, where asked for
    cases: CaseStudy | None = None  # where asked for
    songs: SongSet | None = None  # what was scored on, for the page
    made: dict[str, Any] = field(default_factory=dict)  # versions and fingerprints
    paper: list[PaperRow] = field(default_factory=list)  # a paper's own figures, in points

    @property
    def ordered(self) -> list[Entry]:
        """The rows in the order in which tables show them."""
        if self.sort == "given":
            return self.entries
        worth = {entry.name: entry.intervals["rougeL"].mean for entry in self.entries}
        if self.sort == "specificity" and self.specificity:
            found = {row.name: row.figures["rougeL"].specificity.mean for row in self.specificity.rows}
            worth = {entry.name: fmean(found[run.name] for run in entry.systems) for entry in self.entries}
        return sorted(self.entries, key=lambda entry: -worth[entry.name])

    @property
    def verdicts(self) -> list[str]:
        """What was found, a line each: who is best, what differs beyond chance, what controls and alignment say."""
        part = headings(self.protocol)["rougeL"]
        return [
            *tell_best(self.entries, part),
            *tell_differences(self.entries, self.contrasts, part),
            *(self.specificity.verdicts if self.specificity else ()),
            *(f"{report.name} {verdict}." for report in self.controls for verdict in report.verdicts),
            *(report.verdict for report in self.alignment),
        ]

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON document; its schema is `data/schemas/eval.json`."""
        return {
            "schema": SCHEMA,
            "verdicts": self.verdicts,
            "data": str(self.data),
            "split": self.split,
            "protocol": self.protocol,
            "signature": self.signature,
            "made": self.made,
            "decoding": self.decoding.to_json(),
            "systems": [system.to_json() for system in self.systems],
            "table": [entry.to_json() for entry in self.entries],
            "oracles": self.oracles,
            "comparisons": [contrast.to_json() for contrast in self.contrasts],
            **({"specificity": self.specificity.to_json()} if self.specificity else {}),
            **({"controls": [report.to_json() for report in self.controls]} if self.controls else {}),
            **({"alignment": [report.to_json() for report in self.alignment]} if self.alignment else {}),
            **({"cases": self.cases.to_json()} if self.cases else {}),
            **({"paper_on_another_corpus": [row.to_json() for row in self.paper]} if self.paper else {}),
        }


def evaluate(options: EvaluateOptions, progress: Progress | None = None) -> EvaluateResult:
    """Captions a split with each run, reads each file, and scores all captions on the same songs.

    Raises:
        DataError: data or a file cannot be used, or there are no references.
        OptionError: `out` holds something else than evaluations, or an input.
        BusyError: another evaluation works in `out`.
        ModelError: a run is no model, or was trained on audio of other settings.
    """
    progress = progress or SilentProgress()
    if options.out is None:
        return evaluate_systems(options, progress)
    check_evaluation(options.out, options.names, options.files, options.inputs, bool(options.models))
    with hold_folder(options.out, EVALUATION, "recap eval", is_ours=is_evaluation):
        remove_stale_partials(options.out)
        remove_earlier_files(options.out, progress)
        result = evaluate_systems(options, progress)
        write_result(options.out, result)
    return result


def evaluate_systems(options: EvaluateOptions, progress: Progress) -> EvaluateResult:
    """Captions and scores; only captions are written, as they come."""
    names = iter(options.names)
    # Files are read before any model works: a bad row shows at once.
    paper = read_paper_table(options.paper) if options.paper else []
    reader = FileReader(options.columns, options.song_key)
    rows = {path: reader.read(path) for path in options.files}
    scene = set_scene(options, rows, reader, progress)
    scored = scene.scored.clustered(options.cluster, progress)
    scene = replace(scene, scored=replace(scored, judges=find_judges(scored, options, progress)))
    for note in scene.data.notes if scene.data else ():
        progress.say(note)
    files = match_files(rows, scene.scored, progress, options.limit, options.common)
    del rows
    systems: list[SystemScores] = []
    controls: list[ControlReport] = []
    alignment: list[AlignmentReport] = []
    for run in options.models:
        test = score_run(next(names), run, scene, options, progress)
        systems.append(test.system)
        controls += [run_controls(test, progress)] if options.controls else []
        if options.alignment and test.captioner.model.config.use_music:
            alignment.append(measure_run(test.system.name, test.captioner, test.data, test.songs, progress))
        elif options.alignment:
            progress.say(f"{test.system.name} takes no music, so it has no alignment to measure")
    systems += [
        score_system(next(names), files[path], scene.scored, options.protocol, progress, source=str(path))
        for path in options.files
    ]
    texts = None
    if options.controls:
        scorers, by_song = pair_scorers(scene.scored), song_scorers(scene.scored)
        texts = control_texts(systems, scene.scored, options.protocol, progress, scorers, by_song)
    return gather(options, scene, systems, controls=controls, specificity=texts, alignment=alignment, paper=paper)


def gather(options: EvaluateOptions, scene: Scene, systems: list[SystemScores], **found: Any) -> EvaluateResult:
    """Puts rows together, compares them, chooses the cases, and says how all was made."""
    entries = group_seeds(systems, options.protocol)
    signature = make_signature(entries, options.protocol, options.against, found["specificity"])
    cases = None
    if count := options.shown_cases:
        named = options.cases.systems or options.names  # in this order
        chosen = sorted((one for one in systems if one.name in named), key=lambda one: named.index(one.name))
        cases = choose_cases(chosen, scene.scored, options.protocol, count)
    return EvaluateResult(
        data=options.data or options.references or options.files[0],
        split=options.split if scene.data else "",
        protocol=options.protocol,
        systems=systems,
        songs=scene.scored,
        entries=entries,
        oracles=oracle_accuracy(scene.songs) if scene.data and scene.data.is_demo else {},
        contrasts=compare_entries(entries, options.protocol, options.against),
        signature=signature,
        sort=options.sort,
        decoding=options.decoding,
        cases=cases,
        made={
            "recap": __version__,
            "data": scene.data.fingerprint if scene.data else "",
            "weights": [weights_fingerprint(EMBEDDED_MODEL if run is None else run) for run in options.models],
        },
        **found,
    )


def make_signature(
    entries: Sequence[Entry], protocol: str, against: str = "", specificity: TextControls | None = None
) -> str:
    """Says how figures, intervals and tests were made."""
    scores = entries[0].systems[0].scores
    several = any(len(entry.systems) > 1 for entry in entries)
    samples = "songs"
    if scores.clusters is not None:
        samples = f"{len(np.unique(scores.clusters))} artists, whose songs are drawn and swapped together"
        samples += ", widened as Student's t is for few"
    parts = [
        scores.signature(protocol),
        f"{100 * LEVEL:g} % percentile intervals of {RESAMPLES} bootstrap samples of {samples}, seed 0",
        f"paired tests by {trials_of(choose_pairs(entries, against))} random swaps",
    ]
    parts += ["rows of several seeds: intervals and tests by Student's t over seeds and songs"] if several else []
    parts += [specificity.signature] if specificity else []
    return "; ".join([*parts, f"recap-cli {__version__}"])


def score_run(name: str, run: Path | None, scene: Scene, options: EvaluateOptions, progress: Progress) -> RunUnderTest:
    """Captions the songs with one run and scores them."""
    assert scene.data is not None
    captioner = Captioner.from_pretrained(run, device=options.device, progress=progress)
    source = EMBEDDED_NAME if run is None else captioner.name
    file = caption_file(options.out, source, run, scene.data, options.split, options.decoding)
    captions = caption_split(captioner, scene.data, scene.songs, options.decoding, progress, file=file)
    origin = read_origin(EMBEDDED_MODEL if run is None else model_path(run), scene.data)
    system = score_system(name, captions, scene.scored, options.protocol, progress, origin, source)
    return RunUnderTest(
        captioner=captioner,
        system=system,
        data=scene.data,
        songs=scene.songs,
        scored=scene.scored,
        split=options.split,
        protocol=options.protocol,
        decoding=options.decoding,
        out=options.out,
        run=run,
    )


def oracle_accuracy(songs: Sequence[PreparedSong]) -> dict[str, dict[str, float]]:
    """Returns what the best guess from only one input names correctly, computed from the corpus's probabilities."""
    truth = [entry.song.tags for entry in songs]
    return {
        "lyrics only, oracle": share_right(truth, [lyrics_only_oracle(entry.song) for entry in songs]),
        "music only, oracle": share_right(truth, [music_only_oracle(entry.song) for entry in songs]),
    }


def remove_earlier_files(out: Path, progress: Progress) -> None:
    """Deletes what captioning left in a folder of ours up to version 1, and says so.

    Raises:
        DataError: the disk refuses.
    """
    # Notes on how captions were made; growing files had a name of their own.
    notes = list(out.glob("*.made.json"))
    try:
        for note in notes:
            note.with_name(note.name.removesuffix(".made.json") + ".jsonl.partial").unlink(missing_ok=True)
            note.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    if notes:
        progress.say(f"{out}: notes of an earlier version are removed, such as {notes[0].name}")


def write_result(out: Path, result: EvaluateResult) -> None:
    """Writes each system's rows, into a file that is called after it, and all figures into a folder.

    Raises:
        DataError: it cannot be written.
    """
    controls = [control.system for report in result.controls for control in report.controls]
    systems = [*result.systems, *controls]
    for system, name in zip(systems, score_files([one.name for one in systems]), strict=True):
        write_json_lines(out / name, (row.to_json() for row in system.scores.rows))
    write_json(out / RESULT_FILE, result.to_json())
