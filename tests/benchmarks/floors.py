"""The bare calls below which nobody gets who does as much: files, SQLite, and requests."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Any, ClassVar

import orjson
from blake3 import blake3

from benchmarks.subjects import Bucket, Subject

__all__ = ["BareBoto3", "BareFiles", "BareObstore", "BareSQLite", "Whole"]


class Whole(Subject):
    """Keeps each session as one value, a dict."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.at_hand: dict[int, dict[str, Any]] = {}

    def make(self, number: int) -> None:
        self.at_hand[number] = orjson.loads(self.documents[number][1])

    def add(self, number: int, question: str, answer: str) -> None:
        self.at_hand[number]["user_messages"][-1]["content"] = question
        self.at_hand[number]["agent_responses"][-1]["content"] = answer


class BareFiles(Whole):
    """A lock, a comparison with what is there, a new file that is renamed; dicts by orjson.

    A page is names and times: a scan with one stat for each file.
    """

    def __init__(self, place: str, *, fsync: bool = False) -> None:
        super().__init__(place)
        self._fsync = fsync
        self._folder = f"{place}/sessions"
        Path(self._folder).mkdir(parents=True, exist_ok=True)
        self._seen: dict[int, str] = {}

    def create(self, number: int) -> None:
        self._save(number, None)

    def update(self, number: int) -> None:
        self._save(number, self._seen[number])

    def load(self, number: int) -> object:
        path = self._path(self.documents[number][0])
        with open(path, "rb") as file:  # noqa: PTH123
            return orjson.loads(file.read())

    def turn(self, number: int) -> None:
        path = self._path(self.documents[number][0])
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read()
        loaded = orjson.loads(data)
        loaded["user_messages"].append({"content": "go on", "timestamp": loaded["updated_at"]})
        self._put(path, orjson.dumps(loaded, option=orjson.OPT_INDENT_2), _digest(data))

    def newest(self, limit: int | None) -> list[tuple[int, str]]:
        with os.scandir(self._folder) as entries:
            found = [(each.stat().st_mtime_ns, each.name) for each in entries]
        found.sort(reverse=True)
        return found[:limit]

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        for each in victims:
            path = self._path(each)
            with self._lock():
                _digest(_read(path))
                os.unlink(path)  # noqa: PTH108
        return len(victims)

    def _save(self, number: int, seen: str | None) -> None:
        data = orjson.dumps(self.at_hand[number], option=orjson.OPT_INDENT_2)
        self._seen[number] = self._put(self._path(self.documents[number][0]), data, seen)

    def _put(self, path: str, data: bytes, seen: str | None) -> str:
        with self._lock():
            if (None if seen is None else _digest(_read(path))) != seen:
                raise AssertionError(f"{path} has changed")
            temporary = f"{self.place}/{secrets.token_hex(8)}.tmp"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            os.write(descriptor, data)
            if self._fsync:
                os.fsync(descriptor)
            os.close(descriptor)
            if seen is None:
                os.link(temporary, path)  # fails if it is there
                os.unlink(temporary)  # noqa: PTH108
            else:
                os.replace(temporary, path)  # noqa: PTH105
            if self._fsync:
                folder = os.open(self._folder, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        return _digest(data)

    def _lock(self) -> _Lock:
        return _Lock(f"{self.place}/lock")

    def _path(self, session_id: str) -> str:
        return f"{self._folder}/{session_id}.json"


class _Lock:
    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)

    def __enter__(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    data = os.read(descriptor, os.fstat(descriptor).st_size + 1)
    os.close(descriptor)
    return data


def _digest(data: bytes) -> str:
    return blake3(data).hexdigest()


class BareSQLite(Whole):
    """A row for each session, with what a page shows beside it and an index on the times."""

    def __init__(self, place: str, *, synchronous: str = "NORMAL") -> None:
        super().__init__(place)
        Path(place).mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(f"{place}/sessions.sqlite", isolation_level=None)
        self._connection.executescript(
            f"""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = {synchronous};
            CREATE TABLE IF NOT EXISTS session (
                id TEXT PRIMARY KEY, version INTEGER, user_id TEXT, messages INTEGER,
                created_at TEXT, updated_at TEXT, body BLOB
            ) WITHOUT ROWID;
            CREATE INDEX IF NOT EXISTS newest ON session (
                updated_at DESC, id, user_id, messages, created_at
            );
            """
        )
        self._seen: dict[int, int] = {}

    def create(self, number: int) -> None:
        data = self.at_hand[number]
        row = data["id"], data["user_id"], len(data["user_messages"]), data["created_at"]
        self._connection.execute(
            "INSERT INTO session VALUES (?, 1, ?, ?, ?, ?, ?)",
            (*row, data["updated_at"], orjson.dumps(data)),
        )
        self._seen[number] = 1

    def update(self, number: int) -> None:
        data, seen = self.at_hand[number], self._seen[number]
        changed = self._connection.execute(
            "UPDATE session SET version = ?, messages = ?, updated_at = ?, body = ?"
            " WHERE id = ? AND version = ?",
            (seen + 1, len(data["user_messages"]), data["updated_at"], orjson.dumps(data),
             data["id"], seen),
        )  # fmt: skip
        assert changed.rowcount == 1
        self._seen[number] = seen + 1

    def load(self, number: int) -> object:
        query = "SELECT version, body FROM session WHERE id = ?"
        _, body = self._connection.execute(query, (self.documents[number][0],)).fetchone()
        return orjson.loads(body)

    def newest(self, limit: int | None) -> list[Any]:
        page = (
            "SELECT id, user_id, messages, created_at, updated_at FROM session"
            " ORDER BY updated_at DESC LIMIT ?"
        )
        return self._connection.execute(page, (-1 if limit is None else limit,)).fetchall()

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "DELETE FROM session WHERE id = ?", [(each,) for each in victims]
        )
        self._connection.execute("COMMIT")
        return len(victims)

    def close(self) -> None:
        self._connection.close()


