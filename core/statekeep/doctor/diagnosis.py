"""Finding what is wrong in a store. Reads everything and changes nothing."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from statekeep._arguments import checked
from statekeep.doctor.findings import Diagnosis, Finding, FindingKind
from statekeep.errors import CorruptDataError, StateStoreError, UnsupportedError
from statekeep.format.json import HalfCharacterError, decode_json, decode_text
from statekeep.format.record import decode_session
from statekeep.format.session import Session
from statekeep.format.version import refuse_newer
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.records import decode_index
from statekeep.retention.trash import read_trashed
from statekeep.store.keys import (
    QUARANTINE,
    RESERVED,
    SESSIONS,
    STAMP,
    TRASH,
    WRITTEN_BY,
    is_session_key,
    parse_document_key,
    session_key,
)
from statekeep.store.powers import get_many, inspect
from statekeep.timestamps import (
    UnholdableTimeError,
    format_timestamp,
    parse_timestamp,
    utc_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep.store.powers import RepairAction
    from statekeep.store.protocol import Blob, StateStore

__all__ = ["diagnose"]

_STALE = timedelta(hours=1)
_LONG = timedelta(days=7)


@checked
def diagnose(
    store: StateStore,
    *,
    documents: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Diagnosis:
    """Read everything in a store and say what is wrong. Changes nothing.

    Args:
        store: Any store; one that can only be read will do.
        documents: Take documents that cannot be read for damage that `repair` moves. Otherwise
            they are only remarked on: in a folder that others use too, most are not statekeep's.
        progress: Called after each document with how many are read, and of how many.

    Returns:
        What was found; `repair` takes it.

    Raises:
        UnavailableError: The store did not answer.
        AccessDeniedError: The store does not let itself be listed.

    Example:
        >>> from statekeep import open_store
        >>> from statekeep.doctor import diagnose
        >>> with open_store("memory:") as store:
        ...     version = store.put("sessions/s.json", b"{")
        ...     [finding.kind for finding in diagnose(store).problems]
        ['corrupt session']
    """
    # By key, because a folder that is written while it is scanned may name a file twice.
    keys = dict.fromkeys(entry.key for entry in store.scan())
    examined = [key for key in keys if parse_document_key(key) or key.split("/")[0] in WRITTEN_BY]
    own = [key for key in keys if key in {STAMP, SESSION_HEADS.index} or _is_below(key, TRASH)]
    findings = [*_collisions(examined)]
    # A session that cannot be read is nobody's proof, if most of what lies there is another's.
    is_store = len(examined) + len(own) == len(keys) or any(
        key.split("/")[0] == RESERVED for key in keys
    )
    for done, (key, blob) in enumerate(get_many(store, [*examined, *own]), start=1):
        if isinstance(blob, StateStoreError):
            findings.append(Finding("unreadable", key, blob.message))
        elif blob is not None:
            if finding := _examine(key, blob, documents=documents):
                findings.append(finding)
            elif is_session_key(key):
                is_store = True
        if progress:
            progress(done, len(examined) + len(own))
    findings += [
        Finding(each.kind, each.place, each.reason, each.action, each.harmless, anomaly=each)
        for each in inspect(store, older_than=_STALE)
    ]
    if not is_store:
        findings = [replace(each, action=None, harmless=True) for each in findings]
    return Diagnosis(
        store=str(store),
        is_store=is_store,
        examined=len(examined),
        quarantined=sum(_is_below(key, QUARANTINE) for key in keys),
        findings=tuple(sorted(findings, key=lambda finding: (finding.place, finding.kind))),
    )


def _examine(key: str, blob: Blob, *, documents: bool) -> Finding | None:
    if key == STAMP:
        return _examine_stamp(key, blob)
    if _is_below(key, TRASH) or key.split("/", maxsplit=1)[0] in WRITTEN_BY:
        try:
            refuse_newer(blob.data)
        except UnsupportedError as error:
            return Finding("newer format", key, error.message, version=blob.version)
    if _is_below(key, TRASH):
        return _unless_sound("trash", key, blob, partial(read_trashed, key))
    if key == SESSION_HEADS.index:
        return _unless_sound("summary index", key, blob, decode_index, action="remove")
    if is_session_key(key):
        return _examine_session(key, blob)
    if parse_document_key(key) is None:
        return None
    decode = decode_json if key.endswith(".json") else decode_text
    finding = _unless_sound("corrupt document", key, blob, decode)
    if finding is None or documents:
        return finding
    return replace(finding, action=None, harmless=True)


def _unless_sound(
    kind: FindingKind,
    key: str,
    blob: Blob,
    decode: Callable[[bytes], object],
    *,
    action: RepairAction = "move",
) -> Finding | None:
    try:
        decode(blob.data)
    except HalfCharacterError as error:
        # Other programs read it, and so can we when asked to; moving it would lose it.
        return Finding(kind, key, error.message, version=blob.version)
    except CorruptDataError as error:
        return Finding(kind, key, error.message, action, version=blob.version)
    return None


def _examine_session(key: str, blob: Blob) -> Finding | None:
    try:
        decode_session(key, blob)
    except HalfCharacterError as error:
        return Finding("corrupt session", key, error.message, version=blob.version)
    except CorruptDataError as error:
        reason = error.message
    else:
        return None
    try:
        inner = Session.from_json(blob.data).id
    except CorruptDataError:
        action: RepairAction | None = None if _is_sound_but_for_times(blob.data) else "move"
        if action is None:
            reason += "; other programs can read it, so it stays"
        return Finding("corrupt session", key, reason, action, version=blob.version)
    try:
        misspelt = _folded(session_key(inner)) == _folded(key)
    except ValueError:
        misspelt = False
    if misspelt:
        # Perhaps the volume itself spells names so; then moving it would lose a sound session.
        reason += "; but for its spelling it does, so rename it yourself"
    return Finding(
        "misplaced session", key, reason, None if misspelt else "move", version=blob.version
    )


def _is_sound_but_for_times(data: bytes) -> bool:
    """Whether it is a session with times in it that no datetime holds."""
    try:
        fields = decode_json(data)
        messages = [*fields.get("user_messages", ()), *fields.get("agent_responses", ())]
        for holder in (fields, *messages):
            for name in ("created_at", "updated_at", "timestamp"):
                if _is_unholdable(holder.get(name)):
                    holder[name] = format_timestamp(utc_now())
        Session.model_validate(fields)
    except (CorruptDataError, ValidationError, AttributeError, TypeError):
        return False
    return True


def _is_unholdable(moment: object) -> bool:
    try:
        if isinstance(moment, str):
            parse_timestamp(moment)
    except UnholdableTimeError:
        return True
    except ValueError:
        pass
    return False


def _examine_stamp(key: str, blob: Blob) -> Finding | None:
    # Moving it costs one prune too many, and never a wrong delete.
    if finding := _unless_sound("retention stamp", key, blob, decode_json):
        return finding
    age = timedelta(0) if blob.modified is None else utc_now() - blob.modified
    if age < -_STALE:
        reason = f"it is {-age} ahead of this machine: one of the clocks is wrong"
    elif age > _LONG:
        reason = f"no prune has begun for {age.days} days; is there still someone to do it?"
    else:
        return None
    return Finding("retention stamp", key, reason, harmless=True)


def _collisions(keys: Iterable[str]) -> Iterator[Finding]:
    keys = sorted(keys)
    folders: set[str] = set()
    for key in keys:
        folder = key.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    known = set(keys)
    spelled: dict[str, str] = {}
    for key in keys:
        first = spelled.setdefault(_folded(key), key)
        if first != key:
            reason = f"on a volume that folds case it would be the same file as {first!r}"
        elif key in folders:
            reason = "it is a category as well, which no folder on a disk could hold"
        elif key.endswith(".md") and key.startswith(f"{SESSIONS}/") and f"{key[:-3]}.json" in known:
            reason = "beside the session of that name; the original lists that session twice"
        else:
            continue
        yield Finding("collision", key, reason, harmless=True)


def _folded(key: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).casefold())


def _is_below(key: str, prefix: str) -> bool:
    return key.startswith(f"{prefix}/")
