"""How ids, categories and names become keys: the one place where keys are built and checked.

A key is a path of segments joined by ``/``. Backends can join keys to their location without
further checks, because `check_key` refuses everything that could lead elsewhere.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

from statekeep._text import half_character
from statekeep.errors import InvalidKeyError
from statekeep.store.arguments import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "ATTACHMENTS",
    "BLOBS",
    "CACHE",
    "JOURNALS",
    "MAX_NAME",
    "MAX_SESSION_ID",
    "QUARANTINE",
    "RESERVED",
    "SEGMENTS",
    "SESSIONS",
    "STAMP",
    "STAMPS",
    "TRASH",
    "WRITTEN_BY",
    "Kind",
    "blob_key",
    "blob_name",
    "blob_prefix",
    "check_key",
    "check_prefix",
    "document_key",
    "document_prefix",
    "is_below",
    "is_journal_key",
    "is_key",
    "is_session_key",
    "journal_id",
    "journal_key",
    "journal_name",
    "journal_prefix",
    "parse_document_key",
    "segment_key",
    "segment_prefix",
    "session_key",
    "session_stem",
]

Kind = Literal["json", "md"]
"""The kind of a document: JSON or Markdown, as its key's suffix says."""

SESSIONS = "sessions"
"""The category of sessions."""

JOURNALS = "journals"
"""The category of journals."""

BLOBS = "blobs"
"""The category of blobs."""

WRITTEN_BY = {SESSIONS: "Sessions", JOURNALS: "Journals", BLOBS: "Blobs"}
"""Categories that do not hold plain documents, each with the class that writes there."""

RESERVED = ".statekeep"
"""The category that statekeep keeps for itself."""

CACHE = f"{RESERVED}/cache"
"""Documents that can be deleted at any time, because they are rebuilt."""

STAMP = f"{RESERVED}/retention.json"
"""Records when the last background prune began."""

STAMPS = f"{RESERVED}/retention"
"""The folder of the stamps of collections that are pruned separately."""

TRASH = f"{RESERVED}/trash"
"""Where the trash is kept."""

QUARANTINE = f"{RESERVED}/quarantine"
"""Where a repair moves things out of the way."""

SEGMENTS = f"{RESERVED}/segments"
"""Where the older items of journals are kept."""

ATTACHMENTS = f"{RESERVED}/attachments"
"""Where the files of journals are kept."""

MAX_NAME = 6
"""Maximum number of parts in the name of a journal or blob."""

MAX_SESSION_ID = 512
"""Maximum length of a session id, in characters."""

# Never part of a legal key, so a backend can use them for itself.
_LOCKS = f"{RESERVED}/locks/"
_UNFINISHED = ".tmp"

_MAX_SEGMENT = 255
"""Maximum length of a segment, in bytes, that common filesystems and object stores can hold."""

_MAX_PART = 120
"""Maximum length of one part of a name, in bytes, so that a whole key stays within S3's limit."""

_MAX_FILE = 200
"""Maximum length of a blob's file name, in bytes."""

_is_collection = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,63}").fullmatch

_UNSAFE = re.compile("[\0\\\\\ud800-\udfff]")
# Matches most keys; deciding whether the others are legal takes longer.
_MAX_PLAIN_ID = 100
_is_plain_id = re.compile(r"[\w%+=@-]+", re.ASCII).fullmatch
_is_plain = re.compile(r"(?:\w[\w%+=@-]*/)*+\w[\w%+=@-]*\.(?:json|md)", re.ASCII).fullmatch
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")


def check_key(key: str) -> None:
    """Refuse a key that could lead outside a store, or that some store cannot hold.

    Raises:
        InvalidKeyError: A segment is empty, ``.``, ``..`` or longer than 255 bytes of UTF-8;
            there is a NUL, a backslash or a lone surrogate; the key ends with ``.tmp`` or is
            below ``.statekeep/locks``.
        TypeError: It is not text.
    """
    if type(key) is not str:
        key = plain_text("key", key)
    if len(key) <= _MAX_SEGMENT and _is_plain(key):
        return
    rule = _broken_rule(key)
    if rule is None and key.endswith(_UNFINISHED):
        rule = f"must not end with {_UNFINISHED!r}, which marks unfinished writes"
    if rule:
        raise InvalidKeyError(f"not a legal key: {rule}", key=key)


