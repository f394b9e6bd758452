"""Models by path or from the Hugging Face hub: the one place where the network may be touched.

A hub model is named `hf://owner/name` or `hf://owner/name@revision`; nothing else is ever looked for there, so that a
path with a slip in it is an error and no download. Only the BART that recipes name goes without the prefix.
"""

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from recap_cli.corpus.folders import is_file
from recap_cli.errors import ModelError
from recap_cli.progress import Progress, SilentProgress

MODELS = Path(__file__).parents[1] / "data"  # come with the package
DEMO = "demo"  # what the small model on made-up songs is called
DEMO_MODEL = MODELS / "demo_model"
REAL_MODEL = MODELS / "real_model"
MINILM = "minilm"  # what `--bart` calls the layers of MiniLM in it
EMBEDDED_MODEL = DEMO_MODEL  # used where no model is named: this line decides which it is
EMBEDDED_NAME = DEMO if EMBEDDED_MODEL == DEMO_MODEL else "embedded model"  # in records
WEIGHTS_SUFFIXES = (".pt", ".pth", ".bin")  # of published weights
SMALL_FILES = ["*.json", "*.txt"]
TIMEOUT = 5.0
DEFAULT_BART = "facebook/bart-base"
# A `Path` of hf://owner/name has one slash less.
PREFIX = re.compile(r"hf:/{1,2}")
HUB_ID = re.compile(r"hf:/{1,2}(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
WANTED = "name a folder, or a model of the hub as hf://owner/name"
# What was found in this process, so that a branch that moves meanwhile does not mix two models.
FOUND: dict[str, "ModelFolder"] = {}


@dataclass(frozen=True)
class ModelFolder:
    """A model's local folder."""

    path: Path  # of a hub model, its snapshot in the local cache
    name: str  # what the model goes by in records; of a hub model `hf://owner/name@commit`
    from_hub: bool = False


def is_hub_id(source: str | Path) -> bool:
    """Whether a source names a model of the hub, well-formed or not."""
    return PREFIX.match(str(source)) is not None


def is_demo(source: str | Path | None) -> bool:
    """Whether a source is the name of the demo model; a model in a folder of that name goes before it."""
    return str(source) == DEMO and not is_file(Path(DEMO, "config.json"))


def packaged_model(source: str | Path | None) -> ModelFolder | None:
    """Returns the model of the package that a source stands for: None for the embedded one, or `demo`."""
    if source is None:
        return ModelFolder(EMBEDDED_MODEL, EMBEDDED_NAME)
    return ModelFolder(DEMO_MODEL, DEMO) if is_demo(source) else None


def find_model(source: str | Path | None, flag: str, progress: Progress | None = None) -> ModelFolder:
    """Returns the local folder of a model.

    Args:
        source: a folder; `hf://owner/name`, optionally with `@revision`, which is fetched when online, or else taken
            from the local cache, and either is said; `demo`; or None for the embedded model.
        flag: the flag that named it, for messages.
        progress: where to say so.

    Raises:
        ModelError: there is no such folder, no such model, or no network.
    """
    if packaged := packaged_model(source):
        return packaged
    text = str(source)
    if flag == "--bart" and text == DEFAULT_BART and not Path(text).is_dir():
        text = f"hf://{text}"
    if not is_hub_id(text):
        if not is_folder(Path(text)):
            raise ModelError(f"{flag}: no folder {source}", WANTED)
        if text == DEMO:
            (progress or SilentProgress()).say(f"{flag} {DEMO}: the model in the folder {DEMO}, not the package's.")
        return ModelFolder(Path(text), text)
    found = read_hub_id(text, flag)
    key = f"hf://{found['id']}" + (f"@{found['revision']}" if found["revision"] else "")
    if key not in FOUND:
        path = fetch(key, found["id"], found["revision"], flag, progress or SilentProgress())
        commit = path.name if COMMIT.fullmatch(path.name) else found["revision"] or "unknown"
        FOUND[key] = ModelFolder(path, f"hf://{found['id']}@{commit}", True)
    return FOUND[key]


def read_hub_id(text: str, flag: str) -> re.Match[str]:
    """Returns the parts of a hub model's name, `id` and `revision`; a malformed one is a ModelError."""
    found = HUB_ID.fullmatch(text)
    if found is None or ".." in text:
        named = PREFIX.sub("hf://", text)
        raise ModelError(f"{flag}: {named} is no name of the hub", "write hf://owner/name or hf://owner/name@revision")
    return found


def minilm_folder() -> Path:
    """Returns the folder of the layers that read verses.

    Raises:
        ModelError: they do not come with this version.
    """
    if not is_folder(REAL_MODEL):
        raise ModelError(
            f"--bart {MINILM}: these layers do not come with this version yet",
            "make a folder of them as tests/make_minilm.py says, and name it with --bart",
        )
    return REAL_MODEL


def model_path(source: Path) -> Path:
    """Returns the folder or file of a model that was found before; a hub model's is its snapshot.

    Raises:
        ModelError: a hub model cannot be had.
    """
    return find_model(source, "RUN").path if is_hub_id(source) or is_demo(source) else source


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; a path that cannot be one is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_weights(source: str | Path) -> bool:
    """Whether a source names a file of published weights rather than a folder or a model of the hub."""
    path = Path(source)
    return (
        not (is_hub_id(source) or is_demo(source))
        and not is_folder(path)
        and (path.suffix in WEIGHTS_SUFFIXES or is_file(path))
    )


def fetch(name: str, repository: str, revision: str | None, flag: str, progress: Progress) -> Path:
    """Returns a model's snapshot, fetched or of the local cache: configuration, tokenizer and weights, no code.

    Raises:
        ModelError: it cannot be had.
    """
    online = is_online()
    if online:
        progress.say(f"{flag}: fetching {name} from the Hugging Face hub, unless the local cache has it.")
    else:
        progress.say(f"{flag}: no network; taking {name} from the local cache of the Hugging Face hub.")
    try:
        path = download(repository, revision, online)
    except (OSError, ValueError) as error:
        reason = "no such model could be fetched" if online else "it is not in the local cache and there is no network"
        raise ModelError(f"{flag}: no model {name}: {reason}", "name a folder, or go online") from error
    progress.say(f"{flag}: {name} is at commit {path.name}.")
    return path


def download(repository: str, revision: str | None, online: bool) -> Path:
    """Returns a snapshot with its weights, as safetensors where there are any.

    Raises:
        OSError: the hub refuses.
        ValueError: it holds no weights.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, logging

    logging.set_verbosity_error()
    disable_progress_bars()
    for weights in ("*.safetensors", "pytorch_model*.bin"):
        patterns = [*SMALL_FILES, weights]
        folder = Path(
            snapshot_download(repository, revision=revision, allow_patterns=patterns, local_files_only=not online)
        )
        if any(folder.glob(weights)):
            return folder
    raise ValueError("it holds no weights")


def is_online() -> bool:
    """Whether the hub answers; asked once, since its own client tries for a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((address.hostname or "", address.port or 443), TIMEOUT):
            return True
    except OSError:
        return False
