"""`recap doctor`: what a bug report needs to know of a machine, and whether anything that is needed is broken."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recap_cli import __version__
from recap_cli.errors import RecapError
from recap_cli.progress import Table
from recap_cli.records import SCHEMA
from recap_cli.surroundings import NAME_A_CACHE, cache_folder, check_cache, count_cores

# By the name that they are imported under; each of them is needed.
PACKAGES = (
    "torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy", "scipy", "soundfile", "resampy",
    "mutagen", "matplotlib", "nltk", "sacrebleu", "typer", "rich",
)  # fmt: skip
EXTRAS = {"fast": "soxr", "tensorboard": "tensorboard"}
# What changes how recap works; the same list stands in README.md.
VARIABLES = {
    "RECAP_CACHE": "folder for what is kept between commands, such as the demo corpus",
    "RECAP_DEBUG": "any value shows a traceback with every error, as --debug does",
    "HF_HOME": "folder of models from the Hugging Face hub",
    "HF_HUB_OFFLINE": "1 never asks the hub for a model",
    "CUDA_VISIBLE_DEVICES": "the GPUs that may be used, such as 0,1",
    "OMP_NUM_THREADS": "threads that compute on a CPU",
    "TMPDIR": "folder for temporary files",
    "NO_COLOR": "any value leaves colours out",
}
SCRIPTS = {"Chinese": "雨", "Japanese": "あ", "Korean": "비", "Arabic": "م", "Hebrew": "ש", "Hindi": "क", "Thai": "ฝ"}
REINSTALL = "install the program again: pip install . in its folder"


@dataclass
class Report:
    """What was found, by section and name, and what of it is broken."""

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)  # what is broken, and what helps

    def add(self, section: str, name: str, look: Callable[[], str], hint: str = "") -> None:
        """Notes what a look finds; one that fails is broken where there is a hint, else only told."""
        try:
            found = look()
        except Exception as error:  # whatever is wrong with a machine is what this command is for
            found = f"broken: {error.message if isinstance(error, RecapError) else f'{type(error).__name__}: {error}'}"
            if hint:
                self.broken[name] = hint
        self.sections.setdefault(section, {})[name] = " ".join(found.split())

    def tables(self) -> Iterator[Table]:
        """Yields a table for each section."""
        for section, rows in self.sections.items():
            yield Table(section, ["", ""], [[name, found] for name, found in rows.items()])

    def to_json(self) -> dict[str, Any]:
        """Returns the report as plain values."""
        return {"schema": SCHEMA, **{name.lower(): rows for name, rows in self.sections.items()}, "broken": self.broken}


def examine() -> Report:
    """Returns the report on this machine; torch and the embedded model are loaded for it."""
    report = Report()
    report.add("Versions", "recap", lambda: f"{__version__} in {Path(__file__).parents[1]}")
    report.add("Versions", "python", lambda: f"{platform.python_version()} ({sys.executable})")
    report.add("Versions", "system", platform.platform)
    for name in PACKAGES:
        report.add("Versions", name, lambda name=name: package_version(name), REINSTALL)  # type: ignore[misc]
    report.add("Versions", "libsndfile", libsndfile_version, REINSTALL)
    report.add("Machine", "devices", devices, REINSTALL)
    report.add("Machine", "cores", lambda: f"{count_cores()}, {count_threads()} threads compute")
    report.add("Machine", "ffmpeg", ffmpeg_version)
    report.add("Machine", "fonts", fonts)
    report.add("Machine", "extras", extras)
    report.add("Files", "embedded model", embedded_model, REINSTALL)
    report.add("Files", "cache folder", cache, NAME_A_CACHE)
    report.add("Files", "free disk here", lambda: gigabytes(shutil.disk_usage(Path.cwd()).free))
    for name in VARIABLES:
        report.add("Environment", name, lambda name=name: os.environ.get(name) or "not set")  # type: ignore[misc]
    return report


def package_version(name: str) -> str:
    """Returns the version of a package, after it has been imported."""
    __import__(name)
    try:
        return version(name)
    except PackageNotFoundError:  # it comes under another name
        return str(getattr(sys.modules[name], "__version__", "unknown version"))


def libsndfile_version() -> str:
    """Returns the version of the library that decodes most audio."""
    import soundfile

    return str(soundfile.__libsndfile_version__)


def devices() -> str:
    """Returns what there is to compute on; `auto` takes the first."""
    import torch

    found = [f"cuda:{number} ({torch.cuda.get_device_name(number)})" for number in range(torch.cuda.device_count())]
    found += ["mps"] * torch.backends.mps.is_available()
    return ", ".join([*found, "cpu"])


def count_threads() -> int:
    """Returns the threads that torch computes with."""
    import torch

    return torch.get_num_threads()


def ffmpeg_version() -> str:
    """Returns ffmpeg's version and place, or what is missed without it."""
    place = shutil.which("ffmpeg")
    if place is None:
        return "not found: needed for m4a, aac, wma and films only"
    words = subprocess.run([place, "-version"], capture_output=True, text=True, timeout=20, check=True).stdout.split()
    return f"{words[2]} ({place})"


def fonts() -> str:
    """Returns the scripts that pictures of `--explain` can show on this machine, and those that they cannot."""
    from recap_cli.report.attention_maps import find_fonts

    undrawn = find_fonts("".join(SCRIPTS.values()))[1]
    missing = [name for name, letter in SCRIPTS.items() if letter in undrawn]
    there = ", ".join(name for name in SCRIPTS if name not in missing) or "none beside European ones"
    return f"{there}; missing: {', '.join(missing)} (install Noto fonts to draw them)" if missing else there


def extras() -> str:
    """Returns which extras are installed."""
    return ", ".join(f"{name} {'yes' if find_spec(package) else 'no'}" for name, package in EXTRAS.items())


def embedded_model() -> str:
    """Returns the fingerprint of the embedded model, after it has been loaded."""
    from recap_cli.captioning.captioner import Captioner

    return f"loads; fingerprint {Captioner.from_pretrained(device='cpu').weights}"


def cache() -> str:
    """Returns the cache folder, what it holds and what room there is; one that cannot be used is an error."""
    folder = cache_folder()
    check_cache(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return f"{folder}: holds {gigabytes(size)}, {gigabytes(shutil.disk_usage(folder.parent).free)} free"


def gigabytes(size: int) -> str:
    """Returns a size as people say it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
