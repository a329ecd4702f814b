"""Find the owner of a document in its content, and a user's id in bytes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import orjson

from statekeep.errors import CorruptDataError
from statekeep.format.contents import fold
from statekeep.format.journal import decode_head
from statekeep.format.session import Session
from statekeep.format.summary import read_summary
from statekeep.format.version import has_format, is_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Owner", "claimed_users", "find_in_key", "finder", "owner_of", "uid_in"]

_find_tokens = re.compile(
    rb'("(?:[^"\\]|\\.)*")(\s*:)?|([{}\[\]])|[^\s,:{}\[\]"]+', re.DOTALL
).finditer
_find_uid = re.compile(rb'"uid":"([0-9a-f]{32})"').search

# The letter of a JSON escape before the id is not part of the word: "\nada".
_WORD = rb"0-9A-Za-z_\x80-\xff"
_BEGIN = rb"(?:(?<![" + _WORD + rb"])|(?<=\\[bfnrt]))"
_END = rb"(?![" + _WORD + rb"])"


class Owner(NamedTuple):
    """The owner of a session or journal.

    Attributes:
        user_id: The user's id; None for a journal without a user.
        uid: The uid of the journal; None for a session stored as one document.
    """

    user_id: str | None
    uid: str | None


def owner_of(data: bytes) -> Owner:
    """Read the owner of a session or journal, wherever it is stored.

    Raises:
        CorruptDataError: The bytes are neither, or are damaged.
        UnsupportedError: A newer version of statekeep wrote them.
    """
    if not is_head(data):
        summary = read_summary(data)
        return Owner((summary or Session.from_json(data)).user_id, None)
    lines = decode_head(data)
    user_id = fold(lines.header, lines.changes).about.get("user_id")
    if not isinstance(user_id, str | None):
        raise CorruptDataError("the journal does not name its user")
    if user_id is None and lines.sound < len(data):
        raise CorruptDataError("its end is torn, and may have named its user")
    return Owner(user_id, lines.header.uid)


def claimed_users(data: bytes) -> set[str | None]:
    """The users that damaged bytes name.

    Includes None if no user is named in the place where a session or journal names its owner.
    """
    place = ("about",) if has_format(data) else ()
    own, others = set[str | None](), set[str | None]()
    for line in data.split(b"\n") if place else [data]:
        for where, user_id in _users_in(line):
            (own if where == place else others).add(user_id)
    return (own or {None}) | others


def _users_in(data: bytes) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Yield each value of ``user_id`` with the path of keys to it, as far as brackets show."""
    path: list[str] = []
    key: str | None = None
    for match in _find_tokens(data):
        text, colon, bracket = match.groups()
        if text is not None and colon:
            key = _text(text)
            continue
        if key == "user_id":
            yield (*path[1:],), None if text is None else _text(text)
        if bracket in {b"{", b"["}:
            path.append(key or "")
        elif bracket and path:
            path.pop()
        key = None
    if key == "user_id":  # its value is lost
        yield (*path[1:],), None


def _text(quoted: bytes) -> str | None:
    try:
        value: str = orjson.loads(quoted)
    except orjson.JSONDecodeError:
        return None
    return value


def uid_in(data: bytes) -> str | None:
    """The uid in the damaged head of a journal, if one can be found."""
    match = _find_uid(data)
    return None if match is None else match[1].decode()


def finder(user_id: str) -> Callable[[bytes], bool]:
    """Make a function that tells whether bytes contain a user's id as a whole word.

    It finds the id as UTF-8 and as JSON, with or without non-ASCII characters escaped.
    """
    forms = {
        user_id.encode(),
        orjson.dumps(user_id)[1:-1],
        json.dumps(user_id)[1:-1].encode(),
    }
    search = re.compile(_BEGIN + rb"(?:" + b"|".join(map(re.escape, sorted(forms))) + rb")" + _END)
    # Most bytes do not contain it at all, which `in` finds faster.
    return lambda data: any(form in data for form in forms) and search.search(data) is not None


def find_in_key(find: Callable[[bytes], bool], key: str) -> bool:
    """Whether a key contains the id, as it is or percent-encoded."""
    return find(key.encode()) or find(unquote(key).encode())
