"""The one rule for values: what can be stored, and in which form.

A value consists of dicts with text keys, lists, text, 64-bit integers, finite floats, booleans and
None. Instances of subclasses of these are stored as what they hold.
"""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from statekeep._text import half_character
from statekeep.errors import InvalidDocumentError
from statekeep.store.limits import MAX_DOCUMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_DEPTH", "check_shape", "plain_value", "refusal"]

MAX_DEPTH: Final = 127
"""Maximum number of nested containers; the original reads no more."""

_LEAVES: Final = frozenset({str, int, bool, NoneType})
_CONTAINERS: Final = frozenset({dict, list})
_KEYS: Final = frozenset({str})

_AROUND: Final = 2
"""Minimum size of what surrounds a value besides indentation, in bytes: a comma, a line feed."""

_TOO_DEEP: Final = f"more than {MAX_DEPTH} nested lists and dicts"


def plain_value(value: object, *, around: int = 0, times: bool = False) -> Any:  # noqa: ANN401 - JSON is any value
    """Convert a value to the form in which it is stored; returns it as is if its types are plain.

    Takes time linear in the size of the value, even if a list occurs in it several times, or in
    itself. What only the encoder can see, large integers and lone surrogates, is left to it.

    Args:
        value: Any value.
        around: How many lists and dicts it will be stored in.
        times: Let datetimes pass, for the encoder.

    Raises:
        InvalidDocumentError: Something in it cannot be stored; the message says what and where.
    """
    if _is_plain(value, around + 1):
        return value
    try:
        return _Walk(times=times).plain(value, around + 1).plain
    except _RefusedError as refused:
        raise refused.explain() from None


def check_shape(value: object) -> None:
    """Refuse lists and dicts that are nested too deep, too large, or contain themselves.

    For values that something else will make plain, and might otherwise follow endlessly.

    Raises:
        InvalidDocumentError: The value is one of these.
    """
    try:
        _Walk(times=True, strangers=True).plain(value, 1)
    except _RefusedError as refused:
        raise refused.explain() from None


def refusal(value: object) -> InvalidDocumentError:
    """Return the error that says what in a value the encoder cannot hold, and where."""
    try:
        _Walk(times=True, thorough=True).plain(value, 1)
    except _RefusedError as refused:
        return refused.explain()
    raise AssertionError("what the encoder refuses, the walk finds")  # pragma: no cover


def _is_plain(value: object, depth: int) -> bool:
    """Whether a value is certainly stored as it is; most are, and this check is fast.

    It goes level by level, so that the depth is known, and anything that occurs twice on a level is
    noticed before it is followed twice.
    """
    level: list[Any] = [[value]]
    depth -= 1  # the list around it
    written = 0
    while level:
        if depth > MAX_DEPTH:
            return False
        below: list[Any] = []
        for container in level:
            members = container
            if type(container) is dict:
                if not set(map(type, container)) <= _KEYS:
                    return False
                members = container.values()
                written += sum(map(len, container))
            kinds = set(map(type, members))
            written += len(container) * (2 * depth + _AROUND)
            if str in kinds:
                written += sum([len(each) for each in members if type(each) is str])
            if kinds <= _LEAVES:
                continue
            if not kinds <= _LEAVES | _CONTAINERS | {float}:
                return False
            if float in kinds and not all(isfinite(x) for x in members if type(x) is float):
                return False
            if kinds & _CONTAINERS:
                below += [each for each in members if type(each) in _CONTAINERS]
        if written > MAX_DOCUMENT_BYTES or len(set(map(id, below))) < len(below):
            return False
        level = below
        depth += 1
    return True


class _Written(NamedTuple):
    """A value as JSON.

    Attributes:
        plain: The value as it is stored.
        height: How many containers are nested in it, itself included.
        values: How many values are written, itself included.
        levels: The sum of their levels below it.
        text: How many characters its texts and keys have.
    """

    plain: Any
    height: int = 0
    values: int = 1
    levels: int = 0
    text: int = 0

    def size(self, depth: int) -> int:
        """Return how many bytes it takes at a depth, at least."""
        return self.text + self.values * (2 * depth + _AROUND) + 2 * self.levels


