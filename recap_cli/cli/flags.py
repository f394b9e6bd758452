"""The flags of a command, made from the options that it takes: names, types, helps, defaults and choices."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from recap_cli.errors import OptionError
from recap_cli.report.recipes import recipe_default
from recap_cli.settings import MACHINE, RESULT, UNNAMED, Declared, Group, Setting, declare, declared, group_of
from recap_cli.training.recipes import RECIPES_OWN

Given = Mapping[str, Any]

LAST = (RESULT, MACHINE)  # panels
MOST_CHOICES = 12  # letters; more would take the space of the helps
EMPTY = "''"  # as it is typed
NUMBERS = {int: ("a whole number", "16"), float: ("a number", "0.5")}  # in words, and an example
VALUE_WORDS = {int: "N", float: "NUMBER", Path: "PATH"}


@dataclass(frozen=True)
class Screen:
    """How a command talks."""

    as_json: Annotated[
        bool, Setting("Write results to stdout as JSON instead of text and tables.", MACHINE, flag="--json")
    ] = False
    quiet: Annotated[bool, Setting("Show no progress on stderr, only warnings and errors.", MACHINE, short="-q")] = (
        False
    )
    debug: Annotated[
        bool, Setting("Show a traceback with every error, for a bug report; so does RECAP_DEBUG=1.", MACHINE)
    ] = False


def with_flags(body: Callable[..., None]) -> Callable[..., None]:
    """Returns what Typer makes a command of: the body, with a flag for every setting of the options it takes.

    Each parameter of the body is an options dataclass, or one setting with its own declaration.
    """
    parameters = list(inspect.signature(body).parameters.values())

    def command(**given: Any) -> None:
        body(**{one.name: read_parameter(one, given) for one in parameters})

    shown = [one for parameter in parameters for one in settings_of(parameter) if one.flag]
    # Panels come in the order of their first flags, what is named by its place before all.
    shown.sort(key=lambda one: 1 + LAST.index(one.setting.panel) if one.setting.panel in LAST else 0)
    shown.sort(key=lambda one: not one.setting.argument)
    signature = inspect.Signature([make_parameter(one) for one in shown])
    command.__signature__ = signature  # type: ignore[attr-defined]  # Typer reads it
    command.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    command.__name__, command.__doc__ = body.__name__, body.__doc__
    return command


def settings_of(parameter: inspect.Parameter) -> Iterator[Declared]:
    """Yields the settings behind one parameter of a command's body."""
    if is_dataclass(parameter.annotation):
        yield from all_settings(parameter.annotation)  # type: ignore[arg-type]
    else:
        found = declare(parameter.name, parameter.annotation, parameter.default)
        assert found is not None, f"{parameter.name} is declared without a Setting"
        yield found


def all_settings(options: type) -> Iterator[Declared]:
    """Yields the settings of an options dataclass, with those of the groups in it, in order."""
    for entry in fields(options):
        if group := group_of(entry.type):
            yield from settings_in(group)
        elif found := declare(entry.name, entry.type, entry.default):
            yield found


def settings_in(group: Group) -> Iterator[Declared]:
    """Yields the settings of a group, in its panel if it has one."""
    for one in declared(group.options):
        if not group.names or one.name in group.names:
            yield replace(one, setting=replace(one.setting, panel=group.panel or one.setting.panel))


def make_parameter(one: Declared) -> inspect.Parameter:
    """Returns the parameter that Typer makes the flag of."""
    default = default_of(one)
    kind: Any = bool if is_bare(one) else str if is_text(one) else list[Path] if one.is_many else one.kind
    if default is None:
        kind = kind | None
    note = make_argument(one) if one.setting.argument else make_option(one)
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, note]
    )


def is_bare(one: Declared) -> bool:
    """Whether a flag takes no value."""
    return one.setting.stands_for is not None or (one.kind is bool and not one.takes_none)


def is_text(one: Declared) -> bool:
    """Whether a flag's value comes as one text that is read here: numbers, several values with commas, own forms."""
    return one.setting.read is not None or one.kind in NUMBERS or (one.is_many and one.kind is not Path)


def default_of(one: Declared) -> Any:
    """Returns what Typer gets as the default: None where the options know it better, nothing where there is none."""
    if is_bare(one):
        return False
    if one.default is MISSING:
        return None if one.setting.default else inspect.Parameter.empty
    return None if is_text(one) or one.is_many else one.default


def shown_default(one: Declared) -> bool | str:
    """Returns how help shows the default: in words, or (True) as the value itself."""
    if one.setting.default == RECIPES_OWN:
        return recipe_default(one.name)
    values = one.default if one.is_many and isinstance(one.default, tuple) else ()
    values = values or ((one.default,) if one.kind in NUMBERS and isinstance(one.default, int | float) else ())
    in_words = one.setting.default or ",".join(map(str, values))
    return in_words or not (is_bare(one) or default_of(one) is None)


