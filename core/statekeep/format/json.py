"""JSON in the file format: two spaces, raw UTF-8, nothing that does not read back the same."""

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
    """Only the text of the document is wrong, and it can be repaired."""


RepairText = Literal["refuse", "replace"]
"""What to do with text that UTF-8 cannot hold: refuse to read it, or read U+FFFD in its place."""

_ADVICE = "read it with repair_text='replace'"

_OPTIONS = (
    orjson.OPT_INDENT_2
    | orjson.OPT_UTC_Z
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# A newline inside a string is escaped, so a real one followed by this much indentation is a line of
# the 127th container, which can hold only scalars.
_DEEPEST_INDENT = b"\n" + b"  " * MAX_DEPTH
_TOO_DEEP = _DEEPEST_INDENT + rb'(?:  |(?:"(?:[^"\\\n]|\\.)*": )?[\[{])'

# Matches every escape, so that an escaped backslash does not begin another one.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F]..)|.)", re.DOTALL
)


def encode_json(value: object) -> bytes:
    """Encode a plain value, which can contain UTC datetimes.

    Raises:
        InvalidDocumentError: An integer exceeds 64 bits, a string has a lone surrogate, or more
            than 127 containers are nested.
    """
    try:
        data = orjson.dumps(value, option=_OPTIONS)
    except (orjson.JSONEncodeError, TypeError):
        raise refusal(value) from None
    if _DEEPEST_INDENT in data and re.search(_TOO_DEEP, data):
        raise refusal(value)
    return data


def encode_parts(fields: Mapping[str, Any], parts: Mapping[str, Sequence[list[Any]]]) -> bytes:
    """Encode a plain dict as `encode_json` does, some of its lists in parts.

    The encoder blocks all other threads until it has encoded what it was given.

    Args:
        fields: The dict.
        parts: For some fields, by name, their list split into several lists, none of them empty.

    Raises:
        InvalidDocumentError: As in `encode_json`.
    """
    try:
        members = [
            _joined(name, [encode_json({name: part}) for part in parts.get(name, [value])])
            for name, value in fields.items()
        ]
    except InvalidDocumentError:
        encode_json(fields)  # its error says more precisely where the problem is
        raise
    return b"{\n  " + b",\n  ".join(members) + b"\n}"


def _joined(name: str, texts: list[bytes]) -> bytes:
    """Join dicts that each hold one part of a member into that member's text."""
    if len(texts) == 1:
        return texts[0][len(b"{\n  ") : -len(b"\n}")]
    end = b"\n  ]\n}"
    start = len(encode_json({name: []})) - len(b"[]\n}") + len(b"[\n")
    items = b",\n".join([text[start : -len(end)] for text in texts])
    return texts[0][len(b"{\n  ") : start] + items + b"\n  ]"


def decode_json(data: bytes) -> Any:  # noqa: ANN401 - JSON is any value
    """Decode JSON strictly: no NaN, no byte order mark, no lone surrogate, no trailing text.

    With duplicate keys the last one wins; integers beyond 64 bits become floats.

    Raises:
        HalfCharacterError: It would be JSON if its text were repaired.
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
    """Decode text.

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
    """Replace lone surrogates, and bytes that are not UTF-8, in JSON by U+FFFD."""
    try:
        text = repair_text(data.decode(errors="surrogatepass"))
    except UnicodeDecodeError:
        text = data.decode(errors="replace")
    return _ESCAPE.sub(_whole, text.encode())


def _whole(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["half"] else escape[0]


def explain(error: ValidationError) -> str:
    """Describe what a validation found, without the values: they may be secret or large."""
    parts = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        # Keys are untrusted, too, and must not forge a line of a log.
        steps = [step if str(step).isprintable() else repr(step) for step in detail["loc"]]
        where = ".".join(map(str, steps))
        what = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            what = "there is no such field"
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} more" if len(parts) > 3 else "")
