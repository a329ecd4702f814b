"""Find what belongs to a user, to plan an erasure and to verify it afterwards.

Live heads are read first, then the trash, quarantine and the live ones again, as in a sweep, so
that none is missed that moves meanwhile. A journal's segments and attachments are stored below its
uid, which a fork does not share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from statekeep.erasure.owners import claimed_users, find_in_key, finder, owner_of, uid_in
from statekeep.erasure.places import former, is_below, is_read_as_head, kind_of, ordered
from statekeep.erasure.types import ErasureVictim, Mention, VictimKind
from statekeep.errors import CorruptDataError, StateStoreError, UnsupportedError
from statekeep.format.record import Problem
from statekeep.retention.sweeping import is_swept
from statekeep.store.keys import (
    ATTACHMENTS,
    BLOBS,
    CACHE,
    JOURNALS,
    QUARANTINE,
    RESERVED,
    SESSIONS,
    TRASH,
    parse_document_key,
)
from statekeep.store.powers import get_many

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from statekeep.store.protocol import Blob, Entry, StateStore

__all__ = ["Found", "look"]

_LIVE: Final = (JOURNALS, SESSIONS)
_ORDER: Final = (*_LIVE, TRASH, QUARANTINE, *_LIVE)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a user.

    Attributes:
        victims: What belongs to the user, as `ordered` sorts it.
        problems: What cannot be read, sorted by key.
        mentions: What else contains the user's id, sorted by key.
        unnamed: How many segments and attachments belong to no journal.
    """

    victims: tuple[ErasureVictim, ...]
    problems: tuple[Problem, ...]
    mentions: tuple[Mention, ...]
    unnamed: int


def look(
    store: StateStore,
    user_id: str,
    patterns: Iterable[str],
    *,
    everything: bool = False,
    uids: Collection[str] = (),
) -> Found:
    """Find what belongs to a user. Changes nothing.

    Args:
        store: The store.
        user_id: The user.
        patterns: Patterns of documents and blobs that belong to the user, too.
        everything: Whether to look for the id in documents, blobs, segments and attachments, too.
        uids: The uids of the user's journals whose heads may already be gone.

    Raises:
        UnavailableError, AccessDeniedError: The store did not answer, or refused.
    """
    search = _Search(store, user_id, tuple(patterns), {*uids})
    search.read_heads()
    search.settle_older_states()
    search.read_rest(everything=everything)
    return search.found()