def make_argument(one: Declared) -> Any:
    """Returns a setting that is named by its place as Typer has it."""
    return typer.Argument(metavar=one.setting.argument, help=one.setting.help, show_default=shown_default(one))


def make_option(one: Declared) -> Any:
    """Returns a flag as Typer has it; its choices stand beside it, or at the end of the help where they are long."""
    text, choices = one.setting.help, one.choices
    kind = value_word(one)
    if choices and kind != "|".join(choices):
        text += f" Choices: {', '.join(choices)}."
    name = f"{one.flag}/--no-{one.flag[2:]}" if one.kind is bool and not is_bare(one) else one.flag
    return typer.Option(
        *(name, one.setting.short)[: 1 + bool(one.setting.short)],
        metavar=kind or " ",
        help=text,
        show_default=shown_default(one),
        rich_help_panel=one.setting.panel or None,
        autocompletion=offer(choices) if choices and not one.is_many else None,
    )


def value_word(one: Declared) -> str:
    """Returns what stands behind a flag in the help: its choices, or the kind of its value; "" where it takes none."""
    if is_bare(one) or one.kind is bool:
        return ""
    if one.choices and not one.is_many:
        return "|".join(one.choices) if len("|".join(one.choices)) <= MOST_CHOICES else "NAME"
    word = "NAME" if one.choices else VALUE_WORDS.get(one.kind, "TEXT")
    return f"{word},..." if one.is_many and is_text(one) else word


def offer(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Returns what offers the choices to a shell that completes a word."""

    def complete(incomplete: str) -> list[str]:
        return [one for one in choices if one.startswith(incomplete)]

    return complete


def read_parameter(parameter: inspect.Parameter, given: Given) -> Any:
    """Returns the options, or the one value, that a parameter of a command's body gets."""
    if is_dataclass(parameter.annotation):
        return read_options(parameter.annotation, given)  # type: ignore[arg-type]
    (one,) = settings_of(parameter)
    value = read_value(one, given[one.name])
    if value is not None:
        one.check(value)
    return value


def read_options(options: type, given: Given) -> Any:
    """Returns options made of what was given on the command line; they check themselves.

    Raises:
        OptionError: a value cannot be used.
    """
    values: dict[str, Any] = {}
    for entry in fields(options):
        if group := group_of(entry.type):
            found = read_group(group, given)
            values[entry.name] = found if entry.default_factory is dict else group.options(**found)
        elif (one := declare(entry.name, entry.type, entry.default)) and one.flag:
            values |= named_value(one, given)
    return options(**values)


def read_group(group: Group, given: Given) -> dict[str, Any]:
    """Returns the values of a group that were given."""
    found: dict[str, Any] = {}
    for one in settings_in(group):
        if one.flag:
            found |= named_value(one, given)
    return found


def named_value(one: Declared, given: Given) -> dict[str, Any]:
    """Returns a setting's value under its name, nothing where its own default is meant."""
    value = given[one.name]
    if value is None and one.default is MISSING:
        return {one.name: UNNAMED}
    return {} if value is None else {one.name: read_value(one, value)}


def read_value(one: Declared, value: Any) -> Any:
    """Returns a value as the options hold it.

    Raises:
        OptionError: it is not what it should be.
    """
    setting = one.setting
    if setting.stands_for is not None:
        return setting.stands_for if value else one.default
    if setting.read is not None and isinstance(value, str):
        return setting.read(value)
    if one.is_many:
        return tuple(value) if isinstance(value, list) else read_list(one, value)
    return read_number(one, value) if one.kind in NUMBERS and isinstance(value, str) else value


def read_number(one: Declared, text: str) -> Any:
    """Returns a number of the setting's kind.

    Raises:
        OptionError: the text is none.
    """
    try:
        return one.kind(text)
    except ValueError:
        kind, example = NUMBERS[one.kind]
        hint = f"give {kind} such as {example}"
        if one.kind is float and re.fullmatch(r"-?\d+,\d+", text):
            hint = f"write a decimal point: {text.replace(',', '.')}"
        raise OptionError(f"{one.flag} {text or EMPTY} is not {kind}", hint) from None


def read_list(one: Declared, text: str) -> tuple[Any, ...]:
    """Returns the values between the commas of a text.

    Raises:
        OptionError: a number is none.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        if one.kind is float and any(re.fullmatch(r"0\d+", part) for part in parts):
            raise ValueError("a decimal comma, as in 0,02")
        return tuple(map(one.kind, parts))
    except ValueError:
        kind = "whole numbers" if one.kind is int else "numbers"
        example = "4,5" if one.kind is int else "1e-3,2e-2,1e-1"
        raise OptionError(f"{one.flag} {text} are not {kind}", f"give {kind} such as {example}") from None
