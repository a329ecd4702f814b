"""Turns checkpoints from a file of LangGraph's ``SqliteSaver`` into items of a thread.

In the file, a checkpoint is one value in MessagePack; a thread stores the value of each channel
separately. The outer maps are split, and the values in them are copied unchanged: no object is
created from them, so this neither needs LangGraph nor trusts the file.
"""

from __future__ import annotations

import json
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Final

import msgspec

from statekeep.errors import UnsupportedError
from statekeep_plugins.databases.reading import LONGEST, shown
from statekeep_plugins.layouts.langgraph.threads import note, place_of
from statekeep_plugins.layouts.langgraph.values import NONCE, packed, title_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.journals import Draft
    from statekeep_plugins.marks import Aside

__all__ = ["Batch", "DamagedRowError"]

_PARTS: Final[dict[str, Callable[[bytes], dict[str, msgspec.Raw]]]] = {
    "msgpack": msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode,
    "json": msgspec.json.Decoder(dict[str, msgspec.Raw]).decode,
}
_WHOLE: Final[dict[str, Callable[[Any], Any]]] = {
    "msgpack": msgspec.msgpack.encode,
    "json": msgspec.json.encode,
}
_TITLED: Final = 2**20
"""Largest size of the messages in which a title is looked for, in bytes."""


class DamagedRowError(Exception):
    """A row holds nothing that can be imported; the message says why."""


class Batch:
    """What is added in one change."""

    def __init__(self) -> None:
        self.aside: list[Aside] = []
        self.size = 0
        self._makes: list[Callable[[Draft], dict[str, Any]]] = []
        self._titles: list[str] = []
        self._nonce = token_bytes(NONCE)

    def __len__(self) -> int:
        return len(self._makes)

    def add(self, draft: Draft) -> int:
        """Add everything to a thread's draft, and return the number of items."""
        for make in self._makes:
            item = make(draft)
            note(draft.metadata, item, draft.length)
            draft.append([item])
        for title in self._titles[:1]:
            draft.metadata.setdefault("title", title)
        return len(self._makes)

    def keep_aside(self, table: str, row: Any, column: str, reason: str) -> None:  # noqa: ANN401
        """Keep the bytes of a damaged row."""
        data = row[column]
        file = f"{table}-{row['at']}.bin"
        kept = None if data is None else shown(data)
        self.aside.append((f"row {row['at']} of {table}", reason, kept, file))

    def take_checkpoint(self, row: Any) -> None:  # noqa: ANN401
        """Add a row of the table ``checkpoints``.

        Raises:
            UnsupportedError: It is encrypted or pickled.
        """
        try:
            self._take_checkpoint(row)
        except DamagedRowError as error:
            self.keep_aside("checkpoints", row, "checkpoint", str(error))

    def _take_checkpoint(self, row: Any) -> None:  # noqa: ANN401
        kind, data, metadata = row["type"], _bytes_of(row, "checkpoint"), row["metadata"]
        if not isinstance(kind, str):
            raise DamagedRowError("it has no type")
        if kind not in _PARTS:
            raise UnsupportedError(
                f"checkpoints of the type {kind!r} cannot be imported: only a program that has "
                "the key, or trusts the file, can read them"
            )
        try:
            parts = _PARTS[kind](data)
            values = _PARTS[kind](parts.pop("channel_values", msgspec.Raw(_WHOLE[kind]({}))))
            known = msgspec.Raw(_WHOLE[kind]({}))
            versions = _versions(kind, parts.get("channel_versions", known))
            said = json.loads(metadata) if metadata is not None else {}
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            raise DamagedRowError(f"it cannot be read: {error}") from error
        if not isinstance(said, dict):
            raise DamagedRowError("its metadata is not a JSON object")
        about = _about(said, shown(metadata))
        rest = _WHOLE[kind](parts)
        channels = {name: bytes(value) for name, value in values.items()}
        namespace, parent = row["checkpoint_ns"], row["parent_checkpoint_id"] or None
        counters = said.get("counters_since_delta_snapshot")

        def make(draft: Draft) -> dict[str, Any]:
            latest = draft.metadata.get(place_of(namespace), {})
            large = latest["large"] if parent and latest.get("id") == parent else {}
            kept = {}
            for name, value in channels.items():
                version, there = versions.get(name), large.get(name)
                # What has not changed since the parent is already stored.
                is_known = there and version is not None and there[1]["version"] == version
                kept[name] = there if is_known else self._packed(draft, kind, value, version)
            return {
                "checkpoint": row["checkpoint_id"],
                "ns": namespace,
                "parent": parent,
                "data": self._packed(draft, kind, rest),
                "metadata": self._packed(draft, *about),
                "values": kept,
                "run": said.get("run_id"),
                "delta": sorted(counters if isinstance(counters, dict) else ()),
            }

        self._makes.append(make)
        self.size += len(data)
        if not (namespace or self._titles) and kind == "msgpack":
            self._titles += filter(None, [_title(channels.get("messages", b""))])

    def take_writes(self, rows: list[Any]) -> None:
        """Add rows of the table ``writes``: what one task wrote at one checkpoint."""
        of: list[tuple[int, str, str, bytes]] = []
        for row in rows:
            try:
                data = _bytes_of(row, "value")
                if not isinstance(row["type"], str):
                    raise DamagedRowError("it has no type")
            except DamagedRowError as error:
                self.keep_aside("writes", row, "value", str(error))
                continue
            of.append((row["idx"], row["channel"], row["type"], data))
            self.size += len(data)
        if not of:
            return
        first = rows[0]

        def make(draft: Draft) -> dict[str, Any]:
            return {
                "writes": first["checkpoint_id"],
                "ns": first["checkpoint_ns"],
                "task": first["task_id"],
                "path": first["task_path"],
                "of": [
                    [index, channel, self._packed(draft, kind, data)]
                    for index, channel, kind, data in of
                ],
            }

        self._makes.append(make)

    def _packed(self, draft: Draft, kind: str, data: bytes, version: Any = None) -> list[Any]:  # noqa: ANN401
        return packed(draft, kind, data, version, self._nonce)


def _bytes_of(row: Any, column: str) -> bytes:  # noqa: ANN401
    data = row[column]
    if data is None:
        long = (row["size"] or 0) > LONGEST
        raise DamagedRowError(
            f"it has more than {LONGEST} bytes" if long else "its value is missing"
        )
    return shown(data)


def _versions(kind: str, versions: msgspec.Raw) -> dict[str, str | int | float]:
    decode = msgspec.msgpack.decode if kind == "msgpack" else msgspec.json.decode
    plain = ((name, decode(each)) for name, each in _PARTS[kind](versions).items())
    return {name: each for name, each in plain if isinstance(each, (str, int, float))}


def _about(said: dict[str, Any], text: bytes) -> tuple[str, bytes]:
    """Return metadata as the saver stores it, or unchanged if MessagePack cannot hold it."""
    try:
        return "msgpack", msgspec.msgpack.encode(said)
    except (ValueError, OverflowError):
        return "json", text


def _title(messages: bytes) -> str:
    """Return a title from the user's first message, if it can be read without LangGraph."""
    if not messages or len(messages) > _TITLED:
        return ""
    try:
        return title_in(msgspec.msgpack.decode(messages, ext_hook=_read_message))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def _read_message(_: int, data: memoryview) -> object:
    """Return the fields of an object, which is stored as module, class and fields."""
    made = msgspec.msgpack.decode(data, ext_hook=lambda *_: None)
    return made[2] if isinstance(made, list) and len(made) > 2 else None