def check_prefix(prefix: str) -> None:
    """Refuse a prefix that no key can have.

    Raises:
        InvalidKeyError: As in `check_key`; the empty prefix is legal.
        TypeError: It is not text.
    """
    prefix = plain_text("prefix", prefix)
    if prefix and (rule := _broken_rule(prefix)):
        raise InvalidKeyError(f"not a legal prefix: {rule}", key=prefix)


def is_key(text: str) -> bool:
    """Return whether `check_key` accepts this text."""
    if type(text) is not str:
        text = plain_text("text", text)
    if len(text) <= _MAX_SEGMENT and _is_plain(text):
        return True
    return _broken_rule(text) is None and not text.endswith(_UNFINISHED)


def _broken_rule(key: str) -> str | None:
    if _UNSAFE.search(key):
        return "no NUL, backslash or lone surrogate is allowed"
    if key[0:1] == "." and f"{key}/".casefold().startswith(_LOCKS):
        return f"{_LOCKS!r} is reserved for the store's own locks"
    for segment in key.split("/"):
        if segment in {"", ".", ".."}:
            return f"no segment may be {segment!r}"
        if len(segment) * 4 > _MAX_SEGMENT and len(segment.encode()) > _MAX_SEGMENT:
            return f"a segment may have at most {_MAX_SEGMENT} bytes"
    return None


def session_key(session_id: str) -> str:
    """Return the key of a session.

    Raises:
        InvalidKeyError: The id is empty, longer than 512 characters or has a lone surrogate.
    """
    return f"{SESSIONS}/{session_stem(session_id)}.json"


def session_stem(session_id: str) -> str:
    r"""Encode a session id injectively as the stem of a file name.

    An id that is a harmless file name is its own stem, so the original can share the file. Every
    other stem begins with ``%..``, which the original neither creates nor opens.

    >>> session_stem("2024-01-01 planning"), session_stem("slack:C1/17.5")
    ('2024-01-01 planning', '%..slack%3AC1%2F17.5')
    """
    if len(session_id) <= _MAX_PLAIN_ID and _is_plain_id(session_id):
        return session_id
    if not session_id:
        raise InvalidKeyError("a session id must not be empty")
    if len(session_id) > MAX_SESSION_ID:
        raise InvalidKeyError(
            f"a session id may have at most {MAX_SESSION_ID} characters, not {len(session_id)}",
            key=f"{session_id[:40]}…",
        )
    if half_character(session_id) is not None:
        raise InvalidKeyError("a session id must not have a lone surrogate", key=session_id)
    longest = _MAX_SEGMENT - len(".json")
    return session_id if _is_harmless(session_id, longest) else _encoded(session_id, longest)


def _is_harmless(text: str, longest: int) -> bool:
    """Whether a text can be a file name, and one that the original would also create."""
    return (
        ".." not in text
        and "/" not in text
        and "\\" not in text
        and not _CONTROL.search(text)
        and len(text.encode()) <= longest
    )


def _encoded(text: str, longest: int) -> str:
    """Encode a text as a stem, at most `longest` bytes, unique and never made by the original."""
    stem = "%.." + quote(text, safe="").replace("~", "%7E")
    if len(stem) > longest:
        digest = hashlib.sha256(text.encode()).hexdigest()
        stem = f"{stem[: longest - len(digest) - 1]}~{digest}"
    return stem


def journal_key(collection: str, name: Sequence[str]) -> str:
    """Return the key of a journal's head.

    Args:
        collection: The journal's collection: up to 64 of ``a`` to ``z``, ``0`` to ``9``, dots,
            hyphens and underscores, not starting with a dot.
        name: One to six texts of any length; a text can be empty.

    Raises:
        InvalidKeyError: One of them is not legal.
    """
    if not name:
        raise InvalidKeyError("a journal's name has at least one part")
    return f"{journal_prefix(collection, name)}.jsonl"


