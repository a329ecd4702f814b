"""Finds what is wrong in a store. Reads everything and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from pydantic import ValidationError

from statekeep._arguments import checked
from statekeep.doctor.findings import Diagnosis, Finding, FindingKind
from statekeep.doctor.journals import (
    SoundHead,
    examine_journal,
    examine_marks,
    examine_segments,
    find_orphans,
    is_place_of_journal,
)
from statekeep.doctor.places import collisions, is_misspelt
from statekeep.errors import CorruptDataError, InvalidKeyError, StateStoreError, UnsupportedError
from statekeep.format.json import HalfCharacterError, decode_json, decode_text
from statekeep.format.record import decode_session
from statekeep.format.session import Session
from statekeep.format.version import is_head, refuse_newer
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.journals import journal_heads
from statekeep.heads.records import decode_index
from statekeep.retention.sweeping import (
    CANDIDATES,
    Unnamed,
    decode_candidates,
    is_swept,
    may_hold_head,
)
from statekeep.retention.trash import read_trashed
from statekeep.store.keys import (
    CACHE,
    QUARANTINE,
    RESERVED,
    STAMP,
    STAMPS,
    TRASH,
    WRITTEN_BY,
    blob_name,
    is_session_key,
    parse_document_key,
    session_key,
)
from statekeep.store.powers import get_many, inspect, power
from statekeep.store.query import SupportsQuery
from statekeep.timestamps import (
    UnholdableTimeError,
    format_timestamp,
    parse_timestamp,
    utc_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
    """Read everything in a store and report what is wrong. Changes nothing.

    Args:
        store: Any store, even a read-only one.
        documents: Treat unreadable documents as damage that `repair` moves. By default they are
            only remarks: in a folder that others use too, most documents are not statekeep's.
        progress: Called after each document with the number read so far, and the total.

    Returns:
        What was found; pass it to `repair`.

    Raises:
        UnavailableError: The store did not answer.
        AccessDeniedError: The store refuses to be listed.

    Examples:
        >>> from statekeep import open_store
        >>> from statekeep.doctor import diagnose
        >>> with open_store("memory:") as store:
        ...     version = store.put("sessions/s.json", b"{")
        ...     [finding.kind for finding in diagnose(store).problems]
        ['corrupt session']
    """
    anomalies = [
        Finding(each.kind, each.place, each.reason, each.action, each.harmless, anomaly=each)
        for each in inspect(store, older_than=_STALE)
    ]
    try:
        return _diagnose(store, anomalies, documents=documents, progress=progress)
    except CorruptDataError:
        damage = tuple([each for each in anomalies if each.kind == "damage"])
        if not damage:
            raise
        # Nothing else can be examined, only the store as a whole.
        return Diagnosis(str(store), True, 0, 0, damage)


def _diagnose(
    store: StateStore,
    anomalies: Sequence[Finding],
    *,
    documents: bool,
    progress: Callable[[int, int], object] | None,
) -> Diagnosis:
    # By key, because scanning a folder while it is written to can list a file twice.
    sizes = {entry.key: entry.size for entry in store.scan()}
    keys = [*sizes]
    examined = [key for key in keys if parse_document_key(key) or key.split("/")[0] in WRITTEN_BY]
    own = [
        key
        for key in keys
        if _is_stamp(key) or key == CANDIDATES or _is_index(key) or _is_below(key, TRASH)
    ]
    findings = [*collisions(examined)]
    # An unreadable session proves nothing if most of what is there belongs to something else.
    is_store = len(examined) + len(own) == len(keys) or any(
        key.split("/")[0] == RESERVED for key in keys
    )
    heads: list[SoundHead] = []
    unnamed = Unnamed(filter(is_swept, keys))
    done, total = count(1), len(examined) + len(own)

    def show() -> None:
        if progress:
            progress(next(done), total)

    unused = power(store, SupportsQuery) is not None
    for key, blob in get_many(store, [*examined, *own]):
        if isinstance(blob, StateStoreError):
            findings.append(Finding("unreadable", key, blob.message))
        elif blob is not None:
            found, head = _examine(key, blob, documents=documents)
            if unused and not found and _is_index(key):
                reason = "this store lists by its own records, so nothing reads this index"
                remark = Finding("summary index", key, reason, "remove", harmless=True)
                found = [replace(remark, version=blob.version)]
            findings += found
            if head:
                heads.append(head)
            if head or (is_session_key(key) and all(each.harmless for each in found)):
                is_store = True
        if blob is not None and may_hold_head(key):
            unnamed.spare(key, blob)
        show()
    total += sum(len(head.segments) for head in heads)
    findings += examine_segments(store, heads, show)
    findings += find_orphans(store, unnamed, sizes)
    findings += anomalies
    if not is_store:
        findings = [replace(each, action=None, harmless=True) for each in findings]
    return Diagnosis(
        store=str(store),
        is_store=is_store,
        examined=len(examined),
        quarantined=sum(_is_below(key, QUARANTINE) for key in keys),
        findings=tuple(sorted(findings, key=lambda finding: (finding.place, finding.kind))),
    )


def _examine(key: str, blob: Blob, *, documents: bool) -> tuple[list[Finding], SoundHead | None]:
    """Return what is wrong with a document, and its head if it is a sound one of a journal."""
    if blob_name(key) is not None:
        return [], None  # whatever its content
    try:
        if _is_below(key, TRASH) or key.split("/", maxsplit=1)[0] in WRITTEN_BY:
            refuse_newer(blob.data)
        if is_place_of_journal(key) or (is_session_key(key) and is_head(blob.data)):
            return examine_journal(key, blob)
    except UnsupportedError as error:
        return [Finding("newer format", key, error.message, version=blob.version)], None
    return [*_examine_document(key, blob, documents=documents)], None


def _examine_document(key: str, blob: Blob, *, documents: bool) -> Iterator[Finding]:
    finding = None
    if _is_stamp(key):
        finding = _examine_stamp(key, blob)
    elif key == CANDIDATES:
        decode = decode_candidates
        finding = _unless_sound("sweep candidates", key, blob, decode, action="remove")
    elif _is_below(key, TRASH):
        finding = _unless_sound("trash", key, blob, partial(read_trashed, key))
    elif _is_index(key):
        finding = _unless_sound("summary index", key, blob, decode_index, action="remove")
    elif is_session_key(key):
        yield from _examine_session(key, blob)
    elif parse_document_key(key):
        decode_it = decode_json if key.endswith(".json") else decode_text
        finding = _unless_sound("corrupt document", key, blob, decode_it)
        if finding and not documents:
            finding = replace(finding, action=None, harmless=True)
    if finding:
        yield finding


def _is_stamp(key: str) -> bool:
    return key == STAMP or _is_below(key, STAMPS)


def _is_index(key: str) -> bool:
    if key in {SESSION_HEADS.index, SESSION_HEADS.changes}:
        return True
    folder, _, name = key.rpartition("/")
    if folder != f"{CACHE}/journals":
        return False
    try:
        heads = journal_heads(name.removesuffix("-changes.jsonl").rpartition("-")[0])
    except InvalidKeyError:
        return False
    return key in {heads.index, heads.changes}


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
        # Other programs can read it, and so can we when asked to; moving it would lose it.
        return Finding(kind, key, error.message, version=blob.version)
    except CorruptDataError as error:
        return Finding(kind, key, error.message, action, version=blob.version)
    return None


def _examine_session(key: str, blob: Blob) -> list[Finding]:
    try:
        session = decode_session(key, blob)
    except HalfCharacterError as error:
        return [Finding("corrupt session", key, error.message, version=blob.version)]
    except CorruptDataError as error:
        return [_explain(key, blob, error.message)]
    return [*examine_marks(key, session.metadata, blob.version)]


def _explain(key: str, blob: Blob, reason: str) -> Finding:
    """Return the finding for a session that cannot be read."""
    try:
        inner = Session.from_json(blob.data).id
    except CorruptDataError:
        action: RepairAction | None = None if _is_sound_but_for_times(blob.data) else "move"
        if action is None:
            reason += "; other programs can read it, so it stays"
        return Finding("corrupt session", key, reason, action, version=blob.version)
    try:
        misspelt = is_misspelt(key, session_key(inner))
    except ValueError:
        misspelt = False
    if misspelt:
        # Perhaps the volume itself respells names; then moving it would lose a sound session.
        reason += "; only its spelling differs, so rename it yourself"
    return Finding(
        "misplaced session", key, reason, None if misspelt else "move", version=blob.version
    )


def _is_sound_but_for_times(data: bytes) -> bool:
    """Whether it is a session whose only fault is times that no datetime can hold."""
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
    # Moving the stamp costs one extra prune, and never a wrong delete.
    if finding := _unless_sound("retention stamp", key, blob, decode_json):
        return finding
    age = timedelta(0) if blob.modified is None else utc_now() - blob.modified
    if age < -_STALE:
        reason = f"it is {-age} ahead of this machine: one of the clocks is wrong"
    elif age > _LONG:
        reason = f"no prune has begun for {age.days} days; is anything still running them?"
    else:
        return None
    return Finding("retention stamp", key, reason, harmless=True)


def _is_below(key: str, prefix: str) -> bool:
    return key.startswith(f"{prefix}/")
