"""JSON and Markdown documents over any store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticSerializationError

from statekeep._arguments import checked
from statekeep._text import half_character
from statekeep.errors import ConflictError, CorruptDataError, InvalidDocumentError, InvalidKeyError
from statekeep.format.json import (
    RepairText,
    decode_json,
    decode_text,
    encode_json,
    explain,
    repair_json,
)
from statekeep.format.values import check_shape, plain_value
from statekeep.format.version import refuse_head, refuse_newer
from statekeep.observe.emitter import Emitter
from statekeep.observe.events import (
    ConflictDetected,
    ConflictRetried,
    DocumentDeleted,
    DocumentSaved,
    Observer,
)
from statekeep.store.keys import (
    WRITTEN_BY,
    Kind,
    document_key,
    document_prefix,
    is_below,
    is_key,
    parse_document_key,
)
from statekeep.store.protocol import (
    ABSENT,
    ANY,
    Blob,
    Expect,
    ExpectSeen,
    StateStore,
    Version,
    compare,
)
from statekeep.store.retrying import apply, retry_on_conflict
from statekeep.store.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

__all__ = ["Document", "DocumentInfo", "Documents"]

T = TypeVar("T")

_TIMEOUT = timedelta(seconds=30)
_KINDS: tuple[Kind, ...] = ("json", "md")


@dataclass(frozen=True, slots=True)
class Document(Generic[T]):
    """A document, from one atomic read.

    Attributes:
        value: Its value.
        version: Pass this as `expect` when saving a changed value.
        modified: When the store says it was last written (UTC), or None if it cannot say.
    """

    value: T
    version: Version
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document as a listing sees it, without reading it.

    Attributes:
        category: Its category; ``.`` for the root.
        name: Its name without the suffix.
        kind: ``"json"`` or ``"md"``.
        size: Its size in bytes.
        modified: When the store says it was last written (UTC), or None if it cannot say.
    """

    category: str
    name: str
    kind: Kind
    size: int
    modified: datetime | None


