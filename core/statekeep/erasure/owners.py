"""Whose a document is, by what is inside it, and whether some bytes have a user's id in them."""

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

# An escape of JSON before the id is no letter of a word: "\nada".
_WORD = rb"0-9A-Za-z_\x80-\xff"
_BEGIN = rb"(?:(?<![" + _WORD + rb"])|(?<=\\[bfnrt]))"
_END = rb"(?![" + _WORD + rb"])"


class Owner(NamedTuple):
    """Whose a session or journal is.

    Attributes:
        user_id: The user's id; None for a journal that belongs to nobody.
        uid: The journal's; None for a session that is stored whole.
    """

    user_id: str | None
    uid: str | None


def owner_of(data: bytes) -> Owner:
    """Read whose a session or journal is, wherever it lies.

    Raises:
        CorruptDataError: It is none, or damaged.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    if not is_head(data):
        summary = read_summary(data)
        return Owner((summary or Session.from_json(data)).user_id, None)
    lines = decode_head(data)
    user_id = fold(lines.header, lines.changes).about.get("user_id")
    if not isinstance(user_id, str | None):
        raise CorruptDataError("the journal does not say whose it is")
    if user_id is None and lines.sound < len(data):
        raise CorruptDataError("its end is torn, and may have said whose it is")
    return Owner(user_id, lines.header.uid)


def claimed_users(data: bytes) -> set[str | None]:
    """The users that damaged bytes say they belong to, or are about.

    None is among them if nobody is named where a session or a journal says whose it is.
    """
    place = ("about",) if has_format(data) else ()
    own, others = set[str | None](), set[str | None]()
    for line in data.split(b"\n") if place else [data]:
        for where, user_id in _users_in(line):
            (own if where == place else others).add(user_id)
    return (own or {None}) | others


def _users_in(data: bytes) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """What is called ``user_id``, each with the keys that lead there, as far as brackets tell."""
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
    """The uid that the damaged head of a journal seems to have."""
    match = _find_uid(data)
    return None if match is None else match[1].decode()


def finder(user_id: str) -> Callable[[bytes], bool]:
    """What tells whether bytes have a user's id in them, as a whole word.

    It finds the id as UTF-8 and as JSON writes it, with or without letters beyond ASCII.
    """
    forms = {
        user_id.encode(),
        orjson.dumps(user_id)[1:-1],
        json.dumps(user_id)[1:-1].encode(),
    }
    search = re.compile(_BEGIN + rb"(?:" + b"|".join(map(re.escape, sorted(forms))) + rb")" + _END)
    # Most bytes do not have it at all, and that is sooner said.
    return lambda data: any(form in data for form in forms) and search.search(data) is not None


def find_in_key(find: Callable[[bytes], bool], key: str) -> bool:
    """Whether a key has the id in it, as it is or percent-encoded."""
    return find(key.encode()) or find(unquote(key).encode())