class _Search:
    """A search for what belongs to a user, and what it has found so far.

    Args:
        store: The store.
        user_id: The user.
        patterns: Patterns of documents and blobs that belong to the user, too.
        uids: The uids of the user's journals known so far.
    """

    def __init__(
        self, store: StateStore, user_id: str, patterns: tuple[str, ...], uids: set[str]
    ) -> None:
        self._store = store
        self._user_id = user_id
        self._patterns = [_pattern(each) for each in patterns]
        self._has_id = finder(user_id)
        self._uids = uids
        self._others: set[str] = set()  # the uids of heads that stay
        self._older: list[ErasureVictim] = []  # heads without a user in the trash and quarantine
        self._victims: dict[str, ErasureVictim] = {}
        self._problems: dict[str, Problem] = {}
        self._mentions: dict[str, Mention] = {}
        self._unnamed: set[str] = set()

    def read_heads(self) -> None:
        """Read all sessions and heads of journals, live, trashed and quarantined."""
        seen: dict[str, str | None] = {}
        for place, prefix in enumerate(_ORDER):
            there: set[str] = set()
            keys: dict[str, None] = {}
            for entry in self._store.scan(prefix):
                if not is_read_as_head(entry.key):
                    continue
                there.add(entry.key)
                if entry.fingerprint is None or seen.get(entry.key) != entry.fingerprint:
                    keys[entry.key] = None
            if prefix in _ORDER[:place]:
                self._forget_moved(prefix, there)
            for key, blob in get_many(self._store, keys):
                self._forget(key)
                if isinstance(blob, StateStoreError):
                    self._cannot_read(key, blob.message)
                elif blob is not None:
                    seen[key] = blob.fingerprint
                    self._judge(key, blob)

    def _forget_moved(self, prefix: str, there: set[str]) -> None:
        known = {*self._victims, *self._problems, *self._mentions}
        for key in known - there:
            if is_below(key, prefix):
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._victims.pop(key, None)
        self._problems.pop(key, None)
        self._mentions.pop(key, None)

    def _judge(self, key: str, blob: Blob) -> None:
        kind = kind_of(key)
        if kind == "quarantined" and not is_read_as_head(former(key)):
            if self._is_wanted(former(key)):
                self._take(_victim(key, kind, blob, "its name before a repair matches a pattern"))
            else:
                self._mention(key, blob.data)
            return
        try:
            user_id, uid = owner_of(blob.data)
        except (CorruptDataError, UnsupportedError) as error:
            self._judge_damaged(key, blob, error.message)
            return
        if user_id == self._user_id:
            self._take(_victim(key, kind, blob, "it belongs to the user", uid))
            return
        if uid is not None and user_id is None and is_below(key, TRASH, QUARANTINE):
            reason = "it is an earlier state of one of the user's journals"
            self._older.append(_victim(key, kind, blob, reason, uid))
        elif uid is not None:
            self._others.add(uid)
        self._mention(key, blob.data)

    def _judge_damaged(self, key: str, blob: Blob, why: str) -> None:
        uid = uid_in(blob.data)
        if claimed_users(blob.data) == {self._user_id}:
            reason = f"it cannot be read ({why}), but names the user and no other"
            self._take(_victim(key, kind_of(key), blob, reason, uid))
            return
        if uid is not None:
            self._others.add(uid)
        self._cannot_read(key, why, blob)

    def _cannot_read(self, key: str, why: str, blob: Blob | None = None) -> None:
        where = self._place_of_id(key, b"" if blob is None else blob.data)
        whose = f"the user's id is in {where}" if where else "its user is unknown"
        version = None if blob is None else blob.version
        self._problems[key] = Problem(key, version, f"{why}; {whose}: look at it yourself")

    def _take(self, victim: ErasureVictim) -> None:
        self._victims[victim.key] = victim
        if victim.uid is not None:
            self._uids.add(victim.uid)

    def _mention(self, key: str, data: bytes) -> None:
        if where := self._place_of_id(key, data):
            self._mentions[key] = Mention(key, f"the user's id is in {where}")

    def _place_of_id(self, key: str, data: bytes) -> str | None:
        if find_in_key(self._has_id, key):
            return "its key"
        return "its bytes" if self._has_id(data) else None

    def settle_older_states(self) -> None:
        """Take copies of the user's journals from before they belonged to the user."""
        for victim in self._older:
            if victim.uid in self._uids:
                self._forget(victim.key)
                self._take(victim)
            elif victim.uid is not None:
                self._others.add(victim.uid)

    def read_rest(self, *, everything: bool) -> None:
        """Look at all other keys, and read those that may belong to or mention the user."""
        # A dict, because scanning a folder that is being written to may yield a file twice.
        to_read: dict[str, None] = {}
        for entry in self._store.scan():
            key = entry.key
            if is_read_as_head(key):
                continue
            if is_swept(key):
                self._see_part(entry)
            elif find_in_key(self._has_id, key):
                self._mentions[key] = Mention(key, "the user's id is in its key")
            is_own = is_below(key, RESERVED) and not is_swept(key)
            if (everything and key not in self._victims) or is_own or self._is_wanted(key):
                to_read[key] = None
        for key, blob in get_many(self._store, to_read):
            if isinstance(blob, StateStoreError):
                self._cannot_read(key, blob.message)
            elif blob is not None:
                self._judge_rest(key, blob)

    def _see_part(self, entry: Entry) -> None:
        """Look at the key of a segment or an attachment."""
        place = entry.key.rpartition("/")[0]
        uid = place.rpartition("/")[2]
        if uid not in self._uids:
            if uid not in self._others:
                self._unnamed.add(entry.key)
            return
        if uid in self._others:
            reason = (
                "a head of another user, or one that cannot be read, may refer to these files; "
                "a sweep deletes those that no head refers to"
            )
            self._problems[place] = Problem(place, None, reason)
            return
        kind: VictimKind = "attachment" if is_below(place, ATTACHMENTS) else "segment"
        reason = "it is part of one of the user's journals"
        self._victims[entry.key] = ErasureVictim(entry.key, kind, entry.size, reason, uid=uid)

    def _judge_rest(self, key: str, blob: Blob) -> None:
        if self._is_wanted(key):
            self._forget(key)
            kind: VictimKind = "blob" if is_below(key, BLOBS) else "document"
            self._take(_victim(key, kind, blob, "its name matches a pattern"))
        elif is_below(key, CACHE):
            if self._place_of_id(key, blob.data):
                size, reason = len(blob.data), "the user's id is in it; it will be rebuilt"
                self._victims[key] = ErasureVictim(key, "index", size, reason)
        else:
            self._mention(key, blob.data)

    def _is_wanted(self, key: str) -> bool:
        names = [key]
        if not is_below(key, BLOBS):
            parts = parse_document_key(key)
            if parts is None or is_read_as_head(key):
                return False
            names.append(f"{parts[0]}/{parts[1]}")
        return any(fits(name) for name in names for fits in self._patterns)

    def found(self) -> Found:
        """Return everything found, in order."""
        return Found(
            ordered(self._victims.values()),
            tuple([self._problems[key] for key in sorted(self._problems)]),
            tuple([self._mentions[key] for key in sorted(self._mentions)]),
            len(self._unnamed),
        )


def _pattern(text: str) -> Callable[[str], object]:
    """Make a function that tells whether a name matches; only ``*`` is special."""
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL).fullmatch


def _victim(
    key: str, kind: VictimKind, blob: Blob, reason: str, uid: str | None = None
) -> ErasureVictim:
    return ErasureVictim(key, kind, len(blob.data), reason, blob.version, blob.fingerprint, uid)
