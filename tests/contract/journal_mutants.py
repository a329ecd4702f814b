"""Mistakes in journals, each made for as long as a block runs; `test_mutants.py` has it found."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import orjson
from blake3 import blake3

from statekeep import ConflictError, CorruptDataError, StateStoreError, UnavailableError
from statekeep.format import contents
from statekeep.format import journal as lines_of
from statekeep.format.journal import SegmentName, decode_head, encode_head
from statekeep.journals import committing, segments, writing
from statekeep.journals.committing import HeadFile
from statekeep.journals.journal import Journal
from statekeep.journals.segments import Segments
from statekeep.store import content_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from statekeep.format.contents import Fitted
    from statekeep.format.journal import Change, Header, Lines
    from statekeep.journals.committing import Seen
    from statekeep.store.protocol import Expect

__all__ = ["MISTAKES", "Mistake"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake.

    Attributes:
        where: The class or module in which it is made.
        name: What is replaced there.
        mistake: By what; its name says what is wrong.
        promise: The test of the contract that finds it, in words.
    """

    where: object
    name: str
    mistake: Callable[..., Any]
    promise: str

    def __str__(self) -> str:
        return self.mistake.__name__.strip("_")

    def made(self) -> AbstractContextManager[object]:
        """Make the mistake for as long as a block runs."""
        return mock.patch.object(self.where, self.name, self.mistake)


_add = Segments.add
_compare = Journal._compare
_fit = contents.fit
_follow = lines_of._follow
_put = HeadFile._put
_read = HeadFile.read


def _go_on_whatever_the_uid(of: Journal, seen: Seen | None, expect: Expect) -> None:
    of._uid = None
    _compare(of, seen, expect)


def _look_at_the_shape_of_seals(line: bytes, _: str) -> bool:
    return lines_of._claimed(line) is not None


def _trust_the_size_of_what_is_known(
    data: bytes, *, known: tuple[Lines, bytes] | None = None
) -> Lines:
    if known is not None and len(data) >= len(known[1]):
        return _follow(known[0], data)
    return decode_head(data)


def _skip_damage(known: Lines, data: bytes) -> Lines:
    try:
        return _follow(known, data)
    except CorruptDataError:
        shorter = data.rstrip(b"\n").rpartition(b"\n")[0] + b"\n"
        if len(shorter) < known.sound:
            raise
        return _skip_damage(known, shorter)


def _delete_what_was_merged(
    of: Segments, names: Sequence[SegmentName], items: Sequence[Any], first: int
) -> tuple[SegmentName, ...]:
    added = _add(of, names, items, first)
    for gone in {*names} - {*added}:
        of._store.delete(of._key(gone.name))
    return added


def _never_merge(
    of: Segments, names: Sequence[SegmentName], items: Sequence[Any], first: int
) -> tuple[SegmentName, ...]:
    return (*names, of.write(items, first))


def _name_a_segment_unseen(of: Segments, items: Sequence[Any], first: int) -> SegmentName:
    data = b"".join([orjson.dumps(item) + b"\n" for item in items])
    name = f"{first:012d}-{blake3(data).hexdigest(length=8)}"
    with suppress(StateStoreError):
        of._transfer.put_new(of._key(name), data)
    return SegmentName(name, len(items), len(data), segments._hash(data), first)


def _look_for_an_append_at_its_place(
    file: HeadFile, change: str, base: Seen | None, error: StateStoreError
) -> Seen | None:
    now = file.read()
    number = base.contents.n + 1 if base else 1
    there = {each.n: each.id for each in now.lines.changes} if now else {}
    if there.get(number) == change:
        return now
    if number in there:
        raise ConflictError("another's", key=file.key, landed="no")
    if (base and base.version) != (now and now.version):
        raise file._unknown(error)
    return None