def journal_id(key: str) -> str:
    """Return what identifies a journal in its collection: its key without the shared part."""
    return key.split("/", 2)[2].removesuffix(".jsonl")


def journal_name(key: str) -> tuple[str, ...]:
    """Return a journal's name as far as its key tells: a part that was shortened stays short."""
    return tuple([_decoded(stem, _journal_stem) for stem in journal_id(key).split("/")])


def _decoded(stem: str, encode: Callable[[str], str]) -> str:
    part = unquote(stem.removeprefix("%.."))
    return part if encode(part) == stem else stem


def journal_prefix(collection: str, name: Sequence[str] = ()) -> str:
    """Return the prefix of all journals whose names start with these parts.

    Raises:
        InvalidKeyError: As in `journal_key`.
    """
    _check_name("journal", collection, name)
    return "/".join([JOURNALS, collection, *map(_journal_stem, name)])


def _check_name(what: str, collection: str, name: Sequence[str]) -> None:
    if not _is_collection(collection):
        raise InvalidKeyError(
            "a collection's name has a to z, 0 to 9, '.', '_', '-', at most 64, and no dot first",
            key=collection,
        )
    if len(name) > MAX_NAME:
        raise InvalidKeyError(f"a {what}'s name has at most {MAX_NAME} parts, not {len(name)}")
    for part in name:
        if half_character(part) is not None:
            raise InvalidKeyError(f"a {what}'s name must not have a lone surrogate", key=part)


def _journal_stem(part: str) -> str:
    # No journal may have the key of another's folder.
    is_plain = part not in {"", "."} and not part.casefold().endswith(".jsonl")
    return part if is_plain and _is_harmless(part, _MAX_PART) else _encoded(part, _MAX_PART)


def segment_prefix(uid: str) -> str:
    """Return the prefix of all segments of a journal."""
    return f"{SEGMENTS}/{uid}"


def segment_key(uid: str, name: str) -> str:
    """Return the key of a segment, given the name its journal's head has for it."""
    return f"{segment_prefix(uid)}/{name}.jsonl"


def is_journal_key(key: str) -> bool:
    """Return whether this can be the key of a journal's head."""
    return key.endswith(".jsonl") and key.startswith(f"{JOURNALS}/") and key.count("/") > 1


def blob_key(collection: str, name: Sequence[str]) -> str:
    """Return the key of a blob.

    Args:
        collection: As in `journal_key`.
        name: Up to five texts of any length, which can be empty, and a file name.

    Raises:
        InvalidKeyError: One of them is not legal.

    >>> blob_key("plots", ("ada", "thread/17", "2026.png"))
    'blobs/plots/ada/%..thread%2F17/2026.png'
    """
    if not name:
        raise InvalidKeyError("a blob's name has at least one part, the file name")
    _check_name("blob", collection, name)
    return f"{blob_prefix(collection, name[:-1])}/{_file_segment(name[-1])}"


def blob_prefix(collection: str, name: Sequence[str] = ()) -> str:
    """Return the prefix of all blobs whose names start with these parts.

    Raises:
        InvalidKeyError: As in `blob_key`.
    """
    _check_name("blob", collection, name)
    return "/".join([BLOBS, collection, *map(_folder_segment, name)])


def blob_name(key: str) -> tuple[str, ...] | None:
    """Return a blob's name as far as its key tells, or None if the key is not a blob's.

    A part that was shortened stays short.
    """
    category, _, rest = key.partition("/")
    collection, _, below = rest.partition("/")
    if category != BLOBS or not _is_collection(collection) or not below:
        return None
    *folders, file = below.split("/")
    name = (
        *[_decoded(stem, _folder_segment) for stem in folders],
        unquote(file[2:]) if file.startswith("%.") else file,
    )
    try:
        sound = blob_key(collection, name).split("/")[2:]
    except InvalidKeyError:
        return None
    is_ours = sound[-1] == file and all(map(_is_stem, folders, sound))
    return name if is_ours else None


def _is_stem(stem: str, encoded: str) -> bool:
    """Whether a part would become this stem, as far as a shortened one can tell."""
    return stem == encoded or (stem.startswith("%..") and "~" in stem and len(stem) == _MAX_PART)