class Documents:
    """The documents of a store, by category and name.

    A category is one or more segments (``specs/v1``), or ``.`` for the root. ``plan.json`` and
    ``plan.md`` are two documents with the same name. Documents in the categories ``sessions``,
    ``journals`` and ``blobs`` can be read here, but not written. Safe to use from several threads.
    It does not close the store.

    Args:
        store: The store that holds them.
        observers: Functions called with each event, after the fact.

    Examples:
        >>> from statekeep import Documents, open_store
        >>> with open_store("memory:") as store:
        ...     documents = Documents(store)
        ...     _ = documents.save_json("specs/v1", "limits", {"tokens": 4096})
        ...     documents.load_json("specs/v1", "limits").value
        {'tokens': 4096}
    """

    @checked
    def __init__(self, store: StateStore, *, observers: Iterable[Observer] = ()) -> None:
        self._store = store
        self._emitter = Emitter(store, observers, "Documents")
        self._transfer = Transfer(store, "last-writer-wins")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store})"

    @property
    def store(self) -> StateStore:
        """The underlying store."""
        return self._store

    @checked
    def save_json(
        self,
        category: str,
        name: str,
        value: object,
        *,
        type: Any = None,  # noqa: A002, ANN401 - pydantic's term; any annotation will do
        expect: Expect = ANY,
    ) -> Version:
        """Store a JSON document.

        Args:
            category: The document's category.
            name: The document's name.
            value: Dicts, lists, text, 64-bit integers, finite floats, booleans and None, or
                instances of their subclasses, which become plain; or a pydantic model instance.
            type: Write it as this type: anything that pydantic accepts (a model, a dataclass,
                ``list[Model]``).
            expect: `ANY`, `ABSENT` (create only) or the version to replace.

        Returns:
            The new version.

        Raises:
            ConflictError: The document is not as expected; nothing was changed.
            InvalidDocumentError: JSON cannot hold the value; nothing was changed.
            InvalidKeyError: The name or the category is not legal.
        """
        with self._emitter.operation("save_json", f"{category}/{name}"):
            key = document_key(category, name, "json")
            self._refuse_others(category)
            data = self._encode(key, value, type)
            return self._save(key, category, name, "json", data, expect)

    @overload
    def load_json(
        self, category: str, name: str, *, repair_text: RepairText = ...
    ) -> Document[Any] | None: ...
    @overload
    def load_json(
        self, category: str, name: str, *, type: type[T], repair_text: RepairText = ...
    ) -> Document[T] | None: ...
    @overload
    def load_json(
        self,
        category: str,
        name: str,
        *,
        type: Any,  # noqa: ANN401
        repair_text: RepairText = ...,
    ) -> Document[Any] | None: ...
    @checked
    def load_json(
        self,
        category: str,
        name: str,
        *,
        type: Any = None,  # noqa: A002
        repair_text: RepairText = "refuse",
    ) -> Document[Any] | None:
        """Read a JSON document.

        Args:
            category: The document's category.
            name: The document's name.
            type: Read it as this type: anything that pydantic accepts.
            repair_text: ``"replace"`` to read U+FFFD in place of text that another program wrote
                and UTF-8 cannot hold.

        Returns:
            The document, or None if it does not exist.

        Raises:
            CorruptDataError: It is not JSON, or not of that type.
            InvalidKeyError: The name or the category is not legal.
        """
        with self._emitter.operation("load_json", f"{category}/{name}"):
            key = document_key(category, name, "json")
            blob = self._store.get(key)
            if blob is None:
                return None
            return Document(
                self._read_json(key, blob, type, repair_text), blob.version, blob.modified
            )

    @checked
    def save_markdown(
        self, category: str, name: str, text: str, *, expect: Expect = ANY
    ) -> Version:
        """Store a Markdown document; the text is stored exactly as given.

        Args:
            category: The document's category.
            name: The document's name.
            text: The text.
            expect: `ANY`, `ABSENT` (create only) or the version to replace.

        Returns:
            The new version.

        Raises:
            ConflictError: The document is not as expected; nothing was changed.
            InvalidDocumentError: UTF-8 cannot hold the text; nothing was changed.
            InvalidKeyError: The name or the category is not legal.
        """
        with self._emitter.operation("save_markdown", f"{category}/{name}"):
            key = document_key(category, name, "md")
            self._refuse_others(category)
            return self._save(key, category, name, "md", self._encode_text(key, text), expect)

    @checked
    def load_markdown(
        self, category: str, name: str, *, repair_text: RepairText = "refuse"
    ) -> Document[str] | None:
        """Read a Markdown document.

        Args:
            category: The document's category.
            name: The document's name.
            repair_text: ``"replace"`` to read U+FFFD in place of bytes that are not UTF-8.

        Returns:
            The document, or None if it does not exist.

        Raises:
            CorruptDataError: It is not UTF-8.
            InvalidKeyError: The name or the category is not legal.
        """
        with self._emitter.operation("load_markdown", f"{category}/{name}"):
            key = document_key(category, name, "md")
            blob = self._store.get(key)
            if blob is None:
                return None
            return Document(self._read_text(key, blob, repair_text), blob.version, blob.modified)

    @checked
    def update(
        self,
        category: str,
        name: str,
        change: Callable[[Any], object],
        *,
        kind: Kind = "json",
        type: Any = None,  # noqa: A002, ANN401
        timeout: timedelta = _TIMEOUT,
    ) -> Document[Any]:
        """Load, change and save a document, retrying as long as others write in between.

        Unlike with `Sessions.update`, the function returns the new value: a value can be a number
        or text, which cannot be changed in place.

        Args:
            category: The document's category.
            name: The document's name.
            change: Takes the value, or None if there is no document yet, and returns the new
                value, which must not be None; it may be called several times.
            kind: ``"json"`` or ``"md"``.
            type: For JSON, read and write it as this type.
            timeout: How long to keep retrying after conflicts.

        Returns:
            The document as stored; its `modified` is None.

        Raises:
            ConflictError: Others kept writing until the timeout, and this change was not stored;
                or, if `landed` is ``"unknown"``, the response was lost and someone else wrote
                since. It is never stored twice.
            CorruptDataError, InvalidDocumentError, InvalidKeyError: As when loading and saving.
            UnsupportedError: The store cannot compare and swap.
        """
        key = document_key(category, name, kind)

        def read(blob: Blob) -> Any:  # noqa: ANN401
            return self._read_text(key, blob) if kind == "md" else self._read_json(key, blob, type)

        def attempt() -> Document[Any]:
            blob = self._store.get(key)
            value = apply(change, None if blob is None else read(blob))
            if value is None:
                raise InvalidDocumentError(
                    "the change returned nothing; it must return the new value",
                    key=key,
                    store=self._store,
                )
            expect: Expect = ABSENT if blob is None else blob.version
            data = (
                self._encode(key, value, type) if kind == "json" else self._encode_text(key, value)
            )
            version = self._save(key, category, name, kind, data, expect)
            return Document(read(Blob(data, version, None)), version, None)

        with self._emitter.operation("update", f"{category}/{name}"):
            self._refuse_others(category)
            return retry_on_conflict(attempt, timeout, self._retry, at_most_once=True)

    @checked
    def list(self, category: str | None = None) -> tuple[DocumentInfo, ...]:
        """List documents without reading them.

        Args:
            category: Only documents directly in this category; None for all that can be written
                here.

        Returns:
            The documents, sorted by category, name and kind.

        Raises:
            InvalidKeyError: The category is not legal.
        """
        with self._emitter.operation("list", category):
            prefix = document_prefix(category) if category is not None else ""
            wanted = prefix or "."
            found = {}
            for entry in self._store.scan(prefix):
                if (parsed := parse_document_key(entry.key)) is None:
                    continue
                if category is None:
                    if parsed[0].split("/")[0] in WRITTEN_BY:
                        continue
                elif parsed[0] != wanted:
                    continue
                found[parsed] = DocumentInfo(*parsed, size=entry.size, modified=entry.modified)
            return tuple(found[place] for place in sorted(found))

    @checked
    def delete(
        self, category: str, name: str, *, kind: Kind | None = None, expect: ExpectSeen = ANY
    ) -> bool:
        """Delete a document.

        Args:
            category: The document's category.
            name: The document's name.
            kind: ``"json"`` or ``"md"``; can be omitted if only one of them exists.
            expect: `ANY` or the version that may be deleted.

        Returns:
            Whether it existed, and this call deleted it.

        Raises:
            ConflictError: The document is not as expected; nothing was changed.
            InvalidKeyError: The name or the category is not legal, or both kinds exist and
                `kind` was not given; nothing was changed.
        """
        with self._emitter.operation("delete", f"{category}/{name}"):
            self._refuse_others(category)
            stem = document_key(category, name, kind or "md").rpartition(".")[0]
            kinds = _KINDS if kind is None else (kind,)
            # The longest Markdown names are too long for JSON, so there is no such JSON document.
            keys = {each: f"{stem}.{each}" for each in kinds if is_key(f"{stem}.{each}")}

            def attempt() -> Kind | None:
                there = {each: blob for each, key in keys.items() if (blob := self._store.get(key))}
                if len(there) > 1:
                    raise InvalidKeyError(
                        f"{name!r} is both a JSON and a Markdown document; say which with kind=",
                        key=f"{stem}.*",
                        store=self._store,
                    )
                try:
                    for each, blob in there.items():
                        if expect is ANY:
                            self._transfer.delete_seen(keys[each], blob.version)
                        else:
                            self._store.delete(keys[each], expect=expect)
                        return each
                    compare(None, expect, key=f"{stem}.{kind or '*'}", store=self._store)
                except ConflictError as error:
                    self._emitter.emit(ConflictDetected, error.key or stem)
                    raise
                return None

            timeout = _TIMEOUT if expect is ANY else timedelta(0)
            deleted = retry_on_conflict(attempt, timeout, self._retry)
            if deleted:
                self._emitter.emit(DocumentDeleted, category, name, deleted)
            return deleted is not None

    def _save(
        self, key: str, category: str, name: str, kind: Kind, data: bytes, expect: Expect
    ) -> Version:
        try:
            version = self._store.put(key, data, expect=expect)
        except ConflictError:
            self._emitter.emit(ConflictDetected, key)
            raise
        self._emitter.emit(DocumentSaved, category, name, kind, version)
        return version

    def _encode(self, key: str, value: object, type: Any) -> bytes:  # noqa: A002, ANN401
        try:
            if type is not None or isinstance(value, BaseModel):
                return _encode_as(value, value.__class__ if type is None else type)
            return encode_json(plain_value(value))
        except InvalidDocumentError as error:
            raise InvalidDocumentError(
                error.message, key=key, store=self._store, landed="no"
            ) from None

    def _encode_text(self, key: str, text: object) -> bytes:
        if not isinstance(text, str):
            what = f"Markdown is text, not a {text.__class__.__name__}"
        elif (where := half_character(text)) is not None:
            what = f"half a character, a lone surrogate, at {where}; repair_text() replaces it"
        else:
            return text.encode()
        raise InvalidDocumentError(what, key=key, store=self._store, landed="no")

    def _refuse_others(self, category: str) -> None:
        for other, writer in WRITTEN_BY.items():
            if is_below(document_prefix(category), other):
                raise InvalidKeyError(
                    f"the category {other!r} is written through {writer}",
                    key=category,
                    store=self._store,
                    landed="no",
                )

    def _read_json(
        self,
        key: str,
        blob: Blob,
        type: Any,  # noqa: A002, ANN401
        repair_text: RepairText = "refuse",
    ) -> Any:  # noqa: ANN401
        if key.split("/", maxsplit=1)[0] in WRITTEN_BY:
            refuse_newer(blob.data, key=key, store=self._store)
            refuse_head(blob.data, key=key, store=self._store)
        data = repair_json(blob.data) if repair_text == "replace" else blob.data
        try:
            value = decode_json(data)
            return value if type is None else _adapter(type).validate_json(data)
        except CorruptDataError as error:
            raise CorruptDataError(error.message, key=key, store=self._store) from None
        except ValidationError as error:
            raise CorruptDataError(
                f"not of the type asked for: {explain(error)}", key=key, store=self._store
            ) from None

    def _read_text(self, key: str, blob: Blob, repair_text: RepairText = "refuse") -> str:
        if repair_text == "replace":
            return blob.data.decode(errors="replace")
        try:
            return decode_text(blob.data)
        except CorruptDataError as error:
            raise CorruptDataError(error.message, key=key, store=self._store) from None

    def _retry(self, error: ConflictError, retry: int) -> None:
        self._emitter.emit(ConflictRetried, error.key, retry)


def _adapter(type: Any) -> TypeAdapter[Any]:  # noqa: A002, ANN401
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(type)
        is_known = adapter.pydantic_complete
    except (PydanticSchemaGenerationError, PydanticUserError):
        is_known = False
    if not is_known:
        raise TypeError(f"type: a type that pydantic can read and write, not {type!r}")
    return adapter


def _encode_as(value: object, type: Any) -> bytes:  # noqa: A002, ANN401
    adapter = _adapter(type)
    check_shape(value)
    try:
        value = adapter.validate_python(value)
        fields = adapter.dump_python(
            value, mode="json", by_alias=True, round_trip=True, warnings="error"
        )
        data = encode_json(plain_value(fields))
        back = adapter.validate_json(data)
    except InvalidDocumentError:
        raise
    except ValidationError as error:
        raise InvalidDocumentError(f"not of its type: {explain(error)}") from None
    except (PydanticSerializationError, ValueError):
        raise InvalidDocumentError("a field has the wrong type, or JSON cannot hold it") from None
    # Pydantic secrets, for example, are written as asterisks.
    if adapter.dump_python(back, round_trip=True) != adapter.dump_python(value, round_trip=True):
        raise InvalidDocumentError("written as JSON, it would not read back the same")
    return data
