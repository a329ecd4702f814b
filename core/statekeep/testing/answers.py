"""Tests of unreachable stores and lost responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from statekeep import ABSENT, ANY, ConflictError, StateStore, StateStoreError
from statekeep.observe.emitter import Emitter
from statekeep.observe.events import Event, OperationFinished
from statekeep.store import Blob, delete_many, get_many
from statekeep.testing.checks import holds, is_gone, lists, read, refusal, shown
from statekeep.testing.claims import claims
from statekeep.testing.fixtures import StoreFixtures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep.store import Expect, ExpectSeen

__all__ = ["AnswersContract", "LossyPlace"]

KEY = "notes/plan.json"
# More than any operation on one document may need.
_MOST_REQUESTS = 50


class LossyPlace(Protocol):
    """A route to a location that can lose responses, such as a proxy in front of a server."""

    @property
    def location(self) -> str:
        """The URL of the location by this route."""
        ...

    def drop(self, passed: int) -> None:
        """Let `passed` responses through, then lose one, whose request is still carried out.

        Each call replaces the one before.
        """
        ...

    @property
    def dropped(self) -> bool:
        """Whether that response has been lost yet."""
        ...


class AnswersContract(StoreFixtures):
    """The part of `StateStoreContract` about responses that never arrive."""

    @pytest.fixture
    def unreachable(self) -> str:
        """The URL of a place that does not respond or refuses connections; optional."""
        pytest.skip("not given: an unreachable place (the fixture `unreachable`)")

    @pytest.fixture
    def nowhere(self, unreachable: str) -> Iterator[StateStore]:
        """A client of an unreachable place."""
        with self.open(unreachable) as store:
            yield store

    @pytest.fixture
    def dropping(self) -> LossyPlace:
        """A route to the location that can lose responses; optional.

        Override it if the store is reached over a network. Most client libraries silently resend a
        request that got no response, and may then conflict with their own write.
        """
        pytest.skip("not given: a route that loses responses (the fixture `dropping`)")

    @pytest.fixture
    def lossy(self, dropping: LossyPlace) -> Iterator[StateStore]:
        """A client whose responses can be lost."""
        with self.open(dropping.location) as store:
            yield store

    # unreachable stores

    def test_an_unreachable_store_does_not_look_empty(self, nowhere: StateStore) -> None:
        reads: dict[str, Callable[[], object]] = {
            "a get": lambda: nowhere.get(KEY),
            "a scan": lambda: list(nowhere.scan()),
            "a scan of a prefix": lambda: list(nowhere.scan("notes")),
            "a get of many": lambda: _raised(dict(get_many(nowhere, [KEY, "notes/more.json"]))),
        }
        for name, operation in reads.items():
            error, given = None, None
            try:
                given = operation()
            except StateStoreError as caught:
                error = caught
            assert error is not None, (
                f"{name} of an unreachable place gave {given!r}, as if nothing were there"
            )
            assert error.store, f"the error of {name} does not name the store: {error!r}"

    def test_an_unreachable_store_acknowledges_no_write(self, nowhere: StateStore) -> None:
        writes: dict[str, Callable[[], object]] = {
            "a put": lambda: nowhere.put(KEY, b"x"),
            "a put that creates": lambda: nowhere.put(KEY, b"x", expect=ABSENT),
            "a delete": lambda: nowhere.delete(KEY),
            "a delete of many": lambda: delete_many(nowhere, [KEY, "notes/more.json"]),
        }
        for name, operation in writes.items():
            error = refusal(operation)
            assert error is not None, f"{name} was acknowledged by an unreachable place"
            assert error.store, f"the error of {name} does not name the store: {error!r}"

    # lost responses

    def test_a_put_whose_response_is_lost_is_not_a_conflict(
        self, store: StateStore, lossy: StateStore, dropping: LossyPlace
    ) -> None:
        conditional = claims(lossy, "conditional_put")
        for what in ("creates", "replaces") if conditional else ("writes",):
            for number in _each_response(dropping, f"a put that {what}"):
                key, data = f"notes/{what}-{number}.json", b"new %d" % number
                expect: Expect = ABSENT if what == "creates" else ANY
                if what == "replaces":
                    expect = store.put(key, b"old")
                try:
                    version = lossy.put(key, data, expect=expect)
                except ConflictError as error:
                    pytest.fail(
                        f"a put that {what}, whose response was lost, met a conflict though nobody "
                        "else wrote: it was resent and conflicted with itself; mark each write to "
                        f"recognize it, or do not resend ({error!r})"
                    )
                except StateStoreError as error:
                    _may_say_no(error, f"a put that {what}", landed=_holds_now(store, key, data))
                else:
                    holds(store, data, key)
                    assert read(store, key).version == version, (
                        "a put whose response was lost returned a version other than the stored one"
                    )

    @pytest.mark.usefixtures("_conditional_put")
    def test_a_stale_put_is_refused_even_if_its_response_is_lost(
        self, store: StateStore, lossy: StateStore, dropping: LossyPlace
    ) -> None:
        claims(lossy, "conditional_put")
        for number in _each_response(dropping, "a stale put"):
            key = f"notes/{number}.json"
            version = store.put(key, b"old")
            # Equal bytes, because a store that compares bytes mistakes this write for its own.
            store.put(key, b"equal", expect=version)
            error = refusal(lambda: lossy.put(key, b"equal", expect=version))  # noqa: B023
            assert error is not None, (
                "a put that expected an outdated version was acknowledged after its response "
                "was lost: the store mistook another client's equal bytes for its own"
            )

    def test_a_delete_whose_response_is_lost_is_reported_truthfully(
        self, store: StateStore, lossy: StateStore, dropping: LossyPlace
    ) -> None:
        ways = ["a delete", "a delete of many"]
        if claims(lossy, "conditional_delete"):
            ways.append("a conditional delete")
        for what in ways:
            for number in _each_response(dropping, what):
                key = f"notes/{number}.json"
                version = store.put(key, b"x")
                expect: ExpectSeen = version if what == "a conditional delete" else ANY
                try:
                    if what == "a delete of many":
                        delete_many(lossy, [key])
                    else:
                        lossy.delete(key, expect=expect)
                except StateStoreError as error:
                    _may_say_no(error, what, landed=store.get(key) is None)
                else:
                    is_gone(store, key)

    def test_a_read_whose_response_is_lost_does_not_look_empty(
        self, store: StateStore, lossy: StateStore, dropping: LossyPlace
    ) -> None:
        keys = ["notes/a.json", KEY]
        for key in keys:
            store.put(key, b"x")
        lossy.get(KEY)
        for _ in _each_response(dropping, "a get"):
            refusal(lambda: holds(lossy, b"x", KEY))
        for _ in _each_response(dropping, "a scan"):
            refusal(lambda: lists(lossy, keys, when=" whose response was lost"))
        for _ in _each_response(dropping, "a get of many"):
            found: dict[str, Blob | StateStoreError | None] = {}
            if refusal(lambda: found.update(get_many(lossy, keys))):  # noqa: B023
                continue
            absent = [key for key in keys if found.get(key) is None]
            assert not absent, f"a get of many, whose response was lost, says {absent} is not there"

    # requests

    def test_a_remote_store_counts_its_requests(self, store: StateStore) -> None:
        if not store.capabilities.remote:
            pytest.skip("not claimed: remote")
        operations: dict[str, Callable[[], object]] = {
            "a put": lambda: store.put(KEY, b"x"),
            "a get": lambda: store.get(KEY),
            "a get of many": lambda: dict(get_many(store, [KEY, "notes/more.json"])),
            "a scan": lambda: list(store.scan()),
            "a delete": lambda: store.delete(KEY),
            "a delete of many": lambda: delete_many(store, [KEY, "notes/more.json"]),
        }
        silent = [name for name, each in operations.items() if not _requests(store, each)]
        assert not silent, (
            f"observers hear of no request for {', '.join(silent)}; call "
            "statekeep.events.count_request() before each, in the caller's contextvars context"
        )


def _each_response(lossy: LossyPlace, what: str) -> Iterator[int]:
    """Lose the first response on the first pass, the second on the next, and so on to the last."""
    for number in range(_MOST_REQUESTS):
        lossy.drop(number)
        yield number
        if not lossy.dropped:
            assert number, f"no response to {what} was lost; the fixture `dropping` does nothing"
            return
    pytest.fail(f"{what} takes more than {_MOST_REQUESTS} requests")


def _may_say_no(error: StateStoreError, what: str, *, landed: bool) -> None:
    assert error.landed in {"no", "unknown"}, (
        f"the error of {what} does not say what may have landed: {error!r}"
    )
    assert not (landed and error.landed == "no"), (
        f"{what} landed, but the error after its lost response says that it did not: {error!r}"
    )


def _holds_now(store: StateStore, key: str, data: bytes) -> bool:
    blob = store.get(key)
    return blob is not None and blob.data == data


def _raised(found: dict[str, Blob | StateStoreError | None]) -> dict[str, str | None]:
    """Raise the first error that a get of many found; otherwise describe what it found."""
    for blob in found.values():
        if isinstance(blob, StateStoreError):
            raise blob
    return {
        key: shown(blob.data) if isinstance(blob, Blob) else None for key, blob in found.items()
    }


def _requests(store: StateStore, operation: Callable[[], object]) -> int:
    """The number of requests that an observer hears of."""
    events: list[Event] = []
    with Emitter(store, [events.append], "contract").operation("asked"):
        operation()
    return sum(event.requests for event in events if isinstance(event, OperationFinished))