class _BareBucket(Whole):
    """One conditional request for each save, one request for each load."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.bucket = Bucket(place)
        self._tags: dict[int, str | None] = {}

    def create(self, number: int) -> None:
        self._save(number, None)

    def update(self, number: int) -> None:
        self._save(number, self._tags[number])

    def load(self, number: int) -> object:
        return orjson.loads(self.get(self._key(number)))

    def _save(self, number: int, seen: str | None) -> None:
        data = orjson.dumps(self.at_hand[number], option=orjson.OPT_INDENT_2)
        self._tags[number] = self.put(self._key(number), data, seen)

    def _key(self, number: int) -> str:
        return f"{self.bucket.prefix}/sessions/{self.documents[number][0]}.json"

    def get(self, key: str) -> Any:
        raise NotImplementedError

    def put(self, key: str, data: bytes, seen: str | None) -> str | None:
        raise NotImplementedError


class BareObstore(_BareBucket):
    """obstore."""

    modules: ClassVar = ("obstore", "obstore.store")

    def __init__(self, place: str) -> None:
        from obstore.store import S3Store

        super().__init__(place)
        options: Any = {"allow_http": True}
        self._store = S3Store(
            self.bucket.name, endpoint=self.bucket.endpoint, client_options=options
        )

    def get(self, key: str) -> Any:
        return self._store.get(key).bytes().to_bytes()

    def put(self, key: str, data: bytes, seen: str | None) -> str | None:
        mode: Any = "create" if seen is None else {"e_tag": seen}
        return self._store.put(key, data, mode=mode, use_multipart=False)["e_tag"]


class BareBoto3(_BareBucket):
    """boto3."""

    modules: ClassVar = ("boto3",)

    def __init__(self, place: str) -> None:
        import boto3
        from botocore.config import Config

        super().__init__(place)
        config = Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client = boto3.client("s3", endpoint_url=self.bucket.endpoint, config=config)

    def get(self, key: str) -> Any:
        return self._client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read()

    def put(self, key: str, data: bytes, seen: str | None) -> str | None:
        condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen}
        answer = self._client.put_object(Bucket=self.bucket.name, Key=key, Body=data, **condition)
        tag: str = answer["ETag"]
        return tag

    def close(self) -> None:
        self._client.close()
