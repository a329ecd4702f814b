"""The one rule for values: what every door takes, and as what it is stored.

A value is made of dicts with text for keys, lists, text, integers of 64 bits, finite floats,
booleans and None. Subclasses of these are taken for what they hold.
"""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from statekeep._text import half_character
from statekeep.errors import InvalidDocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_DEPTH", "plain_value", "refusal"]

MAX_DEPTH: Final = 127
"""Nested containers that the original still reads."""

_MAX_WRITTEN: Final = 2**27
"""Values that may be written: a list that stands in many places is written in each."""

_LEAVES: Final = frozenset({str, int, bool, NoneType})
_CONTAINERS: Final = frozenset({dict, list})
_KEYS: Final = frozenset({str})


def plain_value(value: object, *, around: int = 0, times: bool = False) -> Any:  # noqa: ANN401 - JSON is any value
    """Give a value as it is stored; the same one, if it is made of plain types.

    Takes time linear in the value, also where a list is in several places of it, or in itself.
    What only the encoder can see, large integers and half characters, is left to it.

    Args:
        value: Any value.
        around: How many lists and dicts it will be stored within.
        times: Let datetimes pass, for the encoder.

    Raises:
        InvalidDocumentError: Something in it cannot be stored; the message says what and where.
    """
    if _is_plain(value, around + 1):
        return value
    try:
        return _Walk(times=times).plain(value, around + 1)[0]
    except _RefusedError as refused:
        raise refused.explain() from None


def refusal(value: object) -> InvalidDocumentError:
    """Say what in a value that the encoder refused it cannot hold, and where."""
    try:
        _Walk(times=True, thorough=True).plain(value, 1)
    except _RefusedError as refused:
        return refused.explain()
    raise AssertionError("what the encoder refuses, the walk finds")  # pragma: no cover


def _is_plain(value: object, depth: int) -> bool:
    """Whether a value is certainly stored as it is; most are, and this is the quick look.

    Level by level, so that the depth is known, and that what stands twice in one is seen before it
    is followed twice.
    """
    level: list[Any] = [[value]]
    depth -= 1  # the list around it
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
            kinds = set(map(type, members))
            if kinds <= _LEAVES:
                continue
            if not kinds <= _LEAVES | _CONTAINERS | {float}:
                return False
            if float in kinds and not all(isfinite(x) for x in members if type(x) is float):
                return False
            if kinds & _CONTAINERS:
                below += [each for each in members if type(each) in _CONTAINERS]
        if len(set(map(id, below))) < len(below):
            return False
        level = below
        depth += 1
    return True


class _RefusedError(Exception):
    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[object] = []  # from the inside out

    def explain(self) -> InvalidDocumentError:
        # Keys come from outside, too, and must not forge a line of a log.
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
        times: Whether datetimes may be in it.
        thorough: Look at each integer and text as well.
    """

    def __init__(self, *, times: bool, thorough: bool = False) -> None:
        self._times = times
        self._thorough = thorough
        self._walked: dict[int, tuple[Any, int, int]] = {}
        self._open: set[int] = set()

    def plain(self, value: object, depth: int) -> tuple[Any, int, int]:
        """Give a value as it is stored, how deep it is nested, and how many values it writes.

        Args:
            value: Any value.
            depth: How deep it would lie itself, were it a container.
        """
        match value:
            case dict() | list():
                return self._container(value, depth)
            case None | bool():
                return value, 0, 1
            case datetime() if self._times:
                return value, 0, 1
            case str():
                return self._text(value), 0, 1
            case int():
                if self._thorough and not -(2**63) <= value < 2**64:
                    raise _RefusedError("an integer beyond 64 bits")
                return int.__int__(value), 0, 1
            case float():
                if not isfinite(value):
                    raise _RefusedError(f"the number {float.__float__(value)}")
                return float.__float__(value), 0, 1
        raise _RefusedError(f"a value of the type {type(value).__name__}")

    def _text(self, text: str) -> str:
        if self._thorough and half_character(text) is not None:
            raise _RefusedError("half a character (a lone surrogate; repair_text() replaces it)")
        return str.__str__(text)

    def _container(self, value: dict[Any, Any] | list[Any], depth: int) -> tuple[Any, int, int]:
        if (walked := self._walked.get(id(value))) is None:
            if id(value) in self._open:
                raise _RefusedError(f"a {_name(value)} that contains itself")
            if depth > MAX_DEPTH:
                raise _RefusedError(f"more than {MAX_DEPTH} nested lists and dicts")
            self._open.add(id(value))
            walked = self._members(value, depth)
            self._open.remove(id(value))
            self._walked[id(value)] = walked
        _, height, written = walked
        if depth + height - 1 > MAX_DEPTH:
            raise _RefusedError(f"more than {MAX_DEPTH} nested lists and dicts")
        if written > _MAX_WRITTEN:
            raise _RefusedError(f"more than {_MAX_WRITTEN} values")
        return walked

    def _members(self, value: dict[Any, Any] | list[Any], depth: int) -> tuple[Any, int, int]:
        # By the methods of the plain types, because those of a subclass may show something else.
        steps: Iterable[tuple[Any, Any]]
        steps = dict.items(value) if isinstance(value, dict) else enumerate(list.__iter__(value))
        height, written = 0, 1
        made: list[Any] = []
        keys: list[str] = []
        for step, member in steps:
            if isinstance(value, dict):
                keys.append(self._key(step))
            try:
                plain, below, more = self.plain(member, depth + 1)
            except _RefusedError as refused:
                refused.path.append(step)
                raise
            height, written = max(height, below), written + more
            made.append(plain)
        plain = dict(zip(keys, made, strict=True)) if isinstance(value, dict) else made
        return plain, height + 1, written

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            raise _RefusedError(f"the key {key!r}, which is no text")
        return self._text(key)


def _name(value: object) -> str:
    return "dict" if isinstance(value, dict) else "list"