def _try_again_whatever_was_cleared(
    file: HeadFile, change: str, base: Seen | None, _: StateStoreError
) -> Seen | None:
    now = file.read()
    if now is not None and any(each.id == change for each in now.lines.changes):
        return now
    if base is not None and now is not None and base.uid == now.uid and base.version != now.version:
        raise ConflictError("it was cleared", key=file.key, landed="no")
    return None


def _try_again_in_a_journal_made_anew(
    file: HeadFile, change: str, base: Seen | None, _: StateStoreError
) -> Seen | None:
    now = file.read()
    if now is not None and change in now.contents.ids:
        return now
    if (base and base.version) != (now and now.version):
        raise ConflictError("something else is there", key=file.key, landed="no")
    return None


def _say_no_of_what_is_unknown(file: HeadFile, error: StateStoreError) -> UnavailableError:
    return UnavailableError(error.message, key=file.key, landed="no")


def _believe_in_an_answer(
    file: HeadFile, base: Seen | None, data: bytes, begun: tuple[float, float]
) -> Seen:
    try:
        return _put(file, base, data, begun)
    except UnavailableError:
        return committing.decode_seen(file.key, data, content_version(data), base)


def _believe_what_it_saw(file: HeadFile) -> Seen | None:
    return file.seen or _read(file)


def _count_anew(header: Header, changes: Iterable[Change] = ()) -> bytes:
    renumbered = [replace(change, n=number) for number, change in enumerate(changes, start=1)]
    return encode_head(replace(header, n=0), renumbered)


def _forget_keys_of_lines_that_leave(header: Header, changes: Sequence[Change]) -> Fitted:
    fitted = _fit(header, changes)
    if fitted.header == header:
        return fitted
    return replace(fitted, header=replace(fitted.header, keys=header.keys))


def _keep_a_drop_without_its_items(header: Header, changes: Sequence[Change]) -> Fitted:
    fitted = _fit(header, [replace(change, drop=0) for change in changes])
    stay = len(changes) - len(fitted.changes)
    return replace(fitted, changes=tuple(changes[stay:]))


_FAULTS = "a failed write says correctly whether it landed"
_UNKNOWN = "whether an append landed is looked up and never guessed"
_DAMAGE = "damage is never skipped"
_ANEW = "a handle of a deleted journal is refused"

MISTAKES = (
    Mistake(Journal, "_compare", _go_on_whatever_the_uid, _ANEW),
    Mistake(lines_of, "_fits", _look_at_the_shape_of_seals, _DAMAGE),
    Mistake(lines_of, "_follow", _skip_damage, _DAMAGE),
    Mistake(
        committing,
        "decode_head",
        _trust_the_size_of_what_is_known,
        "a handle notices that its journal was replaced",
    ),
    Mistake(Segments, "add", _delete_what_was_merged, "segments named by older heads are kept"),
    Mistake(Segments, "add", _never_merge, "a journal has few segments"),
    Mistake(Segments, "write", _name_a_segment_unseen, _FAULTS),
    Mistake(HeadFile, "_look_for", _look_for_an_append_at_its_place, _UNKNOWN),
    Mistake(HeadFile, "_look_for", _try_again_whatever_was_cleared, _UNKNOWN),
    Mistake(HeadFile, "_look_for", _try_again_in_a_journal_made_anew, _UNKNOWN),
    Mistake(HeadFile, "_unknown", _say_no_of_what_is_unknown, _UNKNOWN),
    Mistake(HeadFile, "_put", _believe_in_an_answer, _FAULTS),
    Mistake(
        HeadFile, "read", _believe_what_it_saw, "a handle notices that its journal was replaced"
    ),
    Mistake(writing, "encode_head", _count_anew, "changes are numbered consecutively"),
    Mistake(
        writing,
        "fit",
        _forget_keys_of_lines_that_leave,
        "an append with a key happens once",
    ),
    Mistake(
        writing, "fit", _keep_a_drop_without_its_items, "items can be popped from segments too"
    ),
)
"""Each mistake, and the promise that it breaks."""
