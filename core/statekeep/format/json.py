"""JSON as the format has it: two spaces, raw UTF-8, nothing that does not read back the same."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from statekeep.errors import CorruptDataError, InvalidDocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_json_value", "decode_json", "encode_json", "explain"]

MAX_DEPTH = 127
"""Nested containers that the original still reads."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_OPTIONS = (
    orjson.OPT_INDENT_2
    | orjson.OPT_UTC_Z
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# A newline inside a string is escaped, so a real one followed by this much indent is a line of the
# 127th container; there only scalars may stand.
_DEEPEST_INDENT = b"\n" + b"  " * MAX_DEPTH
_TOO_DEEP = _DEEPEST_INDENT + rb'(?:  |(?:"(?:[^"\\\n]|\\.)*": )?[\[{])'


@cache
def _json_value() -> TypeAdapter[Any]:
    return TypeAdapter(JsonValue, config=ConfigDict(strict=True, allow_inf_nan=False))


def check_json_value(value: object) -> Any:  # noqa: ANN401 - JSON is any value
    """Give free-form data in plain dicts and lists.

    Refuse what would not read back the same, naming the place.

    What the encoder itself refuses is left to `encode_json`.

    Raises:
        InvalidDocumentError: Something in it is no dict with string keys, list, string, integer,
            finite float, boolean or None.
    """
    try:
        return _json_value().validate_python(value)
    except ValidationError:
        raise _refusal(value) from None


def encode_json(value: object) -> bytes:
    """Write a value that `check_json_value` accepts, or datetimes in UTC among such.

    Raises:
        InvalidDocumentError: An integer is beyond 64 bits, a string has a lone surrogate, or there
            are more than 127 nested containers.
    """
    try:
        data = orjson.dumps(value, option=_OPTIONS)
    except (orjson.JSONEncodeError, TypeError):
        raise _refusal(value) from None
    if _DEEPEST_INDENT in data and re.search(_TOO_DEEP, data):
        raise _refusal(value)
    return data


def _refusal(value: object) -> InvalidDocumentError:
    where, what = _find_refused(value, 1) or ("", f"more than {MAX_DEPTH} nested lists and dicts")
    return InvalidDocumentError(f"JSON cannot hold {what}{f' (at {where})' if where else ''}")


def _find_refused(value: object, depth: int) -> tuple[str, str] | None:
    """The place and the name of what is refused; None if it can only be the depth."""
    members: Iterable[tuple[object, object]] = ()
    match value:
        case None | bool() | datetime():
            pass
        case int() if not -(2**63) <= value < 2**64:
            return "", "an integer beyond 64 bits"
        case float() if not isfinite(value):
            return "", f"the number {value}"
        case str() if _SURROGATE.search(value):
            return "", "a lone surrogate"
        case int() | float() | str():
            pass
        case list():
            members = enumerate(value)
        case dict():
            members = value.items()
        case _:
            return "", f"a value of the type {type(value).__name__}"
    for key, member in members if depth <= MAX_DEPTH else ():
        if isinstance(value, dict) and not isinstance(key, str):
            return "", f"the key {key!r}, which is no string"
        if isinstance(key, str) and _SURROGATE.search(key):
            return "", "a key with a lone surrogate"
        if found := _find_refused(member, depth + 1):
            where, what = found
            step = key if isinstance(key, str) and key.isprintable() else repr(key)
            return f"{step}.{where}" if where else step, what
    return None


def decode_json(data: bytes) -> Any:  # noqa: ANN401 - JSON is any value
    """Read JSON strictly: no NaN, no byte order mark, no lone surrogate, no trailing text.

    Of a duplicate key the last one wins; integers beyond 64 bits become floats.

    Raises:
        CorruptDataError: It is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CorruptDataError(f"not JSON: {error}") from None


def explain(error: ValidationError) -> str:
    """Say what a validation found, without the values: they may be secret or large."""
    parts = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        # Keys come from outside, too, and must not forge a line of a log.
        steps = [step if str(step).isprintable() else repr(step) for step in detail["loc"]]
        where = ".".join(map(str, steps))
        what = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            what = "there is no such option"
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} more" if len(parts) > 3 else "")
