"""Documents checked against the schemas in the package."""

from typing import Any

import pytest

from recap_cli.records import read_schema


class WrongShapeError(AssertionError):
    """A document breaks its schema."""


def check_document(command: str, document: Any) -> None:
    """Checks what a command wrote with --json."""
    schema = read_schema(command)
    # One of two forms, the result and the dry run: the one that is meant, so that the message says what is wrong.
    forms = schema.get("oneOf", [schema])
    is_dry = "dry_run" in document
    check(document, {**forms[is_dry], "$defs": schema.get("$defs", {})}, command)


def check_part(command: str, part: str, value: Any) -> None:
    """Checks a value against one of a schema's parts."""
    schema = read_schema(command)
    check(value, {"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]}, f"{command}, {part}")


def check(value: Any, schema: dict[str, Any], name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra dev")
    jsonschema.Draft202012Validator.check_schema(schema)
    for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
        raise WrongShapeError(f"{name}: {error.json_path}: {error.message[:300]}")
