"""A quick start of `recap caption`: what torch and transformers load and captioning never uses is left for later.

A third of the time of a cold caption went into modules for compiling, for training on many cards, and for the losses of
other models. They are not replaced. A `LateModule` stands in their place with the few names that others take from it at
once, and its own code runs as soon as anything else of it is asked for: a new version of a library that needs more
makes the start slower, not wrong. Only the command does this, and only before torch is loaded; who uses the library
never meets it.
"""

import gc
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType

# transformers loads them where they are installed: for losses of detection, training, pictures, drafts, chats, servers.
UNUSED = ("scipy", "accelerate", "PIL", "sklearn", "jinja2", "psutil")
LIBRARIES = ("torch", "transformers")


class LateModule(ModuleType):
    """A module whose code runs when a name is asked for that is not known before.

    Args:
        name: of the module, which is installed.
        known: what it has before its code runs, which then replaces it.
        parts: its submodules can be had without it.
    """

    def __init__(self, name: str, known: dict[str, object], parts: bool = False) -> None:
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"no module named {name}", name=name)
        super().__init__(name)
        self.__spec__, self.__loader__, self.__package__ = spec, spec.loader, spec.parent
        self.__file__ = spec.origin
        if spec.submodule_search_locations is not None:
            self.__path__ = spec.submodule_search_locations
        self.__dict__.update(known, _has_run=False, _parts=parts)

    def run(self) -> ModuleType:
        """Runs the module's code, once; returns the module, which may have put another in its place."""
        if not self.__dict__["_has_run"]:
            self.__dict__["_has_run"] = True
            assert self.__spec__ is not None and self.__spec__.loader is not None
            self.__spec__.loader.exec_module(self)
        return sys.modules.get(self.__name__, self)

    def __getattr__(self, name: str) -> object:
        """Returns what is not known; names of Python's own, which many look for in all modules, are not there."""
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if self.__dict__["_parts"] and find_spec(f"{self.__name__}.{name}") is not None:
            return import_module(f"{self.__name__}.{name}")
        module = self.run()
        if module is self and name not in self.__dict__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(module, name)


def start_quickly(module: str) -> bool:
    """Loads a module that captions and leaves the rest for later; returns whether that was possible.

    Where something does not fit, all is put back and captioning loads its libraries as everybody does.
    """
    if any(name in sys.modules for name in LIBRARIES):
        return False
    before = set(sys.modules)
    gc.disable()  # of a million new objects none is garbage
    try:
        with hidden(UNUSED):
            postpone_transformers()
            postpone_torch()
            import_module(module)
    except Exception:  # whatever a library's new version does not find
        put_back(before)
        return False
    finally:
        gc.enable()
    return True


def postpone_transformers() -> None:
    """Leaves the list of transformers' models for later: it reads a thousand files to make it, three times."""
    known: dict[str, object] = {"__version__": version("transformers")}
    place(LateModule("transformers", known, parts=True))
    place(LateModule("transformers.models", {}, parts=True))
    place(LateModule("transformers.processing_utils", {"Unpack": typing.Unpack}))


def postpone_torch() -> None:
    """Leaves torch's compiler and what it has for many processes for later."""
    import torch

    # As in a build of torch without it. What is not there is neither loaded nor asked for.
    torch.distributed.is_available = lambda: False
    marks = ("disable", "allow_in_graph", "assume_constant_result")
    place(LateModule("torch._dynamo", dict.fromkeys(marks, mark)))
    traced = LateModule("torch._dynamo._trace_wrapped_higher_order_op", {})
    traced.__dict__["TransformGetItemToIndex"] = lambda: traced.run().TransformGetItemToIndex()
    place(traced)
    place(LateModule("torch.fx.experimental.symbolic_shapes", {"expect_true": bool}))


def mark(function: Callable[..., object] | None = None, *arguments: object, **more: object) -> object:
    """Returns a function as it is: what marks it for the compiler means nothing where nothing is compiled."""
    return mark if function is None else function


def place(module: LateModule) -> None:
    """Puts a late module where an import finds it."""
    sys.modules[module.__name__] = module
    parent, _, name = module.__name__.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)


@contextmanager
def hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Makes packages look as if they were not installed, which whoever can do without them asks first."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # Python's own sign: no such module
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def put_back(before: set[str]) -> None:
    """Takes out what has seen late modules, so that it is loaded again; torch itself, which cannot be, stays."""
    for name in set(sys.modules) - before:
        late = isinstance(sys.modules[name], LateModule)
        if late or name.split(".")[0] in ("transformers", "recap_cli"):
            del sys.modules[name]
        if late and name.startswith("torch."):
            parent, _, last = name.rpartition(".")
            vars(sys.modules.get(parent, sys)).pop(last, None)
    if "torch" in sys.modules:
        distributed = sys.modules["torch.distributed"]
        distributed.is_available = lambda: hasattr(sys.modules["torch._C"], "_c10d_init")  # type: ignore[attr-defined]
