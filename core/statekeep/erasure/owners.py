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
from statekeep.format.version import is_head

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Owner", "claimed_users", "find_in_key", "finder", "owner_of", "uid_in"]

_find_users = re.compile(rb'"user_id"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL).findall
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
    return Owner(user_id, lines.header.uid)


def claimed_users(data: bytes) -> set[str]:
    """The users that damaged bytes say something belongs to."""
    found = set()
    for text in _find_users(data):
        try:
            found.add(orjson.loads(text))
        except orjson.JSONDecodeError:
            continue
    return found


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
