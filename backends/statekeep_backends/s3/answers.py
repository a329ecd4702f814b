"""Parses S3's answers, and distinguishes them from those of something in between."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from statekeep_backends.s3.client import PAGE, Object, Page, Refusal
from statekeep_backends.s3.failures import NOT_S3, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["not_s3", "read_deletion", "read_listing"]

_SHOWN = 60
# An answer does not call the bucket by one of these names that S3 gives it.
_ALIAS = re.compile(r"^arn:|-s3alias$|--ol-s3$")


def read_listing(body: bytes, bucket: str, start: str) -> Page:
    """Parse the answer to a LIST.

    Args:
        body: The body of the answer.
        bucket: The bucket that was listed.
        start: The prefix of the names that were requested.

    Raises:
        Failure: It is an error, not a listing, or the listing of something else.
    """
    what = "the answer to LIST is not a listing"
    root = _parse(body, "ListBucketResult", what)
    told: dict[str, str] = {}
    found = []
    for child in root:
        name = _local(child)
        if name == "Contents":
            found.append(_fields(child))
        else:
            told[name] = child.text or ""
    if not _ALIAS.search(bucket) and told.get("Name", bucket) not in {"", bucket}:
        raise not_s3("it is the listing of another bucket", body)
    encoded = told.get("EncodingType") == "url"
    prefix = told.get("Prefix", start)
    if start not in {prefix, unquote_plus(prefix)}:
        raise not_s3("it is the listing of another prefix", body)
    try:
        objects = [_object(fields, encoded=encoded) for fields in found]
    except (KeyError, ValueError) as error:
        raise not_s3(what, body) from error
    if not all(each.name.startswith(start) for each in objects):
        raise not_s3("it lists something that was not requested", body)
    return Page(objects, _more(told, len(objects), body))


def read_deletion(body: bytes) -> list[Refusal]:
    """Parse the answer to a bulk delete, and return what it left.

    Raises:
        Failure: It is an error, or does not say that anything was deleted.
    """
    root = _parse(body, "DeleteResult", "the answer to a bulk delete does not say what was deleted")
    refused = []
    for child in root:
        if _local(child) == "Error":
            said = _fields(child)
            refused.append(
                Refusal(said.get("Key", ""), said.get("Code", ""), said.get("Message", ""))
            )
    return refused


def not_s3(what: str, body: bytes = b"") -> Failure:
    """Return the failure for an answer that does not come from S3.

    Args:
        what: What is wrong with it.
        body: The body of the answer.
    """
    if not body.strip():
        return Failure(NOT_S3, f"{what}; it is empty")
    shown = body[:_SHOWN].decode(errors="replace")
    return Failure(NOT_S3, f"{what}; it begins with {shown!r}")


def _parse(body: bytes, name: str, otherwise: str) -> ET.Element:
    # S3's answers have no document type; HTML pages and entity bombs begin with one.
    if b"<!DOCTYPE" in body or b"\0" in body:  # or in UTF-16
        raise not_s3(otherwise, body)
    try:
        root = ET.fromstring(body)  # noqa: S314 - without a document type it declares no entities
    except (ET.ParseError, ValueError, LookupError) as error:
        raise not_s3(otherwise, body) from error
    if _local(root) == "Error":
        said = _fields(root)
        raise Failure(said.get("Code", ""), said.get("Message", ""), "500")
    if _local(root) != name:
        raise not_s3(otherwise, body)
    return root


def _more(told: dict[str, str], number: int, body: bytes) -> str | None:
    truncated, token = told.get("IsTruncated", "").lower(), told.get("NextContinuationToken")
    if truncated == "true" and token:
        return token
    # Some servers omit the word; then a page that is not full must be the last.
    if truncated == "false" or (not truncated and not token and number < PAGE):
        return None
    raise not_s3("the answer to LIST does not say whether there is more", body)


def _object(fields: dict[str, str], *, encoded: bool) -> Object:
    key = fields["Key"]
    modified = datetime.fromisoformat(fields["LastModified"])
    if modified.tzinfo is None:
        modified = modified.replace(tzinfo=UTC)
    return Object(
        unquote_plus(key) if encoded else key,
        int(fields["Size"]),
        modified,
        fields.get("ETag", ""),
    )


def _fields(element: Iterable[ET.Element]) -> dict[str, str]:
    return {_local(each): each.text or "" for each in element}


def _local(element: ET.Element) -> str:
    # Servers do not agree on the namespace.
    return element.tag.rpartition("}")[2]
