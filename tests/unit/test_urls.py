"""Which store a text means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from statekeep import ConfigError, open_store
from statekeep.store import StoreURL
from statekeep_backends.filesystem import FilesystemStore
from statekeep_backends.s3.names import split
from statekeep_backends.s3.store import S3Store

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("./state", StoreURL("file", "./state")),
        ("state", StoreURL("file", "state")),
        ("/var/lib/a?b#2", StoreURL("file", "/var/lib/a?b#2")),
        ("C:\\state", StoreURL("file", "C:\\state")),
        ("./100%FF", StoreURL("file", "./100%FF")),
        ("./a b", StoreURL("file", "./a b")),
        ("./US$5", StoreURL("file", "./US$5")),
        ("./क्\u200dष", StoreURL("file", "./क्\u200dष")),
        ("file:%24HOME/x", StoreURL("file", "$HOME/x")),
        ("file:%C3%A9%C3%A9", StoreURL("file", "éé")),
        ("file:x%20", StoreURL("file", "x ")),
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
        ("file:/srv/10:30@home", StoreURL("file", "/srv/10:30@home")),
        ("file:///srv/10:30@home", StoreURL("file", "///srv/10:30@home")),
        ("file://localhost/srv/10:30@home", StoreURL("file", "//localhost/srv/10:30@home")),
        ("memory:a:b@c", StoreURL("memory", "a:b@c")),
        ("s3://bucket/u:me@example.com", StoreURL("s3", "//bucket/u:me@example.com")),
        ("s3://bucket/u%3Ame%40x", StoreURL("s3", "//bucket/u:me@x")),
        (
            "s3://arn:aws:s3:x:1:accesspoint/n/a@b",
            StoreURL("s3", "//arn:aws:s3:x:1:accesspoint/n/a@b"),
        ),
        ("redis://host:6379/a@b", StoreURL("redis", "//host:6379/a@b")),
        ("redis://[::1]:6379/a@b", StoreURL("redis", "//[::1]:6379/a@b")),
        ("redis://host:6379?of=a@b", StoreURL("redis", "//host:6379", {"of": "a@b"})),
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
        "s3://user:@:hunter2@bucket",
        "s3://user:hunter2?@bucket",
        "s3://:hunter2@bucket",
        "fsspec:ftp://user:hunter2@host/x",
        "fsspec:zip:///x.zip::ftp://user:hunter2@host/x",
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


@pytest.mark.parametrize("text", ["s3:user:hunter2@bucket", "s3://u:1/2@b"])
def test_what_may_be_a_password_is_not_repeated_either(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(text)
    assert "2@b" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("file:x?a=1&a=2", "twice"),
        ("file:x#y", "%23"),
        ("file:%FF", "UTF-8"),
        ("a b://x", "not a scheme"),
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


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("./state\r", "U+000D"),
        ("./state\n", "U+000A"),
        ("./sta\tte", "U+0009"),
        ("a\0b", "U+0000"),
        ("file:a%00b", "U+0000"),
        ("file:a%0D", "U+000D"),
        ("file:a?durability=rename%0A", "U+000A"),
        ("memory:x\r", "U+000D"),
        ("s3://bucket/p\r", "U+000D"),
        ("\ufeff./state", "U+FEFF"),
        ("\ufeffs3://bucket/p", "U+FEFF"),
        ("./sta\u200bte", "U+200B"),
        ("./sta\u202ete", "U+202E"),
        ("./sta\ud83dte", "U+D83D"),
        (" ./state", "begins with a blank"),
        ("./state ", "ends with a blank"),
        ("./state\u3000", "ends with a blank"),
        ("s3://bucket/p ", "ends with a blank"),
        ("s3://bucket/p ?region=x", "ends with a blank"),
        ("file: ./state", "begins with a blank"),
        ("'./state'", "quotation marks"),
        ('"s3://bucket/p"', "quotation marks"),
        ("$HOME/state", "'$HOME'"),
        ("./$USER", "'$USER'"),
        ("${HOME}/state", "'${HOME}'"),
        ("${STATE:-/var}/x", "'${STATE:-/var}'"),
        ("$(pwd)/x", "'$(pwd)'"),
        ("s3://$BUCKET/p", "'$BUCKET'"),
        ("s3://bucket/${ENV}?region=x", "'${ENV}'"),
        ("%USERPROFILE%/state", "'%USERPROFILE%'"),
        ("%DATA%/state", "'%DATA%'"),
        ("file:%APPDATA%/x", "'%APPDATA%'"),
    ],
)
def test_what_nobody_means_is_refused_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, odd: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        open_store(text)
    assert odd in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [" state ", "$HOME", "~", "'x'", "%DATA%", "a?b=c", "memory:"])
def test_a_path_object_is_taken_to_the_letter(tmp_path: Path, name: str) -> None:
    with open_store(tmp_path / name) as store:
        store.put("a.md", b"x")
    assert (tmp_path / name / "a.md").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["state\r", "\ufeffstate", "sta\x1bte"])
def test_a_path_object_that_came_from_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="invisible character"):
        open_store(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_nobody_has_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"'~nosuchuser' is not a user's folder.*'./~nosuchuser/x'"
    ):
        open_store("~nosuchuser/x")


ARN = "arn:aws:s3:eu-central-1:123456789012:accesspoint/agents"


@pytest.mark.parametrize(
    ("location", "parts"),
    [
        ("//bucket", ("bucket", "")),
        ("//bucket/", ("bucket", "")),
        ("//bucket/a/b", ("bucket", "a/b")),
        (f"//{ARN}", (ARN, "")),
        (f"//{ARN}/prod/a", (ARN, "prod/a")),
        (
            "//arn:aws:s3::123456789012:accesspoint/a.mrap/p",
            (
                "arn:aws:s3::123456789012:accesspoint/a.mrap",
                "p",
            ),
        ),
        (
            "//arn:aws:s3-outposts:us-east-1:123456789012:outpost/op-1/accesspoint/x/p",
            (
                "arn:aws:s3-outposts:us-east-1:123456789012:outpost/op-1/accesspoint/x",
                "p",
            ),
        ),
        ("//agents-ab12-s3alias/p", ("agents-ab12-s3alias", "p")),
    ],
)
def test_a_bucket_ends_where_its_name_does(location: str, parts: tuple[str, str]) -> None:
    assert split(location) == parts


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("s3:bucket", "s3://bucket"),
        ("s3://", "no bucket"),
        ("s3:///p", "no bucket"),
        ("s3://user@bucket/p", "user before '@'"),
        ("s3://bucket:443/p", "endpoint_url"),
        ("s3://B_ad/p", "'B'"),
        ("s3://b_ad/p", "'_'"),
        ("s3://bück/p", "'ü'"),
        ("s3://-bad/p", "start and end"),
        ("s3://bad./p", "start and end"),
        ("s3://b..d/p", "two consecutive dots"),
        ("s3://ab/p", "3 to 63"),
        (f"s3://{'a' * 64}/p", "3 to 63"),
        ("s3://arn:aws:s3:eu:12:accesspoint/x", "ARN"),
        (f"s3://{ARN}:x/p", "':'"),
    ],
)
def test_what_can_be_no_bucket_is_refused_and_named(text: str, odd: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(text)
    assert odd in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: S3Store(5), "bucket: text, not int"),  # type: ignore[arg-type]
        (lambda: S3Store("bucket", "", 5), "config: an S3Config or None, not int"),  # type: ignore[arg-type]
        (lambda: FilesystemStore(5), "url: text, not int"),  # type: ignore[arg-type]
    ],
)
def test_a_store_that_is_made_without_a_url_names_what_is_wrong(
    make: Callable[[], object], says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        make()
