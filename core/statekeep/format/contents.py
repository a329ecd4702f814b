"""What the head of a journal says once its changes are applied, and the head that follows.

Pure: what must lie in a segment before a head is written is said, and left to who writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from statekeep.errors import CorruptDataError, InvalidKeyError
from statekeep.format.journal import MAX_IDS, MAX_KEYS, Header, encode_line
from statekeep.store.keys import JOURNALS, journal_key, session_key
from statekeep.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from statekeep.format.journal import Change

__all__ = ["BOUNDS", "About", "Bounds", "Contents", "Fitted", "about_at", "fit", "fold"]


@dataclass(slots=True)
class Bounds:
    """What lies in the head of a journal, and what in how many segments.

    Readers know nothing of it. Tests lower it, so that a few items have all that many would.

    Attributes:
        lines: Bytes that the lines after the header take at most.
        kept: Bytes of the newest lines that stay when the others leave.
        merged: Bytes up to which segments become one.
    """

    lines: int = 64 * 1024
    kept: int = 16 * 1024
    merged: int = 4 * 2**20


BOUNDS: Final = Bounds()


@dataclass(slots=True)
class Contents:
    """The state of a journal, but for the items in its segments.

    Attributes:
        n: The last change.
        about: As `Header.about`, with all changes.
        metadata: The caller's, with all changes.
        tail: The items that lie in the lines.
        keys: The hashed keys of callers, the oldest first.
        ids: The changes that are remembered, each with its number, the oldest first.
    """

    n: int
    about: dict[str, Any]
    metadata: dict[str, Any]
    tail: list[Any]
    keys: list[str]
    ids: dict[str, int]

    def apply(self, change: Change) -> None:
        """Apply one more change.

        Raises:
            CorruptDataError: It drops more items than lie in the lines.
        """
        if change.drop > len(self.tail):
            raise CorruptDataError(f"change {change.n} of the journal drops what is not there")
        del self.tail[len(self.tail) - change.drop :]
        self.tail += change.items
        self.keys += change.keys
        for name in change.unset:
            self.metadata.pop(name, None)
        self.metadata |= change.set
        for name, value in change.about.items():
            if value is None:
                self.about.pop(name, None)
            else:
                self.about[name] = value
        if change.at is not None:
            self.about["updated_at"] = change.at
        self.ids[change.id] = self.n = change.n

    def after(self, changes: Iterable[Change]) -> Contents:
        """What is said once more changes are applied; this stays as it is.

        Raises:
            CorruptDataError: One of them cannot be applied.
        """
        contents = Contents(
            self.n,
            dict(self.about),
            dict(self.metadata),
            [*self.tail],
            [*self.keys],
            dict(self.ids),
        )
        for change in changes:
            contents.apply(change)
        return contents


def fold(header: Header, changes: Iterable[Change] = ()) -> Contents:
    """Apply changes to what a header says.

    Raises:
        CorruptDataError: One of them cannot be applied.
    """
    begun = Contents(
        header.n,
        dict(header.about),
        dict(header.metadata),
        [],
        [*header.keys],
        dict(header.ids),
    )
    return begun.after(changes)


@dataclass(frozen=True, slots=True)
class About:
    """What a head says of the whole, as far as all journals say it.

    Attributes:
        name: A journal's name in its collection; empty for a session.
        id: A session's id; None for a journal.
        user_id: The user it belongs to.
        created_at: Aware, UTC.
        updated_at: Aware, UTC.
    """

    name: tuple[str, ...]
    id: str | None
    user_id: str | None
    created_at: datetime
    updated_at: datetime


def about_at(key: str, contents: Contents) -> About:
    """Read what a head says of the whole.

    Args:
        key: Where it lies.
        contents: What it says.

    Raises:
        CorruptDataError: It does not say it, or says that it belongs elsewhere.
    """
    about = contents.about
    name, session_id, user_id = about.get("name", []), about.get("id"), about.get("user_id")
    try:
        if not (
            isinstance(name, list)
            and all(isinstance(part, str) for part in name)
            and isinstance(session_id, str | None)
            and isinstance(user_id, str | None)
        ):
            raise TypeError("name, id and user are texts")
        created_at = parse_timestamp(about["created_at"])
        updated_at = parse_timestamp(about["updated_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptDataError(f"the journal does not say what it is: {error}") from None
    category, _, rest = key.partition("/")
    try:
        if category == JOURNALS:
            place = journal_key(rest.partition("/")[0], name)
        else:
            place = session_key(session_id or "")
    except InvalidKeyError:
        place = None
    if place != key:
        inner = session_id if session_id is not None else "/".join(name)
        raise CorruptDataError(f"the name inside, {inner[:80]!r}, does not belong here")
    return About(tuple(name), session_id, user_id, created_at, updated_at)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head whose lines are within their bound.

    Attributes:
        header: Its first line, but for the segment of what leaves.
        changes: The lines that stay.
        leaving: The items that leave for a segment.
    """

    header: Header
    changes: tuple[Change, ...]
    leaving: tuple[Any, ...] = ()


def fit(header: Header, changes: Sequence[Change]) -> Fitted:
    """Fold the oldest changes into the header, if the lines would take more than they may.

    Args:
        header: The header so far.
        changes: All changes since, with the one that is to be written.

    Raises:
        CorruptDataError: One of them cannot be applied.
    """
    # The length of a line does not depend on its seal.
    sizes = [len(encode_line(change.fields(), "")[0]) for change in changes]
    if sum(sizes) <= BOUNDS.lines:
        return Fitted(header, tuple(changes))
    stay, room = len(changes), BOUNDS.kept
    while stay and sizes[stay - 1] <= room:
        stay -= 1
        room -= sizes[stay]
    # A line that drops items must not stay without them.
    for place in range(stay, len(changes)):
        if changes[place].drop:
            stay = place + 1
    contents = fold(header, changes[:stay])
    folded = replace(
        header,
        n=contents.n,
        about=contents.about,
        metadata=contents.metadata,
        keys=tuple(contents.keys[-MAX_KEYS:]),
        ids=tuple([*contents.ids.items()][-MAX_IDS:]),
    )
    return Fitted(folded, tuple(changes[stay:]), tuple(contents.tail))
