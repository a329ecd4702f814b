"""What became of a write: it landed, it did not, or nobody knows.

A write whose answer is lost is looked up by its version, which no other write has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    StateStoreError,
)
from statekeep.store import ABSENT, ANY, Version, compare
from statekeep.store.limits import too_large
from statekeep_backends.redis import scripts
from statekeep_backends.redis.errors import FAILURES, LostAnswerError, translated
from statekeep_backends.redis.records import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from statekeep.store import Expect, ExpectSeen
    from statekeep_backends.redis.client import Client

__all__ = ["TORN", "Writes"]

TORN = (
    "it is not whole; the server may have deleted a part because its memory was full: see its "
    "maxmemory-policy, and restore from a backup"
)
_REFUSED, _DONE, _LARGER = range(3)


class Writes:
    """The writes of a store.

    Args:
        client: Runs scripts.
        store: For error messages.
    """

    def __init__(self, client: Client, store: object) -> None:
        self._client = client
        self._store = store

    def write(
        self,
        script: scripts.Script,
        key: str,
        data: bytes,
        expect: Expect,
        version: Version,
        *others: str | bytes | int,
        most: int,
    ) -> None:
        """Run `PUT` or `APPEND`, and find out whether it landed.

        Args:
            script: The script.
            key: The key to write.
            data: The bytes to write or append.
            expect: What is expected there.
            version: The version that this creates.
            others: The script's other arguments.
            most: The maximum size in bytes.

        Raises:
            StateStoreError: It did not land, or nobody knows.
        """
        asked = (key, data, _expected(expect), version, *others)
        lost: LostAnswerError | None = None
        try:
            state, *said = self._client.run(script, *asked)
        except LostAnswerError as error:
            lost = error
            try:
                if expect is ANY or expect is ABSENT:
                    # Sending it again could undo what others did in the meantime.
                    state, said = _REFUSED, self._client.run(scripts.VERSIONS, key)
                else:
                    # At most one of the two lands: no version recurs.
                    state, *said = self._client.run(script, *asked)
            except FAILURES:
                raise translated(lost, key=key, store=self._store, writes=True) from lost
        except FAILURES as error:
            raise translated(error, key=key, store=self._store, writes=True) from error
        if state == _LARGER:
            raise InvalidDocumentError(
                too_large(said[0], most), key=key, store=self._store, landed="no"
            )
        if state == _REFUSED:
            if lost is None or _version(said[0]) != version:
                self._refuse(key, expect, _version(said[0]), lost)
        elif state != _DONE:
            raise CorruptDataError(TORN, key=key, store=self._store, landed="no")

    def delete(
        self, victims: Sequence[tuple[str, ExpectSeen]]
    ) -> dict[str, StateStoreError | None]:
        """Delete documents in one step, and return the error of each.

        Args:
            victims: The key of each, and what is expected: a version for all of them, or for none.
        """
        try:
            done, lost = self._delete(victims)
        except FAILURES as error:
            return {
                key: translated(error, key=key, store=self._store, writes=True)
                for key, _ in victims
            }
        found: dict[str, StateStoreError | None] = {}
        for (key, expect), (state, *said) in zip(victims, done, strict=True):
            found[key] = None
            # A delete without an expectation only needs the document gone.
            if state == _DONE or (expect is ANY and said[0] is None):
                continue
            try:
                self._refuse(key, expect, _version(said[0]), lost)
            except StateStoreError as error:
                found[key] = error
        return found

    def _delete(
        self, victims: Sequence[tuple[str, ExpectSeen]]
    ) -> tuple[list[list[object]], LostAnswerError | None]:
        asked = [each for key, expect in victims for each in (key, _expected(expect), place(key))]
        try:
            return self._client.run(scripts.DELETE, *asked), None
        except LostAnswerError as error:
            try:
                if all(isinstance(expect, str) for _, expect in victims):
                    return self._client.run(scripts.DELETE, *asked), error
                # Sending it again could delete what others put there in the meantime.
                keys = [key for key, _ in victims]
                there = self._client.run(scripts.VERSIONS, *keys)
            except FAILURES:
                raise error from error.__cause__
            return [[_REFUSED, now] for now in there], error

    def _refuse(
        self, key: str, expect: Expect, now: Version | None, lost: LostAnswerError | None
    ) -> NoReturn:
        """Raise because something else is there than expected, or nobody knows who put it there."""
        if lost is None:
            compare(now, expect, key=key, store=self._store)
        elif expect is not ANY and now not in {None, expect}:
            raise ConflictError(
                "it has changed, perhaps by this call, whose answer was lost; reload and retry",
                key=key,
                store=self._store,
                landed="unknown",
            ) from lost
        raise translated(
            lost or LostAnswerError(), key=key, store=self._store, writes=True
        ) from lost


def _expected(expect: Expect) -> str:
    """Encode an expectation for a script."""
    if isinstance(expect, str):
        return f"={expect}"
    return "*" if expect is ANY else "-"


def _version(said: object) -> Version | None:
    return Version(said.decode()) if isinstance(said, bytes) else None
