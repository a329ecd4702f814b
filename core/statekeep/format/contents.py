"""The contents of a journal's head once its changes are applied, and the next head.

Pure functions: they say what must be stored in a segment before a head is written, and leave
storing it to the caller.
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
    """How much the head of a journal holds, and how large segments become.

    Readers do not depend on these limits. Tests lower them, so that a few items act like many.

    Attributes:
        lines: Maximum size of the lines after the header, in bytes.
        kept: Size of the newest lines that stay when older ones leave, in bytes.
        merged: Maximum size of a segment that is merged from others, in bytes.
    """

    lines: int = 64 * 1024
    kept: int = 16 * 1024
    merged: int = 4 * 2**20


BOUNDS: Final = Bounds()


@dataclass(slots=True)
class Contents:
    """The state of a journal, except for the items in its segments.

    Attributes:
        n: The number of the last change.
        about: As in `Header.about`, with all changes applied.
        metadata: The caller's metadata, with all changes applied.
        tail: The items in the lines.
        keys: The callers' keys, hashed, oldest first.
        ids: The remembered changes, each with its number, oldest first.
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
            CorruptDataError: It drops more items than there are in the lines.
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
        """Return the contents with more changes applied; the original stays unchanged.

        Raises:
            CorruptDataError: A change cannot be applied.
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
    """Apply changes to the contents of a header.

    Raises:
        CorruptDataError: A change cannot be applied.
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
    """What every head says about the journal as a whole.

    Attributes:
        name: A journal's name in its collection; empty for a session.
        id: A session's id; None for a journal.
        user_id: The user who owns it.
        created_at: When it was created; time-zone aware, UTC.
        updated_at: When it was last changed; time-zone aware, UTC.
    """

    name: tuple[str, ...]
    id: str | None
    user_id: str | None
    created_at: datetime
    updated_at: datetime


def about_at(key: str, contents: Contents) -> About:
    """Read what a head says about the journal as a whole.

    Args:
        key: The key of the head.
        contents: Its contents.

    Raises:
        CorruptDataError: Something is missing, or it belongs elsewhere.
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
            raise TypeError("name, id and user must be text")
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
    """A head whose lines are within their limit.

    Attributes:
        header: Its first line, without the segment of the items that leave.
        changes: The lines that stay.
        leaving: The items that leave for a segment.
    """

    header: Header
    changes: tuple[Change, ...]
    leaving: tuple[Any, ...] = ()


def fit(header: Header, changes: Sequence[Change]) -> Fitted:
    """Fold the oldest changes into the header if the lines would exceed their limit.

    Args:
        header: The current header.
        changes: All changes since, including the one to be written.

    Raises:
        CorruptDataError: A change cannot be applied.
    """
    # The length of a line does not depend on its seal.
    sizes = [len(encode_line(change.fields(), "")[0]) for change in changes]
    if sum(sizes) <= BOUNDS.lines:
        return Fitted(header, tuple(changes))
    stay, room = len(changes), BOUNDS.kept
    while stay and sizes[stay - 1] <= room:
        stay -= 1
        room -= sizes[stay]
    # A line that drops items must leave together with them.
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
