"""JSON as the format has it: two spaces, raw UTF-8, nothing that does not read back the same."""

from __future__ import annotations

import re
from typing import Any

import orjson
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from statekeep.errors import CorruptDataError, InvalidDocumentError

__all__ = ["check_json_value", "decode_json", "encode_json", "explain"]

MAX_DEPTH = 127
"""Nested containers that the original still reads."""

_JSON_VALUE: TypeAdapter[Any] = TypeAdapter(
    JsonValue, config=ConfigDict(strict=True, allow_inf_nan=False)
)
_OPTIONS = (
    orjson.OPT_INDENT_2
    | orjson.OPT_UTC_Z
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# A newline inside a string is escaped, so a real one followed by this much indent is a line of the
# 127th container; there only scalars may stand.
_DEEPEST_INDENT = b"\n" + b"  " * MAX_DEPTH
_TOO_DEEP = re.compile(_DEEPEST_INDENT + rb'(?:  |(?:"(?:[^"\\\n]|\\.)*": )?[\[{])')


def check_json_value(value: object) -> None:
    """Refuse what JSON cannot hold, naming the place.

    Raises:
        InvalidDocumentError: Something in it is no dict with string keys, list, string, finite
            number, boolean or None.
    """
    try:
        _JSON_VALUE.validate_python(value)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=True)[0]
        # The union's own tags stand between the real steps of the path.
        path = [str(step) for step in detail["loc"][1::2] if step != "[key]"]
        where = f" at {'.'.join(path)}" if path else ""
        raise InvalidDocumentError(
            f"JSON cannot hold this{where}: a {type(detail['input']).__name__} "
            "(dict, list, str, int, finite float, bool and None can be stored)"
        ) from None


def encode_json(value: object) -> bytes:
    """Write a value that `check_json_value` accepts, or datetimes in UTC among such.

    Raises:
        InvalidDocumentError: An integer is beyond 64 bits, a string has a lone surrogate, or there
            are more than 127 nested containers.
    """
    try:
        data = orjson.dumps(value, option=_OPTIONS)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise InvalidDocumentError(f"JSON cannot hold this: {error}") from None
    if _DEEPEST_INDENT in data and _TOO_DEEP.search(data):
        raise InvalidDocumentError(f"more than {MAX_DEPTH} nested lists and dicts")
    return data


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
        where = ".".join(map(str, detail["loc"]))
        what = detail["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} more" if len(parts) > 3 else "")
