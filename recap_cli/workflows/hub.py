"""Model folders by path or by hub id: the one place where the network may be touched."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from recap_cli.errors import ModelError

SMALL_FILES = ["*.json", "*.txt"]
TIMEOUT = 5.0


def model_folder(source: str, flag: str) -> Path:
    """Give the local folder of a model.

    Args:
        source: a folder, or a hub id such as owner/name; that is taken from the local cache, or fetched when online.
        flag: the flag that named it, for messages.

    Raises:
        ModelError: there is no such folder, no such model, or no network.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    if source.startswith((".", "/", "~")) or source.count("/") != 1 or not all(source.split("/")):
        raise ModelError(f"{flag}: no folder {source}", "name a folder, or a hub id such as owner/name when online")
    online = is_online()
    try:
        return fetch(source, online)
    except (OSError, ValueError) as error:
        reason = "no such model could be fetched" if online else "it is not in the local cache and there is no network"
        raise ModelError(f"{flag}: no folder {source}, and {reason}", "name a folder, or go online") from error


def fetch(source: str, online: bool) -> Path:
    """Fetch a model's configuration, tokenizer and weights, as safetensors where there are any."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, logging

    logging.set_verbosity_error()
    disable_progress_bars()
    for weights in ("*.safetensors", "pytorch_model.bin"):
        folder = Path(snapshot_download(source, allow_patterns=[*SMALL_FILES, weights], local_files_only=not online))
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
