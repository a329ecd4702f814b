"""On a Valkey server: statekeep, the bare client, and py-key-value's store."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from benchmarks.floors import Whole
from benchmarks.journals import StatekeepJournal, StatekeepSession, Turns
from benchmarks.peers import KeyValue
from benchmarks.subjects import Statekeep, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BareValkey",
    "BareValkeyList",
    "KeyValueInValkey",
    "StatekeepInValkey",
    "ValkeyJournal",
    "ValkeySession",
    "place_in",
]

_MODULES = ("statekeep.plugins", "statekeep_backends.redis.store", "statekeep_plugins.pruners")


def place_in(url: str, name: str) -> str:
    """A place of its own in the first database of a server."""
    return f"{url}/0/{name}"


class StatekeepInValkey(Statekeep):
    """statekeep in Valkey."""

    modules = _MODULES
    keeps_index = False


class ValkeyJournal(StatekeepJournal):
    """statekeep's journal in Valkey."""

    modules = ("statekeep.journals", *_MODULES)


class ValkeySession(StatekeepSession):
    """statekeep's session in Valkey, which is stored whole."""

    modules = _MODULES


class _Bare(Subject):
    """Calls of redis-py; it connects when it first asks, as statekeep does."""

    modules: ClassVar[Sequence[str]] = ("redis",)

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._url, _, self._name = place.rpartition("/")

    def close(self) -> None:
        self._db.close()

    @cached_property
    def _db(self) -> Any:
        import redis

        return redis.Redis.from_url(self._url)


_SAVE = """
    if redis.call("HGET", KEYS[1], "version") ~= (ARGV[1] ~= "" and ARGV[1]) then return 0 end
    redis.call("HSET", KEYS[1], "version", ARGV[2], "user_id", ARGV[3], "messages", ARGV[4],
        "created_at", ARGV[5], "updated_at", ARGV[6], "body", ARGV[7])
    return 1
"""


class BareValkey(_Bare, Whole):
    """A hash for each session, which a script compares and replaces."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._seen: dict[int, int] = {}

    @cached_property
    def _save(self) -> Any:
        return self._db.register_script(_SAVE)

    def create(self, number: int) -> None:
        self._replace(number, 0)

    def update(self, number: int) -> None:
        self._replace(number, self._seen[number])

    def _replace(self, number: int, seen: int) -> None:
        data = self.at_hand[number]
        saved = self._save(
            [self._key(data["id"])],
            [seen or "", seen + 1, data["user_id"], len(data["user_messages"]),
             data["created_at"], data["updated_at"], orjson.dumps(data)],
        )  # fmt: skip
        assert saved
        self._seen[number] = seen + 1

    def load(self, number: int) -> object:
        _, body = self._db.hmget(self._key(self.documents[number][0]), ["version", "body"])
        return orjson.loads(body)

    def _key(self, session_id: str) -> str:
        return f"{self._name}:{session_id}"


class BareValkeyList(_Bare, Turns):
    """A list of items."""

    def store(self, items: list[dict[str, Any]]) -> None:
        self._db.rpush(self._name, *[orjson.dumps(item) for item in items])

    def read(self, last: int | None) -> Sequence[object]:
        found = self._db.lrange(self._name, 0 if last is None else -last, -1)
        return [orjson.loads(body) for body in found]


class KeyValueInValkey(KeyValue):
    """Its RedisStore."""

    modules = ("key_value.aio.stores.redis",)

    def __init__(self, place: str) -> None:
        from key_value.aio.stores.redis import RedisStore

        super().__init__(place)
        url, _, name = place.rpartition("/")
        self._store = RedisStore(url=url, default_collection=name)
