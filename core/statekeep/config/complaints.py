"""Errors in options and settings, explained to people: which key, what it takes, what it got.

Values are not shown: they may be secret. pydantic's own messages are for people who know the
models.
"""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from statekeep._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["Place", "complain"]

Place = tuple[int | str, ...]
"""Where a value is: the keys that lead to it."""

_MOST = 3

# By the start of pydantic's name for the error.
_TAKES = {
    "string_pattern": "text of the form {pattern}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "decimal": "a number",
    "bool": "true or false",
    "byte_size": 'a number of bytes, or text such as "2GiB"',
    "time_delta": 'a time such as "5m", "7d" or "PT5M"',
    "literal": "{expected}",
    "enum": "{expected}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a table",
    "model": "a table",
    "url": "a URL",
    "path": "a path",
}
_CAME: dict[type, str] = {
    bool: "true or false",
    dict: "a table",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "this text",
    type(None): "nothing",
}


def complain(
    model: type[BaseModel],
    error: ValidationError,
    *,
    noun: str,
    origin: Callable[[Place], str | None],
) -> str:
    """Describe what a validation found, one complaint for each mistake, and list the known keys.

    Args:
        model: The model that was validated.
        error: The validation error.
        noun: What its fields are called: ``"option"``, ``"setting"``.
        origin: Says where the value at a place, or in the table around it, comes from, if that is
            known.
    """
    details = error.errors(include_url=False)
    missing = {each["loc"] for each in details if each["type"] == "missing"}
    said = []
    for detail in details:
        place = detail["loc"]
        if detail["type"] == "extra_forbidden":
            # The key that was misspelled is not also reported as missing.
            lacking = [str(each[-1]) for each in missing if each[:-1] == place[:-1]]
            known = _names(_model_at(model, place[:-1]))
            near = _nearest(place[-1], lacking) or _nearest(place[-1], known)
            missing.discard((*place[:-1], near or ""))
            hint = f"; did you mean {near}?" if near else ""
            said.append((place, f"there is no such {noun}{hint}"))
        elif detail["type"] != "missing":
            said.append((place, _takes(detail)))
    said += [(place, "it is missing") for place in sorted(missing, key=str)]
    parts = [
        ": ".join(filter(None, [origin(place), _written(place), what])) for place, what in said
    ]
    more = f"; and {len(parts) - _MOST} more" if len(parts) > _MOST else ""
    known = _names(_model_at(model, said[0][0][:-1]) or model)
    return f"{'; '.join(parts[:_MOST])}{more} (known: {', '.join(known) or 'none'})"


def _takes(detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail["input"]
    if kind in {"value_error", "assertion_error"}:
        return printable(detail["msg"].partition(", ")[2])  # the words of the model's author
    takes = next((text for start, text in _TAKES.items() if kind.startswith(start)), None)
    if takes is None:
        return printable(detail["msg"].replace("Input should be", "it takes"))
    takes = takes.format_map(detail.get("ctx", {}))
    if kind.startswith(("greater", "less")) and _is_number(value):
        return f"it takes {takes}, not {value}"
    came = _CAME.get(type(value), f"a value of the type {type(value).__name__}")
    near = _nearest(value, takes.split("'")[1::2]) if kind == "literal_error" else None
    return f"it takes {takes}, not {came}" + (f"; did you mean {near!r}?" if near else "")


def _is_number(value: object) -> bool:
    """Whether a value is a number or a time, or text that is a number, as in the environment."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int | float | timedelta)


def _model_at(model: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """Return the model of the table at a place, if there is one."""
    found: type[BaseModel] | None = model
    is_named = False
    for step in place:
        if isinstance(step, int) or is_named:  # in a list, or a table of tables
            is_named = False
            continue
        field = found.model_fields.get(step) if found else None
        found = None if field is None else _model_in(field.annotation)
        is_named = found is not None and field is not None and get_origin(field.annotation) is dict
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any annotation is one
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _names(model: type[BaseModel] | None) -> list[str]:
    fields = model.model_fields.items() if model else ()
    return [details.alias or name for name, details in fields]


def _nearest(wanted: object, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(str(wanted), list(known), 1)), None)


def _written(place: Place) -> str:
    return printable(".".join(map(str, place)))
