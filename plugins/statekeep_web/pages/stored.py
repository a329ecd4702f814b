"""The stored data of a conversation: JSON, single texts and pictures."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Final

import orjson
from starlette.responses import Response, StreamingResponse

from statekeep.errors import (
    CorruptDataError,
    InvalidDocumentError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.format.version import is_head
from statekeep_web.pages.conversation import number, opened, unreadable
from statekeep_web.pages.targets import target_of
from statekeep_web.pictures import LARGEST, in_url, picture_type, place_of
from statekeep_web.rendering import as_json, refusal
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.conversations import Conversation, Entry
    from statekeep_web.pages.targets import Target
    from statekeep_web.visits import Visit

__all__ = ["download", "show_image", "show_raw", "show_text"]

_TEXT: Final = "text/plain; charset=utf-8"
_SANDBOX: Final = {"Content-Security-Policy": "default-src 'none'; sandbox"}
_PIECE: Final = 256 * 1024
_ITEMS: Final = 1000
_BYTES: Final = 4 * 2**20
"""The most items of a journal, and about the most bytes, read at once."""


def show_raw(visit: Visit) -> Response:
    """Show the JSON of a session, or of a journal's items, one per line."""
    return _raw(visit, target_of(visit))


def download(visit: Visit) -> Response:
    """Offer what `show_raw` shows as a download."""
    target = target_of(visit)
    answer = _raw(visit, target)
    if answer.status_code == 200:
        ending = "json" if answer.media_type == "application/json" else "jsonl"
        name = f"{_file_name(target)}.{ending}"
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def show_text(visit: Visit) -> Response:
    """Show the full text of one part of a message; without `part`, the message as JSON."""
    target, entry = _entry(visit)
    place = number(visit, "part")
    if place is None:
        text = as_json(entry.raw)
    elif 0 <= place < len(entry.parts):
        text = entry.parts[place].text
    else:
        raise NotFoundError("the message has no such part", key=target.key, store=visit.site.store)
    return _streamed(_encoded(text), _TEXT)


def show_image(visit: Visit) -> Response:
    """Show a picture in a message or in the store.

    Its bytes decide whether it is shown. Anything else, such as SVG, which may contain scripts, is
    a download.
    """
    blob, ref = visit.exact("blob"), visit.exact("attachment")
    if blob is not None:
        data = _blob(visit, blob)
    elif ref is not None:
        data = _attachment(visit, target_of(visit), ref)
    else:
        data = _in_message(visit)
    if data is None:
        raise NotFoundError("no such picture", key=blob or ref, store=visit.site.store)
    if len(data) > LARGEST:
        text = f"The picture is larger than the {LARGEST} bytes that this page shows."
        return refusal(visit.request, 413, "Too large", text)
    media_type = picture_type(data)
    if media_type is not None:
        return Response(data, media_type=media_type, headers=_SANDBOX)
    headers = {**_SANDBOX, "Content-Disposition": 'attachment; filename="not-shown.bin"'}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _raw(visit: Visit, target: Target) -> Response:
    blob = visit.site.store.get(target.key)
    if blob is None:
        what = "session" if target.session is not None else "journal"
        raise NotFoundError(f"no such {what}", key=target.key, store=visit.site.store)
    if visit.get("stored"):
        return _streamed(_pieces(blob.data), _TEXT)
    if target.session is not None and not is_head(blob.data):
        return _streamed(_pieces(blob.data), "application/json")
    try:
        conversation = opened(visit, target)
        lines = _lines(conversation)
        begins = next(lines, b"")  # an error here can still become an error page
    except (CorruptDataError, InvalidDocumentError, UnsupportedError) as error:
        return unreadable(visit, target, error)
    return _streamed(chain([begins], lines), _TEXT)


def _lines(conversation: Conversation) -> Iterator[bytes]:
    """Yield the items of a journal as JSON Lines, as many as it had when first read."""
    excerpt, start, count = conversation.load(stop=1), 0, 1
    if excerpt is None:
        return
    if not (stop := excerpt.length):
        return
    while excerpt is not None and excerpt.entries:
        data = b"".join([orjson.dumps(each.raw) + b"\n" for each in excerpt.entries])
        yield data
        read = len(excerpt.entries)
        start += read
        if start >= stop:
            return
        # As many as stay below the limits, if the next items are as long as these.
        count = max(1, min(2 * count + 10, _ITEMS, _BYTES * read // len(data)))
        excerpt = conversation.load(start=start, stop=min(stop, start + count))
    # End with an error, so that a partial download is not taken for the whole journal.
    raise UnavailableError("the journal was cut back while it was read; read it again")


def _entry(visit: Visit) -> tuple[Target, Entry]:
    """The message that a request names by `index`.

    Raises:
        BadRequest: The request names no message.
        NotFoundError: There is no such message.
    """
    target, index = target_of(visit), number(visit, "index")
    if index is None or index < 0:
        raise BadRequest("The address names no message.")
    excerpt = opened(visit, target).load(start=index, stop=index + 1)
    if excerpt is None or not excerpt.entries:
        raise NotFoundError("no such message", key=target.key, store=visit.site.store)
    return target, excerpt.entries[0]


def _in_message(visit: Visit) -> bytes | None:
    _, entry = _entry(visit)
    place = number(visit, "part") or 0
    if not 0 <= place < len(entry.parts):
        return None
    # Decoded, that is more than the page shows; the whole of it might not fit into memory.
    return in_url(entry.parts[place].source or "", 2 * LARGEST)


def _blob(visit: Visit, key: str) -> bytes | None:
    place = place_of(key)
    if place is None or place.kind != "blob":
        raise BadRequest("The address names no blob.")
    found = visit.site.store.get(place.name)
    return None if found is None else found.data


def _attachment(visit: Visit, target: Target, ref: str) -> bytes | None:
    if target.collection is None:
        raise BadRequest("Only journals have attachments.")
    journal = visit.site.journals(target.collection).open(*target.name)
    return journal.attachments([ref])[ref]


def _streamed(pieces: Iterator[bytes], media_type: str) -> Response:
    return StreamingResponse(pieces, media_type=media_type)


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


def _encoded(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), _PIECE):
        # Half a character, which UTF-8 cannot encode, is shown as its JSON escape.
        yield text[start : start + _PIECE].encode(errors="backslashreplace")


def _file_name(target: Target) -> str:
    """A file name that is safe on every system and in a header."""
    parts = [target.session] if target.session is not None else [target.collection, *target.name]
    text = re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(map(str, parts))).strip("-")
    return text[:80] or "conversation"
