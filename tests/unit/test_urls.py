"""Which store a text means."""

from __future__ import annotations

from pathlib import Path

import pytest

from statekeep import ConfigError
from statekeep.store import StoreURL


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("./state", StoreURL("file", "./state")),
        ("state", StoreURL("file", "state")),
        ("/var/lib/a?b#2", StoreURL("file", "/var/lib/a?b#2")),
        ("C:\\state", StoreURL("file", "C:\\state")),
        ("memory:", StoreURL("memory", "")),
        ("memory:NAME", StoreURL("memory", "NAME")),
        ("file:state", StoreURL("file", "state")),
        ("FILE:///a%20b/%23", StoreURL("file", "///a b/#")),
        ("file:x?durability=rename", StoreURL("file", "x", {"durability": "rename"})),
        ("file:x?a=&b=%26", StoreURL("file", "x", {"a": "", "b": "&"})),
        ("s3://bucket/prefix", StoreURL("s3", "//bucket/prefix")),
        ("acme-store+s3://b", StoreURL("s3", "//b", {}, "acme-store")),
        ("acme_store.x+memory:", StoreURL("memory", "", {}, "acme_store.x")),
        ("s3://user@bucket/x", StoreURL("s3", "//user@bucket/x")),
    ],
)
def test_a_text_means(text: str, url: StoreURL) -> None:
    assert StoreURL.parse(text) == url
    assert StoreURL.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("state", "file:state/x"),
        ("/", "file:/x"),
        ("file:///a%20b?durability=rename", "file:///a%20b/x?durability=rename"),
        ("memory:", "memory:x"),
        ("s3://bucket", "s3://bucket/x"),
        ("a+s3://b/c/?endpoint_url=http://h:1", "a+s3://b/c/x?endpoint_url=http%3A%2F%2Fh%3A1"),
    ],
)
def test_a_place_below_has_the_same_options(text: str, below: str) -> None:
    assert str(StoreURL.parse(text).below("x")) == below


@pytest.mark.parametrize(
    "text",
    [
        "s3://key:hunter2@bucket/prefix",
        "s3://bucket?secret=hunter2",
        "s3://bucket?aws_secret_access_key=hunter2",
        "s3://bucket?key=hunter2",
        "s3://bucket?token=hunter2",
        "s3://bucket?Password=hunter2",
        "s3://user%3Ahunter2@bucket",
        "s3://user:hunter/2@bucket",
        "s3:user:hunter2@bucket",
        "s3://bucket?account_key=hunter2",
        "s3://bucket?sig=hunter2",
        "s3://bucket?endpoint_url=https://u:hunter2@host",
        " s3://user:hunter2@bucket",
        "a+b+s3://user:hunter2@bucket",
    ],
)
def test_a_secret_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="environment") as caught:
        StoreURL.parse(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("file:x?a=1&a=2", "twice"),
        ("file:x#y", "%23"),
        ("file:a%00b", "NUL"),
        ("a\0b", "NUL"),
        ("file:%FF", "UTF-8"),
        ("a b://x", "no scheme"),
        ("./state?durability=rename", "file:"),
    ],
)
def test_nonsense_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        StoreURL.parse(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("state", Path.cwd() / "state"),
        ("file:state", Path.cwd() / "state"),
        ("file:/var/state", Path("/var/state")),
        ("file:///var/state", Path("/var/state")),
        ("file://localhost/var/state", Path("/var/state")),
        ("//var/state", Path("/var/state")),
        ("~/state", Path.home() / "state"),
    ],
)
def test_a_location_may_be_a_path(text: str, path: Path) -> None:
    assert StoreURL.parse(text).path == path


@pytest.mark.parametrize("text", ["file:", "file://state", "file://host/state", "~nosuchuser/x"])
def test_a_folder_is_on_this_machine(text: str) -> None:
    with pytest.raises(ConfigError):
        _ = StoreURL.parse(text).path
