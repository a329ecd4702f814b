"""Finding what is wrong in a store, and moving it out of the way.

`diagnose` reads everything and changes nothing. `repair` moves aside what cannot be read, each
thing only if it is still what was seen, and removes only what holds nothing. What is sound is
never touched.
"""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from statekeep.codec import decode_json
from statekeep.errors import ConflictError, CorruptDataError, StateStoreError, UnsupportedError
from statekeep.index import INDEX, decode_index
from statekeep.keys import (
    PROBES,
    QUARANTINE,
    SESSIONS,
    STAMP,
    TRASH,
    is_session_key,
    parse_document_key,
    session_key,
)
from statekeep.listing import decode_session
from statekeep.models import Session
from statekeep.protocol import ABSENT, SupportsInspect, compare, get_many
from statekeep.timestamps import UnholdableTimeError, format_timestamp, utc_now
from statekeep.trash import read_trashed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep.protocol import Blob, Oddity, Remedy, StateStore, Version

__all__ = [
    "Diagnosis",
    "Finding",
    "FindingKind",
    "Mended",
    "RepairReport",
    "Unmended",
    "diagnose",
    "repair",
]

FindingKind = Literal[
    "closed folder",
    "collision",
    "corrupt document",
    "corrupt session",
    "leftover",
    "lock",
    "misplaced session",
    "no document",
    "no key",
    "retention stamp",
    "summary index",
    "trash",
    "unreadable",
]
"""What a finding is about; the guide "The doctor" describes each."""