class _RefusedError(Exception):
    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[object] = []  # from the inside out

    def explain(self) -> InvalidDocumentError:
        # Keys are untrusted, too, and must not forge a line of a log.
        steps = [
            step if isinstance(step, str) and step.isprintable() else repr(step)
            for step in reversed(self.path)
        ]
        if len(steps) > 10:
            steps[5:-4] = ["…"]
        where = f" (at {'.'.join(steps)})" if steps else ""
        return InvalidDocumentError(f"JSON cannot hold {self.what}{where}")


class _Walk:
    """One walk through a value.

    Args:
        times: Whether datetimes are allowed.
        thorough: Also check every integer and text.
        strangers: Let everything pass that is not a list or dict.
    """

    def __init__(self, *, times: bool, thorough: bool = False, strangers: bool = False) -> None:
        self._times = times
        self._strangers = strangers
        self._thorough = thorough
        self._walked: dict[int, _Written] = {}
        self._open: set[int] = set()

    def plain(self, value: object, depth: int) -> _Written:
        """Return a value as it is stored, and what that takes.

        Args:
            value: Any value.
            depth: Its depth, if it is a container.
        """
        match value:
            case dict() | list():
                return self._container(value, depth)
            case None | bool():
                return _Written(value)
            case _ if self._strangers:
                return _Written(value)
            case datetime() if self._times:
                return _Written(value)
            case str():
                return _Written(self._text(value), text=str.__len__(value))
            case int():
                if self._thorough and not -(2**63) <= value < 2**64:
                    raise _RefusedError("an integer beyond 64 bits")
                return _Written(int.__int__(value))
            case float():
                if not isfinite(value):
                    raise _RefusedError(f"the number {float.__float__(value)}")
                return _Written(float.__float__(value))
        raise _RefusedError(f"a value of the type {type(value).__name__}")

    def _text(self, text: str) -> str:
        plain = str.__str__(text)
        if self._thorough and half_character(plain) is not None:
            raise _RefusedError("half a character (a lone surrogate; repair_text() replaces it)")
        return plain

    def _container(self, value: dict[Any, Any] | list[Any], depth: int) -> _Written:
        if (written := self._walked.get(id(value))) is None:
            if id(value) in self._open:
                kind = "dict" if isinstance(value, dict) else "list"
                raise _RefusedError(f"a {kind} that contains itself")
            if depth > MAX_DEPTH:
                raise _RefusedError(_TOO_DEEP)
            self._open.add(id(value))
            written = self._members(value, depth)
            self._open.remove(id(value))
            self._walked[id(value)] = written
        if depth + written.height - 1 > MAX_DEPTH:
            raise _RefusedError(_TOO_DEEP)
        if written.size(depth) > MAX_DOCUMENT_BYTES:
            raise _RefusedError(f"more than {MAX_DOCUMENT_BYTES} bytes")
        return written

    def _members(self, value: dict[Any, Any] | list[Any], depth: int) -> _Written:
        # Use the methods of the plain types, because those of a subclass can show something else.
        steps: Iterable[tuple[Any, Any]]
        steps = dict.items(value) if isinstance(value, dict) else enumerate(list.__iter__(value))
        height, values, levels, text = 0, 1, 0, 0
        made: list[Any] = []
        keys: list[str] = []
        for step, member in steps:
            if isinstance(value, dict):
                keys.append(self._key(step))
                text += len(keys[-1])
            try:
                written = self.plain(member, depth + 1)
            except _RefusedError as refused:
                refused.path.append(step)
                raise
            height = max(height, written.height)
            values += written.values
            levels += written.levels + written.values
            text += written.text
            made.append(written.plain)
        plain = dict(zip(keys, made, strict=True)) if isinstance(value, dict) else made
        return _Written(plain, height + 1, values, levels, text)

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            if self._strangers:
                return ""
            raise _RefusedError(f"the key {key!r}, which is not text")
        return self._text(key)
