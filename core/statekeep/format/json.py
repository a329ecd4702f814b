"""JSON as the format has it: two spaces, raw UTF-8, nothing that does not read back the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import orjson

from statekeep._text import repair_text
from statekeep.errors import CorruptDataError, InvalidDocumentError
from statekeep.format.values import MAX_DEPTH, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError

__all__ = [
    "HalfCharacterError",
    "RepairText",
    "decode_json",
    "decode_text",
    "encode_json",
    "encode_parts",
    "explain",
    "repair_json",
]


class HalfCharacterError(CorruptDataError):
    """Nothing is wrong with it but its text, and that can be repaired."""


RepairText = Literal["refuse", "replace"]
"""What to do with text that UTF-8 cannot hold: not to read it, or to read U+FFFD in its place."""

_ADVICE = "read it with repair_text='replace'"

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

# Every escape, so that a backslash that was escaped itself begins none.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F]..)|.)", re.DOTALL
)


def encode_json(value: object) -> bytes:
    """Write a plain value, or datetimes in UTC among such.

    Raises:
        InvalidDocumentError: An integer is beyond 64 bits, a string has a lone surrogate, or there
            are more than 127 nested containers.
    """
    try:
        data = orjson.dumps(value, option=_OPTIONS)
    except (orjson.JSONEncodeError, TypeError):
        raise refusal(value) from None
    if _DEEPEST_INDENT in data and re.search(_TOO_DEEP, data):
        raise refusal(value)
    return data


def encode_parts(fields: Mapping[str, Any], parts: Mapping[str, Sequence[list[Any]]]) -> bytes:
    """Write a plain dict as `encode_json` does, some of its lists a part at a time.

    The encoder lets no other thread go on before it has done all that it was given.

    Args:
        fields: The dict.
        parts: By the names of fields, the lists that these are, in several lists that are not
            empty.

    Raises:
        InvalidDocumentError: As `encode_json`.
    """
    try:
        members = [
            _joined(name, [encode_json({name: part}) for part in parts.get(name, [value])])
            for name, value in fields.items()
        ]
    except InvalidDocumentError:
        encode_json(fields)  # says better where it is
        raise
    return b"{\n  " + b",\n  ".join(members) + b"\n}"


def _joined(name: str, texts: list[bytes]) -> bytes:
    """A member of a dict, of dicts that have a part of it each."""
    if len(texts) == 1:
        return texts[0][len(b"{\n  ") : -len(b"\n}")]
    end = b"\n  ]\n}"
    start = len(encode_json({name: []})) - len(b"[]\n}") + len(b"[\n")
    items = b",\n".join([text[start : -len(end)] for text in texts])
    return texts[0][len(b"{\n  ") : start] + items + b"\n  ]"


def decode_json(data: bytes) -> Any:  # noqa: ANN401 - JSON is any value
    """Read JSON strictly: no NaN, no byte order mark, no half character, no trailing text.

    Of a duplicate key the last one wins; integers beyond 64 bits become floats.

    Raises:
        HalfCharacterError: It is not JSON, but would be with its text repaired.
        CorruptDataError: It is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        reason = error
    try:
        data.decode(errors="surrogatepass")
        orjson.loads(repair_json(data))
    except (UnicodeDecodeError, orjson.JSONDecodeError):
        raise CorruptDataError(f"not JSON: {reason}") from None
    raise HalfCharacterError(f"there is half a character in it: {reason}; {_ADVICE}")


def decode_text(data: bytes) -> str:
    """Read text.

    Raises:
        CorruptDataError: It is not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CorruptDataError(
            f"not UTF-8 text: {error.reason} at byte {error.start}; {_ADVICE}"
        ) from None


def repair_json(data: bytes) -> bytes:
    """Give JSON with U+FFFD in place of half characters and of bytes that are not UTF-8."""
    try:
        text = repair_text(data.decode(errors="surrogatepass"))
    except UnicodeDecodeError:
        text = data.decode(errors="replace")
    return _ESCAPE.sub(_whole, text.encode())


def _whole(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["half"] else escape[0]


def explain(error: ValidationError) -> str:
    """Say what a validation found, without the values: they may be secret or large."""
    parts = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        # Keys come from outside, too, and must not forge a line of a log.
        steps = [step if str(step).isprintable() else repr(step) for step in detail["loc"]]
        where = ".".join(map(str, steps))
        what = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            what = "nothing of this name belongs there"
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} more" if len(parts) > 3 else "")