# No blob has the key of another's folder: a file has a dot in its name, or begins with `%.` and no
# second dot; a folder has no dot, or begins with `%..`.


def _folder_segment(part: str) -> str:
    is_plain = part and "." not in part
    return part if is_plain and _is_harmless(part, _MAX_PART) else _encoded(part, _MAX_PART)


def _file_segment(name: str) -> str:
    if not name:
        raise InvalidKeyError("a blob's file name must not be empty")
    is_plain = "." in name.strip(".") and not name.startswith("%.")
    if is_plain and _is_harmless(name, _MAX_FILE) and not name.endswith(_UNFINISHED):
        return name
    rest = quote(name, safe="")
    if rest.startswith("."):
        rest = f"%2E{rest[1:]}"
    if rest.endswith(_UNFINISHED):
        rest = f"{rest.removesuffix(_UNFINISHED)}%2E{_UNFINISHED[1:]}"
    if len(rest) + 2 > _MAX_FILE:
        raise InvalidKeyError(
            f"a blob's file name may have at most {_MAX_FILE} bytes, and this one takes "
            f"{len(rest) + 2}",
            key=f"{name[:40]}…",
        )
    return f"%.{rest}"


def is_session_key(key: str) -> bool:
    """Return whether this can be the key of a session."""
    return key.endswith(".json") and key.rfind("/") == len(SESSIONS) and key.startswith(SESSIONS)


def document_key(category: str, name: str, kind: Kind) -> str:
    """Return the key of a document.

    Args:
        category: One or more segments (``specs/v1``), or ``.`` for the root.
        name: The name without its suffix.
        kind: ``"json"`` or ``"md"``.

    Raises:
        InvalidKeyError: The name or the category is not legal; the message says why.
    """
    if kind not in {"json", "md"}:
        raise InvalidKeyError(f"a document's kind is 'json' or 'md', not {kind!r}")
    folder = document_prefix(category)
    _refuse("document name", name, ("..", "/", "\\"))
    file = f"{name}.{kind}"
    if len(file.encode()) > _MAX_SEGMENT:
        raise InvalidKeyError(
            f"a document name with its ending may have at most {_MAX_SEGMENT} bytes",
            key=f"{name[:40]}…",
        )
    key = f"{folder}/{file}" if folder else file
    check_key(key)
    return key


def document_prefix(category: str) -> str:
    """Return the prefix of a category's documents; empty for the root.

    Raises:
        InvalidKeyError: The category is not legal, or is reserved for statekeep.
    """
    _refuse("category", category, ("..", "\\", "//"))
    if category.startswith("/") or category.endswith("/"):
        raise InvalidKeyError("a category must not begin or end with '/'", key=category)
    prefix = "/".join(segment for segment in category.split("/") if segment != ".")
    if is_below(prefix, RESERVED):
        raise InvalidKeyError(f"the category {RESERVED!r} is reserved for statekeep", key=category)
    check_prefix(prefix)
    return prefix


def is_below(prefix: str, category: str) -> bool:
    """Return whether a prefix is in a category, also on volumes that ignore case."""
    return unicodedata.normalize("NFC", prefix).casefold().split("/")[0] == category


def _refuse(what: str, value: str, parts: tuple[str, ...]) -> None:
    if not value:
        raise InvalidKeyError(f"a {what} must not be empty")
    for part in parts:
        if part in value:
            raise InvalidKeyError(f"a {what} must not contain {part!r}", key=value)
    if _CONTROL.search(value) or half_character(value) is not None:
        raise InvalidKeyError(
            f"a {what} must not contain control characters or lone surrogates", key=value
        )


def parse_document_key(key: str) -> tuple[str, str, Kind] | None:
    """Return the category, name and kind of a document's key, or None if it is not a document's."""
    folder, _, file = key.rpartition("/")
    name, _, kind = file.rpartition(".")
    if kind not in {"json", "md"} or not name or folder.split("/")[0] == RESERVED:
        return None
    return folder or ".", name, "json" if kind == "json" else "md"
