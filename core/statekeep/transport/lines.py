"""The lines of an export: a header, a line for each document, and an end with a hash of them all.

Each is a JSON object, for zstd and jq. The content of a document is stored as JSON if that
reproduces the same bytes, otherwise as text or in base64.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from blake3 import blake3

from statekeep.errors import CorruptDataError, UnsupportedError
from statekeep.retention.sweeping import is_swept
from statekeep.store.keys import QUARANTINE, RESERVED, TRASH, is_below, is_key
from statekeep.store.values import Blob, Version
from statekeep.timestamps import format_timestamp, parse_timestamp, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Document", "End", "Header", "decode_line", "encode_document", "encode_end", "header"]

_EXPORT: Final = 1
"""The number of the format, which a change of meaning increases."""

_PARSED: Final = 16 * 2**20
"""The most bytes of a document stored as JSON: parsed, it takes ten times as much memory."""

_begins_text = re.compile(
    rb'{"key":"(?:[^"\\]|\\.)*+","modified":(?:null|"[^"\\]*+"),"blake3":"[^"\\]*+",'
    rb'"(?:text|base64)":"'
).match
_find_end = re.compile(rb'(?<!\\)(?:\\\\)*+"').search
_is_end = re.compile(rb"\}\s*").fullmatch

_FORMS: Final = ("json", "lines", "text", "base64")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line."""


@dataclass(frozen=True, slots=True)
class Document:
    """A line that contains a document; its blob has no version."""

    key: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class End:
    """The last line: the number of documents, and the hash of all lines before it."""

    documents: int
    blake3: str


def header(prefix: str, include: Iterable[str]) -> bytes:
    """Encode the first line."""
    about = {
        "export": _EXPORT,
        "created_at": format_timestamp(utc_now()),
        "prefix": prefix,
        "include": sorted(include),
    }
    return orjson.dumps({"statekeep": about}) + b"\n"


def encode_end(documents: int, digest: str) -> bytes:
    """Encode the last line."""
    return orjson.dumps({"end": {"documents": documents, "blake3": digest}}) + b"\n"


def encode_document(key: str, blob: Blob) -> bytes:
    """Encode the line of a document."""
    modified = None if blob.modified is None else format_timestamp(blob.modified)
    seal = _hash(key, modified, blob.data)
    about = orjson.dumps({"key": key, "modified": modified, "blake3": seal})
    return b"%b,%b}\n" % (about[:-1], _shown(blob.data))


def _shown(data: bytes) -> bytes:
    """The fields that represent the bytes."""
    if len(data) <= _PARSED and (shown := _as_json(data) or _as_lines(data)):
        return shown
    try:
        text = orjson.dumps(data.decode())
    except UnicodeDecodeError:
        text = b""
    # Control characters take six bytes each.
    if text and len(text) <= 2 * len(data) + 2:
        return b'"text":' + text
    return b'"base64":"%b"' % b64encode(data)


def _as_json(data: bytes) -> bytes | None:
    try:
        value = orjson.loads(data)
        compact = orjson.dumps(value)
        if compact == data:
            return b'"json":' + data
        if orjson.dumps(value, option=orjson.OPT_INDENT_2) == data:
            return b'"indent":2,"json":' + compact
    except (ValueError, TypeError):  # not JSON, or too deep
        pass
    return None


def _as_lines(data: bytes) -> bytes | None:
    if not data.endswith(b"\n"):
        return None
    lines = data[:-1].split(b"\n")
    try:
        if all(orjson.dumps(orjson.loads(line)) == line for line in lines):
            return b'"lines":[%b]' % b",".join(lines)
    except (ValueError, TypeError):
        pass
    return None


def decode_line(line: bytes) -> Header | Document | End:
    """Decode a line.

    Raises:
        CorruptDataError: It is damaged, or not a line of an export.
        UnsupportedError: A newer version of statekeep wrote the export.
    """
    if len(line) > 2 * _PARSED and not _holds_text(line):
        whole = line.endswith(b"\n")
        reason = f"it has {len(line)} bytes, too many to parse"
        raise CorruptDataError(reason if whole else _no_json(line))
    try:
        fields = orjson.loads(line)
    except ValueError:
        raise CorruptDataError(_no_json(line)) from None
    try:
        if "key" in fields:
            return _document(fields)
        if "end" in fields:
            return End(int(fields["end"]["documents"]), str(fields["end"]["blake3"]))
        number = fields["statekeep"]["export"]
        if type(number) is not int:
            raise TypeError
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CorruptDataError("it is not a line of an export") from None
    if number > _EXPORT:
        raise UnsupportedError(
            f"the export is in format {number}, but this version of statekeep knows {_EXPORT}; "
            "upgrade statekeep"
        )
    return Header()


def _holds_text(line: bytes) -> bool:
    """Whether a line takes little more memory when parsed, because most of it is one string."""
    begun = _begins_text(line)
    ended = _find_end(line, begun.end()) if begun else None
    return ended is not None and _is_end(line, ended.end()) is not None


def _no_json(line: bytes) -> str:
    if not line.strip(b"\0 \r\n"):
        return f"it has {len(line)} bytes and no text" + ", all NUL" * (b"\0" in line)
    return "it is cut off" if not line.endswith(b"\n") else "it is damaged: not JSON"


def _document(fields: dict[str, Any]) -> Document:
    key, modified = fields["key"], fields["modified"]
    (form,) = [each for each in _FORMS if each in fields]
    value = fields[form]
    if form == "json":
        indent = orjson.OPT_INDENT_2 if fields.get("indent") == 2 else None
        data = orjson.dumps(value, option=indent)
    elif form == "lines":
        data = b"".join([orjson.dumps(each) + b"\n" for each in value])
    else:
        data = value.encode() if form == "text" else b64decode(value, validate=True)
    if _hash(key, modified, data) != fields["blake3"]:
        raise CorruptDataError(f"it does not match its hash; its key may be {key!r:.300}")
    if type(key) is not str or not is_key(key) or not _belongs(key):
        raise CorruptDataError(f"an export cannot contain this key: {key!r:.300}")
    when = None if modified is None else parse_timestamp(modified)
    return Document(key, Blob(data, Version(""), when))


def _belongs(key: str) -> bool:
    if not is_below(key, RESERVED):
        return True
    return is_swept(key) or key.startswith((f"{TRASH}/", f"{QUARANTINE}/"))


def _hash(key: str, modified: str | None, data: bytes) -> str:
    """Hash one document, because it is imported before the hash of all lines is read."""
    seal = blake3(f"{key}\0{modified or ''}\0".encode())
    return seal.update(data).hexdigest(length=16)
