"""Format 2, the head of a journal: a header, then one line per change, each with a seal.

A seal is a hash over the seal of the previous line and the line itself. So the last whole line
tells how far the journal goes, and nothing before it can be missing, foreign or damaged without
being noticed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import orjson
from blake3 import blake3

from statekeep.errors import CorruptDataError
from statekeep.format.version import refuse_newer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "MAX_IDS",
    "MAX_KEYS",
    "Change",
    "Header",
    "Lines",
    "SegmentName",
    "decode_head",
    "encode_head",
    "encode_line",
    "hashed_key",
]

T = TypeVar("T")

MAX_KEYS: Final = 1024
"""How many of the callers' keys a header remembers."""

MAX_IDS: Final = 256
"""How many changes a header remembers whose lines are gone."""

_SEAL: Final = 32
_SEALED: Final = len(',"~":""}') + _SEAL
_HEX: Final = frozenset(b"0123456789abcdef")


class SegmentName(NamedTuple):
    """What a header says about a segment.

    Attributes:
        name: Its name in the journal's folder.
        items: How many of its lines count; later ones do not.
        size: Its size in bytes.
        hash: The hash of the whole file.
        first: The position of its first item.
    """

    name: str
    items: int
    size: int
    hash: str
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line of a head: everything before the changes that follow.

    Attributes:
        uid: Set when the journal is created; a fork gets a new one.
        n: The number of the last change that is folded in.
        about: Name or id, user, times, and other facts about the journal as a whole.
        metadata: The caller's metadata.
        segments: Where the older items are, in order.
        before: The summary of what the segments hold.
        keys: The latest of the callers' keys, hashed.
        ids: The latest changes whose lines are gone, each with its number.
        attached: Whether the journal has attachments.
        more: Fields that this version does not know.
    """

    uid: str
    n: int
    about: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[SegmentName, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    ids: tuple[tuple[str, int], ...] = ()
    attached: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Return the fields of the line, in order."""
        return {
            "statekeep": 2,
            "uid": self.uid,
            "n": self.n,
            "about": dict(self.about),
            "metadata": dict(self.metadata),
            "segments": [list(segment) for segment in self.segments],
            "before": dict(self.before),
            "keys": list(self.keys),
            "ids": [list(each) for each in self.ids],
            **({"attached": True} if self.attached else {}),
            **self.more,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A line after the header: one change, applied in the order of these fields.

    Attributes:
        n: Its number, one more than that of the previous change.
        id: Its id, the same for all attempts to write it.
        at: When it was made, as text; None for a change that leaves `updated_at` as it was.
        drop: How many items to remove from the end of those in the lines.
        items: The items to append.
        keys: The caller's keys, hashed.
        unset: Top-level metadata keys to remove.
        set: Top-level metadata keys to set.
        about: Changes to `Header.about`; None removes a key.
        more: Fields that this version does not know; they last as long as the line.
    """

    n: int
    id: str
    at: str | None = None
    drop: int = 0
    items: tuple[Any, ...] = ()
    keys: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Return the fields of the line, in order, without the empty ones."""
        optional = {
            "at": self.at,
            "drop": self.drop,
            "items": list(self.items),
            "keys": list(self.keys),
            "unset": list(self.unset),
            "set": dict(self.set),
            "about": dict(self.about),
        }
        needed = {name: value for name, value in optional.items() if value}
        return {"n": self.n, "id": self.id, **needed, **self.more}


@dataclass(frozen=True, slots=True)
class Lines:
    """The head of a journal, as decoded from bytes.

    Attributes:
        header: Its first line.
        changes: The lines that follow, as far as they are sound.
        sizes: The sizes of these lines in bytes.
        seal: The last sound seal.
        sound: How many bytes are sound; the rest is a torn end.
    """

    header: Header
    changes: tuple[Change, ...]
    sizes: tuple[int, ...]
    seal: str
    sound: int

    @property
    def n(self) -> int:
        """The number of the last change."""
        return self.header.n + len(self.changes)


def hashed_key(key: str) -> str:
    """Hash a caller's key, as it is stored."""
    return blake3(key.encode()).hexdigest(length=12)


def encode_line(fields: Mapping[str, Any], seal: str) -> tuple[bytes, str]:
    """Encode one line.

    Args:
        fields: Its fields, plain values.
        seal: The seal of the previous line; empty for a header.

    Returns:
        The line with its line feed, and its seal.

    Raises:
        TypeError: The encoder refuses a value.
    """
    body = orjson.dumps(fields)
    mark = _seal(seal, body)
    return body[:-1] + b',"~":"' + mark.encode() + b'"}\n', mark


def encode_head(header: Header, changes: Iterable[Change] = ()) -> bytes:
    """Encode a head, with its seals."""
    line, seal = encode_line(header.fields(), "")
    lines = [line]
    for change in changes:
        line, seal = encode_line(change.fields(), seal)
        lines.append(line)
    return b"".join(lines)


def decode_head(data: bytes, *, known: tuple[Lines, bytes] | None = None) -> Lines:
    """Decode a head.

    Args:
        data: The document.
        known: An earlier result, and the sound bytes it came from, to continue from if `data`
            begins with them.

    Raises:
        CorruptDataError: There is damage before the last sound line.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    if known is not None and data.startswith(known[1]):
        return _follow(known[0], data)
    refuse_newer(data)
    lines = data.split(b"\n")[:-1]
    if not (lines and _fits(lines[0], "")):
        raise CorruptDataError("the header of the journal is damaged")
    header = _read(_decode_header, lines[0])
    size = len(lines[0]) + 1
    return _follow(Lines(header, (), (), _claimed(lines[0]) or "", size), data)


def _follow(known: Lines, data: bytes) -> Lines:
    """Decode the lines after those that are known."""
    *lines, cut = data[known.sound :].split(b"\n")
    claims = [known.seal, *map(_claimed, lines)]
    fitting = [
        place
        for place, (line, before) in enumerate(zip(lines, claims, strict=False), start=1)
        if before is not None and _fits(line, before)
    ]
    last = fitting[-1] if fitting else 0
    # An interrupted write leaves at most one unsound line.
    if len(fitting) < last or len(lines) - last + bool(cut) > 1:
        broken = next((place for place, found in enumerate(fitting, 1) if place != found), last + 1)
        line = len(known.changes) + broken + 1
        raise CorruptDataError(f"line {line} of the journal is damaged, and more follow")
    changes = tuple([_read(_decode_change, line) for line in lines[:last]])
    for number, change in enumerate(changes, start=known.n + 1):
        if change.n != number:
            raise CorruptDataError(
                f"change {change.n} of the journal stands where {number} belongs"
            )
    sizes = tuple([len(line) + 1 for line in lines[:last]])
    return replace(
        known,
        changes=known.changes + changes,
        sizes=known.sizes + sizes,
        seal=claims[last] or "",
        sound=known.sound + sum(sizes),
    )


_is_uid = re.compile("[0-9a-f]+").fullmatch
_is_name = re.compile("[0-9]+-[0-9a-f]+").fullmatch


def _seal(before: str, body: bytes) -> str:
    return blake3(before.encode() + body).hexdigest(length=_SEAL // 2)


def _claimed(line: bytes) -> str | None:
    """Return the seal that a line claims; None if it does not end with one."""
    end = line[-_SEALED:]
    seal = end[6:-2]
    if end[:6] == b',"~":"' and end[-2:] == b'"}' and len(seal) == _SEAL and _HEX.issuperset(seal):
        return seal.decode()
    return None


def _fits(line: bytes, before: str) -> bool:
    return _claimed(line) == _seal(before, line[:-_SEALED] + b"}")


def _read(decode: Callable[[dict[str, Any]], T], line: bytes) -> T:
    try:
        return decode(orjson.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptDataError(
            f"a sealed line of the journal is not of format 2: {error}"
        ) from None


def _decode_header(fields: dict[str, Any]) -> Header:
    take = fields.pop
    del fields["~"]
    if take("statekeep") != 2:
        raise ValueError("not a header")
    return Header(
        uid=_shaped(_is_uid, take("uid")),
        n=_a(int, take("n")),
        about=_a(dict, take("about")),
        metadata=_a(dict, take("metadata")),
        segments=tuple([_segment(each) for each in take("segments")]),
        before=_a(dict, take("before")),
        keys=_texts(take("keys")),
        ids=tuple([(_a(str, change), _a(int, n)) for change, n in take("ids")]),
        attached=_a(bool, take("attached", False)),
        more=fields,
    )


def _decode_change(fields: dict[str, Any]) -> Change:
    take = fields.pop
    del fields["~"]
    at = take("at", None)
    drop = _a(int, take("drop", 0))
    if drop < 0:
        raise ValueError(f"it drops {drop} items")
    return Change(
        n=_a(int, take("n")),
        id=_a(str, take("id")),
        at=None if at is None else _a(str, at),
        drop=drop,
        items=tuple(_a(list, take("items", []))),
        keys=_texts(take("keys", [])),
        unset=_texts(take("unset", [])),
        set=_a(dict, take("set", {})),
        about=_a(dict, take("about", {})),
        more=fields,
    )


def _segment(fields: list[Any]) -> SegmentName:
    name, items, size, digest, first = fields
    if min(_a(int, items), _a(int, size), _a(int, first)) < 0:
        raise ValueError(f"the segment {name!r:.40} has a negative number")
    # They are parts of keys.
    return SegmentName(_shaped(_is_name, name), items, size, _a(str, digest), first)


def _shaped(is_right: Callable[[str], object], value: object) -> str:
    text = _a(str, value)
    if not is_right(text):
        raise ValueError(f"{text!r:.40} is not a valid name")
    return text


def _texts(values: list[Any]) -> tuple[str, ...]:
    return tuple([_a(str, value) for value in _a(list, values)])


def _a(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.40} is not of type {kind.__name__}")
    return value