_STALE = timedelta(hours=1)
_LONG = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong in a store, or worth knowing.

    Attributes:
        kind: What it is about.
        place: Its key; for what is no document, where it lies.
        reason: What is wrong, for a person.
        remedy: What `repair` would do: ``"move"`` it aside, or ``"remove"`` it because it holds
            nothing; None for what only a person can decide.
        harmless: Whether it is only worth knowing.
        version: The document that was seen; None for what is no document or cannot be read.
        oddity: For what is no document, what the backend said of it.
    """

    kind: FindingKind
    place: str
    reason: str
    remedy: Remedy | None = None
    harmless: bool = False
    version: Version | None = None
    oddity: Oddity | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found in a store.

    Attributes:
        store: The store, as it names itself.
        examined: How many sessions and documents were read.
        quarantined: How many documents lie in quarantine since earlier repairs.
        findings: Everything that was found, by place.
    """

    store: str
    examined: int
    quarantined: int
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(each for each in self.findings if not each.harmless)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What is only worth knowing."""
        return tuple(each for each in self.findings if each.harmless)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Mended:
    """A finding that was dealt with, and where it is now; None if it was removed."""

    finding: Finding
    to: str | None


@dataclass(frozen=True, slots=True)
class Unmended:
    """A finding that could not be dealt with, and the error that was met."""

    finding: Finding
    error: StateStoreError


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did.

    Attributes:
        mended: Moved aside or removed.
        spared: Changed by someone since it was seen, so left alone.
        failed: The store refused or did not answer; what was to be moved may be in both places.
        left: What has no remedy.
    """

    mended: tuple[Mended, ...]
    spared: tuple[Finding, ...]
    failed: tuple[Unmended, ...]
    left: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing that is wrong is left."""
        return not (self.spared or self.failed or any(not each.harmless for each in self.left))


def diagnose(
    store: StateStore, *, progress: Callable[[int, int], object] | None = None
) -> Diagnosis:
    """Read everything in a store and say what is wrong. Changes nothing.

    Args:
        store: Any store; one that can only be read will do.
        progress: Called after each document with how many are read, and of how many.

    Returns:
        What was found; `repair` takes it.

    Raises:
        UnavailableError: The store did not answer.
        AccessDeniedError: The store does not let itself be listed.

    Example:
        >>> from statekeep import diagnose, open_store
        >>> with open_store("memory:") as store:
        ...     version = store.put("sessions/s.json", b"{")
        ...     [finding.kind for finding in diagnose(store).problems]
        ['corrupt session']
    """
    # By key, because a folder that is written while it is scanned may name a file twice.
    keys = dict.fromkeys(entry.key for entry in store.scan())
    documents = [key for key in keys if parse_document_key(key) or is_session_key(key)]
    records = [
        key
        for key in keys
        if key in {STAMP, INDEX} or _is_below(key, TRASH) or key.startswith(PROBES)
    ]
    findings = [*_collisions(documents)]
    for done, (key, blob) in enumerate(get_many(store, [*documents, *records]), start=1):
        if isinstance(blob, StateStoreError):
            findings.append(Finding("unreadable", key, blob.message))
        elif blob is not None and (finding := _examine(key, blob)):
            findings.append(finding)
        if progress:
            progress(done, len(documents) + len(records))
    if isinstance(store, SupportsInspect):
        findings += [
            Finding(each.kind, each.place, each.reason, each.remedy, each.harmless, oddity=each)
            for each in store.inspect(older_than=_STALE)
        ]
    return Diagnosis(
        store=str(store),
        examined=len(documents),
        quarantined=sum(_is_below(key, QUARANTINE) for key in keys),
        findings=tuple(sorted(findings, key=lambda finding: (finding.place, finding.kind))),
    )


def repair(
    store: StateStore,
    diagnosis: Diagnosis,
    *,
    progress: Callable[[int], object] | None = None,
) -> RepairReport:
    """Move aside what a diagnosis found, each thing only if it is still what was seen.

    What is moved goes below ``.statekeep/quarantine``, under its old name and in a new place for
    each repair. A document is first copied and then deleted, so a crash leaves it in one place or
    in both.

    Args:
        store: The store that was diagnosed.
        diagnosis: What to deal with.
        progress: Called after each finding with how many are done.

    Returns:
        What became of each finding. What could not be dealt with is in it and raises nothing.

    Raises:
        ValueError: The diagnosis was made for another store.

    Example:
        >>> from statekeep import diagnose, open_store, repair
        >>> with open_store("memory:") as store:
        ...     version = store.put("sessions/s.json", b"{")
        ...     report = repair(store, diagnose(store))
        ...     [finding.kind for finding in diagnose(store).problems]
        []
    """
    if diagnosis.store != str(store):
        raise ValueError(f"the diagnosis was made for {diagnosis.store}, not for {store}")
    moment = format_timestamp(utc_now().replace(microsecond=0)).replace(":", "")
    aside = f"{QUARANTINE}/{moment}-{secrets.token_hex(4)}"
    mended: list[Mended] = []
    spared: list[Finding] = []
    failed: list[Unmended] = []
    left: list[Finding] = []
    for done, finding in enumerate(diagnosis.findings, start=1):
        if finding.remedy is None:
            left.append(finding)
        else:
            try:
                mended.append(Mended(finding, _mend(store, finding, aside)))
            except ConflictError:
                spared.append(finding)
            except StateStoreError as error:
                failed.append(Unmended(finding, error))
        if progress:
            progress(done)
    return RepairReport(tuple(mended), tuple(spared), tuple(failed), tuple(left))


def _examine(key: str, blob: Blob) -> Finding | None:
    if key == STAMP:
        return _examine_stamp(key, blob)
    if key.startswith(PROBES):
        return _examine_probe(key, blob)
    if _is_below(key, TRASH):
        return _unless_sound("trash", key, blob, partial(read_trashed, key))
    if key == INDEX:
        return _unless_sound("summary index", key, blob, decode_index, remedy="remove")
    if is_session_key(key):
        return _examine_session(key, blob)
    return _unless_sound(
        "corrupt document", key, blob, decode_json if key.endswith(".json") else _decode_text
    )


def _unless_sound(
    kind: FindingKind,
    key: str,
    blob: Blob,
    decode: Callable[[bytes], object],
    *,
    remedy: Remedy = "move",
) -> Finding | None:
    try:
        decode(blob.data)
    except CorruptDataError as error:
        return Finding(kind, key, error.message, remedy, version=blob.version)
    return None


def _decode_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CorruptDataError(f"not UTF-8 text: {error.reason} at byte {error.start}") from None


def _examine_session(key: str, blob: Blob) -> Finding | None:
    try:
        decode_session(key, blob)
    except CorruptDataError as error:
        reason = error.message
    else:
        return None
    try:
        inner = Session.from_json(blob.data).id
    except CorruptDataError:
        remedy: Remedy | None = None if _has_only_unholdable_times(blob.data) else "move"
        if remedy is None:
            reason += "; other programs can read it, so it stays"
        return Finding("corrupt session", key, reason, remedy, version=blob.version)
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


def _has_only_unholdable_times(data: bytes) -> bool:
    try:
        Session.model_validate(decode_json(data))
    except ValidationError as error:
        causes = [detail.get("ctx", {}).get("error") for detail in error.errors()]
        return all(isinstance(cause, UnholdableTimeError) for cause in causes)
    except CorruptDataError:
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


def _examine_probe(key: str, blob: Blob) -> Finding | None:
    if blob.modified is None or blob.modified > utc_now() - _STALE:
        return None  # its asker may be waiting for the answer
    reason = "a question to the server, long answered"
    return Finding("leftover", key, reason, "remove", version=blob.version)


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


def _mend(store: StateStore, finding: Finding, aside: str) -> str | None:
    if finding.oddity is not None and isinstance(store, SupportsInspect):
        return store.mend(finding.oddity, aside)
    blob = store.get(finding.place)
    if blob is None or blob.version != finding.version:
        raise ConflictError("it has changed or is gone", key=finding.place, store=store)
    if finding.remedy == "remove":
        _delete(store, finding.place, blob.version)
        return None
    to = f"{aside}/{finding.place}"
    _put_new(store, to, blob.data)
    try:
        _delete(store, finding.place, blob.version)
    except ConflictError:
        # Where it is gone, this delete may have done it after all: then the copy is all there is.
        if store.get(finding.place) is not None:
            store.delete(to)
        raise
    return to


def _put_new(store: StateStore, key: str, data: bytes) -> None:
    try:
        store.put(key, data, expect=ABSENT)
    except UnsupportedError:
        if store.capabilities.conditional_put:
            raise
        store.put(key, data)


def _delete(store: StateStore, key: str, version: Version) -> None:
    try:
        store.delete(key, expect=version)
    except UnsupportedError:
        if store.capabilities.conditional_delete:
            raise
        blob = store.get(key)
        compare(blob.version if blob else None, version, key=key, store=store)
        store.delete(key)
