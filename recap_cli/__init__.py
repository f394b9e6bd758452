"""recap-cli: what a song is about, from its audio and its lyrics."""

__version__ = "0.1.0"
__all__ = [
    "EMBEDDED_MODEL",
    "Captioner",
    "DecodingOptions",
    "RecapConfig",
    "RecapForCaptioning",
    "RecapProcessor",
    "__version__",
]

_HOMES = {
    "Captioner": "recap_cli.captioning.captioner",
    "DecodingOptions": "recap_cli.runtime.decoding",
    "EMBEDDED_MODEL": "recap_cli.captioning.load_model",
    "RecapConfig": "recap_cli.model.config",
    "RecapForCaptioning": "recap_cli.model.captioner",
    "RecapProcessor": "recap_cli.processor",
}


def __getattr__(name: str) -> object:
    """Imports public names when they are first used, so that `import recap_cli` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'recap_cli' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
