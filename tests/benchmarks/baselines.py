"""The bare calls below which nobody gets: files, and requests of boto3."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from blake3 import blake3

from benchmarks.adapters import Bucket, Subject, in_threads
from benchmarks.conversations import as_dict, as_json, text

if TYPE_CHECKING:
    from benchmarks.conversations import Size

__all__ = ["BareBucket", "BareFiles", "JsonFiles", "OrjsonFiles"]


class _Files(Subject):
    def __init__(self, place: str, *, fsync: bool = False) -> None:
        super().__init__(place)
        self._fsync = fsync
        Path(place).mkdir(parents=True, exist_ok=True)

    def fill(self, size: Size, session_ids: list[str]) -> None:
        for moment, (each, data) in enumerate(as_json(size, session_ids)):
            path = self._path(each)
            Path(path).write_bytes(data)
            os.utime(path, (moment, moment))

    def _path(self, session_id: str) -> str:
        return f"{self.place}/{session_id}.json"

    def _replace(self, path: str, data: bytes) -> None:
        temporary = f"{self.place}/.{secrets.token_hex(8)}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        os.write(descriptor, data)
        if self._fsync:
            os.fsync(descriptor)
        os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105
        if self._fsync:
            folder = os.open(self.place, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)


class BareFiles(_Files):
    """A compare-and-swap of bytes that are there already; no session is made or read."""

    def take(self, session_id: str, size: Size) -> None:  # noqa: ARG002
        self._target = self._path(session_id)
        self._stored = Path(self._target).read_bytes()

    def turn(self, number: int) -> None:
        self._bytes = self._stored + b" " * (number % 2)

    def save(self) -> None:
        lock = os.open(f"{self.place}/.lock", os.O_RDONLY | os.O_CREAT, 0o666)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self._digest(self._target)
        self._replace(self._target, self._bytes)
        blake3(self._bytes).hexdigest()
        os.close(lock)

    def load(self, session_id: str) -> bytes:
        return Path(self._path(session_id)).read_bytes()

    def newest(self, limit: int | None) -> list[tuple[float, str]]:
        with os.scandir(self.place) as entries:
            found = [(each.stat().st_mtime, each.name) for each in entries if each.name[0] != "."]
        found.sort(reverse=True)
        return found[:limit]

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        for each in victims:
            self._digest(self._path(each))
            os.unlink(self._path(each))  # noqa: PTH108
        return len(victims)

    def _digest(self, path: str) -> str:
        descriptor = os.open(path, os.O_RDONLY)
        data = os.read(descriptor, os.fstat(descriptor).st_size + 1)
        os.close(descriptor)
        return blake3(data).hexdigest()


class JsonFiles(_Files):
    """A dict as JSON, written beside and renamed; nobody is noticed who did so, too."""

    def take(self, session_id: str, size: Size) -> None:
        self._target = self._path(session_id)
        self._length = size.characters
        self._data = as_dict(size, session_id)

    def turn(self, number: int) -> None:
        self._data["user_messages"][-1]["content"] = text(self._length, number)
        self._data["agent_responses"][-1]["content"] = text(self._length, number)

    def save(self) -> None:
        self._replace(self._target, self._encode(self._data))

    def load(self, session_id: str) -> dict[str, Any]:
        return self._read(self._path(session_id))

    def newest(self, limit: int | None) -> list[tuple[str, str]]:
        with os.scandir(self.place) as entries:
            loaded = [self._read(each.path) for each in entries if each.name[0] != "."]
        found = sorted(((each["updated_at"], each["id"]) for each in loaded), reverse=True)
        return found[:limit]

    def _read(self, path: str) -> dict[str, Any]:
        with open(path, "rb") as file:  # noqa: PTH123
            return self._decode(file.read())

    def _encode(self, data: dict[str, Any]) -> bytes:
        return json.dumps(data).encode()  # indentation would take ten times as long

    def _decode(self, data: bytes) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(data)
        return loaded


class OrjsonFiles(JsonFiles):
    """The same with orjson."""

    def _encode(self, data: dict[str, Any]) -> bytes:
        return orjson.dumps(data, option=orjson.OPT_INDENT_2)

    def _decode(self, data: bytes) -> dict[str, Any]:
        loaded: dict[str, Any] = orjson.loads(data)
        return loaded


class BareBucket(Subject):
    """Requests of boto3, one for each thing that statekeep does."""

    modules: ClassVar = ("boto3",)

    def __init__(self, place: str) -> None:
        import boto3
        from botocore.config import Config

        super().__init__(place)
        self._bucket = Bucket(place)
        self._client = boto3.client(
            "s3",
            endpoint_url=self._bucket.endpoint,
            config=Config(
                max_pool_connections=64,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self._tags: dict[str, str] = {}

    def fill(self, size: Size, session_ids: list[str]) -> None:
        in_threads(32, lambda document: self._put(*document), as_json(size, session_ids))

    def take(self, session_id: str, size: Size) -> None:
        self._id = session_id
        self._stored = dict(as_json(size, [session_id]))[session_id]
        self._put(session_id, self._stored)

    def turn(self, number: int) -> None:
        self._bytes = self._stored + b" " * (number % 2)

    def save(self) -> None:
        self._put(self._id, self._bytes, IfMatch=self._tags[self._id])

    def load(self, session_id: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self._get(session_id))
        return loaded

    def get_many(self, session_ids: list[str], threads: int) -> None:
        """Read the bytes of sessions, many at once."""
        in_threads(threads, self._get, session_ids)

    def put_many(self, documents: list[tuple[str, bytes]], threads: int) -> None:
        """Write the bytes of sessions, many at once."""
        in_threads(threads, lambda document: self._put(*document), documents)

    def newest(self, limit: int | None) -> list[tuple[Any, str]]:
        found = sorted(((each["LastModified"], each["Key"]) for each in self._scan()), reverse=True)
        return found[:limit]

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        tags = {each["Key"]: each["ETag"] for each in self._scan()}
        for key in map(self._key, victims):
            self._client.delete_object(Bucket=self._bucket.name, Key=key, IfMatch=tags[key])
        return len(victims)

    def close(self) -> None:
        self._client.close()

    def _scan(self) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket.name, Prefix=f"{self._bucket.prefix}/"
        )
        return [each for page in pages for each in page.get("Contents", ())]

    def _key(self, session_id: str) -> str:
        return f"{self._bucket.prefix}/{session_id}.json"

    def _get(self, session_id: str) -> bytes:
        answer = self._client.get_object(Bucket=self._bucket.name, Key=self._key(session_id))
        data: bytes = answer["Body"].read()
        return data

    def _put(self, session_id: str, data: bytes, **condition: str) -> None:
        answer = self._client.put_object(
            Bucket=self._bucket.name, Key=self._key(session_id), Body=data, **condition
        )
        self._tags[session_id] = answer["ETag"]
