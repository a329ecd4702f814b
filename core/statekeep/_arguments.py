"""Checks the arguments of public functions at the point of entry.

The annotations say what is accepted and are read here as text. So the signature is the only source,
for the type checker and for the errors of wrong calls, and nothing needs to be imported.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from statekeep._text import half_character
from statekeep.errors import InvalidDocumentError, InvalidKeyError

__all__ = ["checked", "checked_content", "refuse_type"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What one part of an annotation accepts, in words."""

    takes: str
    accepts: Callable[[Any], bool]
    advice: str = ""
    """How to get from a text to what is accepted."""
    choices: tuple[str, ...] = ()


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


def _is_named(name: str) -> Callable[[Any], bool]:
    # By name, because this layer cannot import them, and others have a class Session, too.
    return lambda value: any(
        base.__name__ == name and base.__module__.partition(".")[0] == "statekeep"
        for base in type(value).__mro__
    )


def _has(*names: str) -> Callable[[Any], bool]:
    # A protocol does not require its subclass.
    return lambda value: all(hasattr(type(value), name) for name in names)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_collection(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def _is_file(value: object) -> bool:
    return isinstance(value, str | os.PathLike) or hasattr(value, "read") or hasattr(value, "write")


def _is_anything(value: object) -> bool:  # noqa: ARG001
    return True


def _is_expectation(value: object) -> bool:
    return isinstance(value, str) or type(value).__name__ == "Expectation"


_TEXT: Final = _Kind("text", _is(str))
_COLLECTION: Final = "a collection"
_COLLECTIONS: Final = frozenset({"Iterable", "Sequence", "frozenset"})
_KINDS: Final = {
    "str": _TEXT,
    "int": _Kind("an integer", _is_number),
    "bytes": _Kind("bytes", _is(bytes)),
    "bool": _Kind("True or False", _is(bool)),
    "datetime": _Kind("an aware datetime", _is(datetime)),
    "timedelta": _Kind("a timedelta", _is(timedelta)),
    "None": _Kind("None", _is(type(None))),
    "Callable": _Kind("a function", callable),
    "Iterable": _Kind(_COLLECTION, _is_collection),
    "Sequence": _Kind(_COLLECTION, _is_collection),
    "os.PathLike": _Kind("a path", _is(os.PathLike)),
    "File": _Kind("a path or a binary file", _is_file),
    "frozenset": _Kind(_COLLECTION, _is_collection),
    "Mapping": _Kind("a dict", _is(Mapping)),
    "Observer": _Kind("a function", callable),
    "StateStore": _Kind(
        "a StateStore", _has("get", "put", "delete", "scan"), "open_store({!r}) opens one"
    ),
    "Session": _Kind("a Session", _is_named("Session")),
    "Retention": _Kind("a Retention", _is_named("Retention")),
    "Diagnosis": _Kind("a Diagnosis", _is_named("Diagnosis"), "diagnose(store) makes one"),
    "PrunePlan": _Kind("a plan", _is_named("PrunePlan")),
    "ErasurePlan": _Kind("a plan", _is_named("ErasurePlan")),
    "Thoroughness": _Kind("text", _is(str), choices=("heads", "everything")),
    "PruningStrategy": _Kind("a strategy", _has("select"), "load_pruner({!r}) gives one"),
    "Importer": _Kind(
        "an importer", _has("find", "sources", "load"), "load_importer({!r}) gives one"
    ),
    "Version": _Kind("a version", _is(str)),
    "Expect": _Kind("ANY, ABSENT or a version", _is_expectation),
    "ExpectSeen": _Kind("ANY or a version", _is_expectation),
    "ConflictPolicy": _Kind("text", _is(str), choices=("detect", "last-writer-wins")),
    "Kind": _TEXT,
    "UserMessage": _Kind("a UserMessage", _is_named("UserMessage")),
    "AgentResponse": _Kind("an AgentResponse", _is_named("AgentResponse")),
    "Form": _Kind("text", _is(str), choices=("document", "journal")),
    "Order": _Kind("text", _is(str), choices=("updated", "created", "size")),
    "RepairText": _Kind("text", _is(str), choices=("refuse", "replace")),
    "object": _Kind("anything", _is_anything),
    "Any": _Kind("anything", _is_anything),
}


class _Parameter:
    """One parameter of a function: what it accepts, and the errors for everything else."""

    __slots__ = ("_error", "_kinds", "_members", "_name", "_optional", "_plain")

    def __init__(self, name: str, annotation: str, error: type[Exception]) -> None:
        self._name = name
        parts = [part.partition("[") for part in _alternatives(annotation)]
        self._kinds = [_KINDS[outer] for outer, _, _ in parts]
        self._members = next(
            (
                [_KINDS[each] for each in _alternatives(inner[:-1]) if each in _KINDS]
                for outer, _, inner in parts
                if outer in _COLLECTIONS
            ),
            [],
        )
        self._plain = _TEXT in self._kinds
        self._optional = _KINDS["None"] in self._kinds
        self._error = InvalidDocumentError if name == "text" else error

    def take(self, value: Any) -> Any:  # noqa: ANN401
        """Return the argument, with text as plain text.

        Raises:
            TypeError: The parameter does not accept a value of this type.
            ValueError: It is a time without a zone.
            InvalidKeyError, InvalidDocumentError: It is text that cannot be stored.
        """
        if value is None and self._optional:
            return value
        if self._plain and isinstance(value, str):
            return self._take_text(self._name, value)
        if not any(kind.accepts(value) for kind in self._kinds):
            self._refuse(value)
        if self._name == "items" and isinstance(value, Mapping):
            self._refuse(value)  # otherwise its keys would be the items
        if self._members:
            # Only once, because an iterator yields its members only once.
            value = tuple([self._take_member(place, each) for place, each in enumerate(value)])
        choices = self._kinds[0].choices
        if choices and value not in choices:
            known = " or ".join(map(repr, choices))
            raise ValueError(f"{self._name} is {known}, not {value!r}")
        if isinstance(value, datetime) and value.utcoffset() is None:
            raise ValueError(f"{self._name} is naive; give it a time zone")
        return value

    def _take_member(self, place: int, member: Any) -> Any:  # noqa: ANN401
        if not any(kind.accepts(member) for kind in self._members):
            takes = " or ".join(kind.takes for kind in self._members)
            refuse_type(self._name, f"each is {takes}", member)
        if _TEXT in self._members and isinstance(member, str):
            return self._take_text(f"{self._name}[{place}]", member)
        return member

    def _take_text(self, name: str, text: str) -> str:
        # Plain, because subclasses can print as something else: some enums print as their names.
        plain = text if type(text) is str else str.__str__(text)
        if not plain and name == "user_id":
            raise self._error(f"{name} is empty")
        if not plain.isascii() and (where := half_character(plain)) is not None:
            raise self._error(
                f"{name} has half a character, a lone surrogate, at {where}; "
                "statekeep.repair_text() makes text storable"
            )
        return plain

    def _refuse(self, value: object) -> NoReturn:
        takes = " or ".join(kind.takes for kind in self._kinds)
        advice = self._kinds[-1].advice if isinstance(value, str) else ""
        if _COLLECTION in takes and isinstance(value, str | Mapping):
            advice = "give a single item in a list, as [item]"
        refuse_type(self._name, takes, value, advice.format(value))


def refuse_type(name: str, takes: str, value: object, advice: str = "") -> NoReturn:
    """Refuse an argument of the wrong type.

    Args:
        name: The parameter's name.
        takes: What it accepts, in words.
        value: The argument.
        advice: How to get from there to what it accepts, if there is a way.

    Raises:
        TypeError: Always.
        TypeError: Always.

    >>> refuse_type("session_id", "text", 5)
    Traceback (most recent call last):
    TypeError: session_id: text, not int
    """
    came = "None" if value is None else type(value).__name__
    if isinstance(value, type):
        came = f"the class {value.__name__}"
    elif came in takes.split():  # a class of that name, but from somewhere else
        came = f"{type(value).__module__}.{came}"
    raise TypeError(f"{name}: {takes}, not {came}{f'; {advice}' if advice else ''}")


def _alternatives(annotation: str) -> list[str]:
    """Split a union into its alternatives, but not inside brackets."""
    parts, depth = [""], 0
    for letter in annotation:
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _checking(error: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        if isinstance(function, type):  # a dataclass, whose fields are its arguments
            function.__init__ = decorate(function.__init__)  # type: ignore[misc]
            return function
        signature = inspect.signature(function)
        parameters = {
            name: _Parameter(name, parameter.annotation, error)
            for name, parameter in signature.parameters.items()
            if name not in {"self", "cls"} and parameter.kind is not parameter.VAR_KEYWORD
        }
        positional = [
            parameters[name].take if name in parameters else None
            for name, parameter in signature.parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        by_name = {name: parameter.take for name, parameter in parameters.items()}
        rest = next(
            (
                parameters[name].take
                for name, parameter in signature.parameters.items()
                if parameter.kind is parameter.VAR_POSITIONAL
            ),
            None,
        )

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> T:  # noqa: ANN401
            for place, (take, value) in enumerate(zip(positional, args, strict=False)):
                if take is not None and (taken := take(value)) is not value:
                    args = (*args[:place], taken, *args[place + 1 :])
            if rest is not None:
                args = (*args[: len(positional)], *map(rest, args[len(positional) :]))
            for name, value in kwargs.items():
                if name in by_name:
                    kwargs[name] = by_name[name](value)
            return function(*args, **kwargs)

        return call

    return decorate


checked = _checking(InvalidKeyError)
"""Check the arguments of a function or dataclass; text in them is names and ids."""

checked_content = _checking(InvalidDocumentError)
"""Check the arguments of a function; text in them is content."""
