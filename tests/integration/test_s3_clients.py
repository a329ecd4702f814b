"""What is special about each client of S3: choice, configuration, forks, and what one cannot do."""

from __future__ import annotations

import gc
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import boto3
import botocore.utils
import pytest
from certificates import make_certificate
from proxy import Proxy

from statekeep import (
    ABSENT,
    ConfigError,
    ConflictError,
    Documents,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
    __version__,
    open_store,
)
from statekeep.store import Blob, delete_many, get_many
from statekeep_backends.s3 import environment, with_s3fs
from statekeep_backends.s3.names import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.rest

KEY = "notes/plan.json"


@pytest.fixture
def s3_endpoint(moto_url: str) -> str:
    """What is tested here is about clients: one server is enough."""
    return moto_url


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[Proxy]:
    with Proxy(s3_endpoint) as proxy:
        yield proxy


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make packages look as if they were not installed."""

    def hide(*packages: str) -> None:
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return hide


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22T21:59:49.123Z",
        "2026-11-22T21:59:49Z",
        "Sun, 22 Nov 2026 21:59:49 GMT",
        "Sun, 22 Nov 2026 21:59:49 -0000",
        "2026-11-22T23:59:49+02:00",
        "1795384789",
        1795384789,
    ],
)
def test_times_of_answers_are_read_as_botocore_reads_them(value: object) -> None:
    assert with_s3fs._parse_timestamp(value) == botocore.utils.parse_timestamp(value)


class TestChoice:
    @pytest.mark.parametrize(
        ("options", "missing", "chosen"),
        [
            ({}, (), "obstore"),
            ({}, ("obstore",), "s3fs"),
            ({"client": "s3fs"}, (), "s3fs"),
            ({"client": "obstore"}, ("s3fs", "botocore"), "obstore"),
        ],
    )
    def test_is_obstore_where_nothing_is_lost_by_it(
        self,
        proxy: Proxy,
        s3_place: str,
        without: Callable[..., None],
        options: dict[str, Any],
        missing: tuple[str, ...],
        chosen: str,
    ) -> None:
        without(*missing)
        with open_store(s3_place, endpoint_url=proxy.url, **options) as store:
            store.put(KEY, b"x")
        assert proxy.requests[0].agent.startswith(f"statekeep/{__version__} ({chosen})")

    @pytest.mark.parametrize("name", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
    def test_is_s3fs_where_obstore_does_not_know_what_is_asked_for(
        self, proxy: Proxy, s3_place: str, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "true")
        with (
            open_store(s3_place, endpoint_url=proxy.url, retries=0) as store,
            suppress(StateStoreError),  # no such endpoint is on this machine
        ):
            store.put(KEY, b"x")
        assert all("obstore" not in request.agent for request in proxy.requests)
        with pytest.raises(ConfigError, match=name):
            open_store(s3_place, endpoint_url=proxy.url, client="obstore")

    @pytest.mark.parametrize(
        ("options", "missing", "why"),
        [
            ({}, ("s3fs",), r"statekeep\[s3\]'; obstore alone can neither list nor delete"),
            ({"conditional": "no"}, ("s3fs",), r"statekeep\[s3\]'; obstore alone can neither list"),
            ({}, ("s3fs", "obstore"), r"pip install 'statekeep\[s3\]'$"),
            ({"client": "s3fs"}, ("s3fs",), r"pip install 'statekeep\[s3\]'"),
            ({"client": "obstore"}, ("obstore",), r"pip install 'statekeep\[obstore\]'"),
            ({"client": "obstore", "profile": "p"}, ("botocore",), "a profile needs botocore"),
            ({"client": "boto3"}, (), "client"),
        ],
    )
    def test_that_cannot_be_made_is_told_at_once(
        self,
        without: Callable[..., None],
        options: dict[str, Any],
        missing: tuple[str, ...],
        why: str,
    ) -> None:
        without(*missing)
        with pytest.raises(ConfigError, match=why):
            open_store("s3://bucket", **options)

    def test_of_a_folder_imports_neither(self) -> None:
        assert _imported_by("open_store('memory:'); open_store('x')") == set()

    def test_of_obstore_imports_nothing_of_s3fs(self, s3_endpoint: str, s3_place: str) -> None:
        script = (
            f"store = open_store('{s3_place}?endpoint_url={s3_endpoint}&client=obstore')\n"
            "store.put('a.md', b'x', expect=store.put('a.md', b''))\n"
            "store.get('a.md'); delete_many(store, ['a.md'])"
        )
        assert _imported_by(script) == {"obstore"}


def _imported_by(script: str) -> set[str]:
    command = (
        f"import sys; from statekeep import open_store; from statekeep.store import delete_many\n"
        f"{script}\n"
        "print(*{m.split('.')[0] for m in sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)
    libraries = {"aiobotocore", "aiohttp", "boto3", "botocore", "fsspec", "obstore", "s3fs"}
    return libraries & set(ended.stdout.decode().split())


class TestObstoreAlone:
    @pytest.fixture
    def store(
        self, proxy: Proxy, s3_place: str, without: Callable[..., None]
    ) -> Iterator[StateStore]:
        without("s3fs", "botocore")
        with open_store(s3_place, endpoint_url=proxy.url, client="obstore") as store:
            yield store

    def test_honours_the_condition_of_a_put(self, store: StateStore) -> None:
        version = store.put(KEY, b"1", expect=ABSENT)
        store.put(KEY, b"2", expect=version)
        with pytest.raises(ConflictError):
            store.put(KEY, b"3", expect=version)
        Documents(store).update("notes", "plan", lambda value: value + 1)

    def test_refuses_the_condition_of_a_delete_and_says_what_to_install(
        self, store: StateStore, proxy: Proxy
    ) -> None:
        assert not store.capabilities.conditional_delete
        version = store.put(KEY, b"1")
        proxy.count()
        with pytest.raises(UnsupportedError, match=r"pip install 'statekeep\[s3\]'"):
            store.delete(KEY, expect=version)
        assert proxy.count() == []
        assert store.get(KEY)

    def test_deletes_in_a_way_whose_answer_it_reads(self, store: StateStore, proxy: Proxy) -> None:
        store.put(KEY, b"1")
        proxy.count()
        store.delete(KEY)
        assert proxy.count() == ["POST"]
        assert store.get(KEY) is None

    def test_refuses_to_list_and_says_what_to_install(
        self, store: StateStore, proxy: Proxy
    ) -> None:
        with pytest.raises(UnsupportedError, match=r"cannot list.*pip install 'statekeep\[s3\]'"):
            list(store.scan())
        assert proxy.count() == []

    def test_serves_sessions_that_detect_no_conflicts(self, store: StateStore) -> None:
        with pytest.raises(UnsupportedError, match="delete on a condition"):
            Sessions(store)
        sessions = Sessions(store, conflicts="last-writer-wins")
        sessions.get_or_create("ada", "s")
        assert sessions.delete("s")

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_refuses_to_hang_in_a_forked_child(self, store: StateStore) -> None:
        store.put(KEY, b"1")

        def refuses() -> None:
            with pytest.raises(UnsupportedError, match="spawn"):
                store.get(KEY)

        assert _in_a_fork(refuses) == 0

    def test_has_no_more_threads_with_many_idle_stores_than_with_one(
        self, s3_place: str, s3_endpoint: str
    ) -> None:
        before = set(threading.enumerate())
        with ExitStack() as stack:
            for n in range(4):
                options = {"client": "obstore", "endpoint_url": s3_endpoint, "max_concurrency": 5}
                store = stack.enter_context(open_store(f"{s3_place}/{n}", **options))
                dict(get_many(store, [f"{n}.md" for n in range(20)]))
            assert len({*threading.enumerate()} - before) <= 5

    def test_keeps_nothing_of_a_batch_that_failed(self, store: StateStore, proxy: Proxy) -> None:
        keys = [f"{n}.md" for n in range(8)]
        for key in keys:
            store.put(key, b"x")
        proxy.fault = lambda request: (501, "Odd") if request.path.endswith("7.md") else None

        def blobs() -> int:
            return sum(isinstance(each, Blob) for each in gc.get_objects())

        gc.collect()
        gc.disable()
        try:
            before = blobs()
            with suppress(UnsupportedError):
                dict(get_many(store, keys))
            assert blobs() == before
        finally:
            gc.enable()


@pytest.fixture
def bucket(s3_endpoint: str) -> Iterator[Callable[[str, str], None]]:
    """Puts an empty object of any name, past the store."""
    client = boto3.client("s3", endpoint_url=s3_endpoint)

    def put(place: str, name: str) -> None:
        bucket, prefix = place.removeprefix("s3://").split("/")
        client.put_object(Bucket=bucket, Key=f"{prefix}/{name}")

    yield put
    client.close()


class TestForeignNames:
    @pytest.fixture
    def store(self, proxy: Proxy, s3_place: str, s3_client: str) -> Iterator[StateStore]:
        with open_store(s3_place, endpoint_url=proxy.url, client=s3_client) as store:
            yield store

    def test_of_folders_are_not_taken_for_documents(
        self, store: StateStore, s3_place: str, bucket: Callable[[str, str], None]
    ) -> None:
        for marker in ("", "a/", "notes/", "notes/b.md/", "notes/c.md/"):
            bucket(s3_place, marker)
        for key in ("notes/b.md", "notes/empty.md"):
            store.put(key, b"")
        store.put("notes/c.md", b"x")
        for prefix in ("", "notes"):
            assert [(entry.key, entry.size) for entry in store.scan(prefix)] == [
                ("notes/b.md", 0),
                ("notes/c.md", 1),
                ("notes/empty.md", 0),
            ]

    @pytest.mark.parametrize("odd", ["notes//b.md", "notes/b/../c.md", "notes/./b.md"])
    def test_that_are_no_keys_hide_nothing(
        self, store: StateStore, s3_place: str, bucket: Callable[[str, str], None], odd: str
    ) -> None:
        bucket(s3_place, odd)
        for key in ("notes/a.md", "notes/z.md"):
            store.put(key, b"x")
        assert [entry.key for entry in store.scan()] == ["notes/a.md", "notes/z.md"]

    def test_after_the_first_page_are_listed_once(
        self,
        store: StateStore,
        s3_place: str,
        bucket: Callable[[str, str], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("statekeep_backends.s3.with_s3fs.PAGE", 3)
        keys = [f"{n}.md" for n in range(8)]
        for key in keys:
            store.put(key, b"x")
        bucket(s3_place, "5.md//")
        assert [entry.key for entry in store.scan()] == keys

    @pytest.mark.parametrize("s3_client", ["obstore"], indirect=True)
    def test_with_control_characters_obstore_refuses(self, store: StateStore) -> None:
        key = "notes/a\nb.md"
        for operation in (store.get, lambda key: store.put(key, b"x"),
                          lambda key: delete_many(store, [key])):  # fmt: skip
            with pytest.raises(UnsupportedError, match="use client=s3fs"):
                operation(key)


class TestConfiguration:
    @pytest.fixture
    def shared_files(
        self, tmp_path: Path, seaweedfs_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A profile that signs rightly and names the server; the environment signs wrongly."""
        (tmp_path / "config").write_text(
            "[profile agent]\nregion = eu-west-1\nservices = here\n"
            f"[services here]\ns3 =\n  endpoint_url = {seaweedfs_url}\n"
        )
        (tmp_path / "credentials").write_text(
            "[agent]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    @pytest.mark.usefixtures("shared_files")
    def test_may_be_a_profile(
        self, seaweedfs_url: str, make_s3_place: Callable[[str], str], s3_client: str
    ) -> None:
        place = make_s3_place(seaweedfs_url)
        with open_store(place, client=s3_client, profile="agent") as store:
            store.put(KEY, b"x")
            assert store.get(KEY)

    @pytest.mark.usefixtures("shared_files")
    def test_may_be_a_profile_that_the_environment_names(
        self,
        seaweedfs_url: str,
        make_s3_place: Callable[[str], str],
        s3_client: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        place = make_s3_place(seaweedfs_url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_PROFILE", "agent")
        with open_store(place, client=s3_client) as store:
            store.put(KEY, b"x")
            assert store.get(KEY)

    def test_may_name_the_server_in_the_environment(
        self, proxy: Proxy, s3_place: str, s3_client: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        with open_store(s3_place, client=s3_client) as store:
            store.put(KEY, b"x")
        assert proxy.count() == ["PUT"]
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        with open_store(s3_place, client=s3_client, endpoint_url=proxy.url) as store:
            store.put(KEY, b"x")
        assert proxy.count() == ["PUT"]

    def test_may_have_credentials_that_expire(
        self,
        tmp_path: Path,
        s3_endpoint: str,
        s3_place: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        script = tmp_path / "credentials.py"
        script.write_text(
            "import datetime, json\n"
            f"open({str(tmp_path / 'asked')!r}, 'a').write('x')\n"
            "end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)\n"
            "print(json.dumps({'Version': 1, 'AccessKeyId': 'testing', 'SecretAccessKey':\n"
            "    'testing', 'SessionToken': 't', 'Expiration': end.isoformat()}))"
        )
        config = tmp_path / "config"
        config.write_text(f"[profile agent]\ncredential_process = {sys.executable} {script}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        # As if the time for which obstore keeps them were over.
        monkeypatch.setattr(environment, "_GOOD_FOR", environment._GOOD_FOR * 0)
        options = {"client": "obstore", "profile": "agent", "endpoint_url": s3_endpoint}
        with open_store(s3_place, **options) as store:
            store.get(KEY)
            asked = len((tmp_path / "asked").read_text())
            store.get(KEY)
        assert asked
        assert len((tmp_path / "asked").read_text()) > asked

    def test_may_leave_the_machine_to_sign(
        self,
        s3_place: str,
        s3_endpoint: str,
        without: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        without("botocore", "s3fs")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        credentials = (
            b'{"AccessKeyId": "testing", "SecretAccessKey": "testing", "Token": "t", '
            b'"Expiration": "2999-01-01T00:00:00Z", "Code": "Success"}'
        )
        with Proxy(s3_endpoint) as machine:
            machine.fault = lambda request: (
                credentials if request.path.endswith("/a-role") else b"a-role"
            )
            monkeypatch.setenv("AWS_METADATA_ENDPOINT", machine.url)
            with open_store(s3_place, client="obstore", endpoint_url=s3_endpoint) as store:
                assert store.get(KEY) is None
            assert machine.requests
        with (
            open_store(s3_place, client="obstore", endpoint_url=s3_endpoint) as store,
            pytest.raises(StateStoreError, match=r"no credentials.*AWS_ACCESS_KEY_ID"),
        ):
            store.get(KEY)

    def test_may_ask_for_unsigned_requests(self, seaweedfs_url: str, make_s3_place: Any,
                                           s3_client: str) -> None:  # fmt: skip
        place = make_s3_place(seaweedfs_url)
        with (
            open_store(place, endpoint_url=seaweedfs_url, client=s3_client, anon=True) as store,
            pytest.raises(StateStoreError, match="AccessDenied"),
        ):
            store.get(KEY)

    @pytest.mark.parametrize(
        ("options", "host"),
        [
            ({"region": "eu-west-1"}, "agents.s3.eu-west-1.amazonaws.com:443"),
            (
                {"region": "eu-west-1", "addressing_style": "path"},
                "s3.eu-west-1.amazonaws.com:443",
            ),
            ({"region": "cn-north-1"}, "agents.s3.cn-north-1.amazonaws.com.cn:443"),
            ({"endpoint_url": "https://s3.example.com"}, "s3.example.com:443"),
            (
                {"endpoint_url": "https://s3.example.com", "addressing_style": "virtual"},
                "agents.s3.example.com:443",
            ),
        ],
    )
    def test_says_where_requests_go(
        self,
        proxy: Proxy,
        s3_client: str,
        monkeypatch: pytest.MonkeyPatch,
        options: dict[str, Any],
        host: str,
    ) -> None:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        with (
            open_store("s3://agents/prod", client=s3_client, retries=0, **options) as store,
            pytest.raises(UnavailableError),
        ):
            store.put(KEY, b"x")
        assert [(request.method, request.path) for request in proxy.requests] == [("CONNECT", host)]


class TestWhatIsWritten:
    """Options for what the server does with it, whichever client and server."""

    @pytest.fixture(params=["moto", "seaweedfs"])
    def s3_endpoint(self, request: pytest.FixtureRequest) -> str:
        url: str = request.getfixturevalue(f"{request.param}_url")
        return url

    def test_has_a_checksum_unless_told_otherwise(
        self, proxy: Proxy, s3_place: str, s3_client: str
    ) -> None:
        options = {"endpoint_url": proxy.url, "client": s3_client}
        for checksum in (True, False):
            with open_store(s3_place, **options, checksum=checksum) as store:
                version = store.put(KEY, b"x" * 100_000)
                store.put(KEY, b"", expect=version)
                blob = store.get(KEY)
                delete_many(store, [KEY])
            assert blob
            assert blob.data == b""
            sent = [each for each in proxy.requests if each.method == "PUT" and KEY in each.path]
            assert len(sent) == 2
            for request in sent:
                found = {name for name in request.headers if name.startswith("x-amz-checksum-crc")}
                assert bool(found) == checksum
            proxy.requests.clear()

    def test_is_sent_again_if_it_arrived_altered(
        self, proxy: Proxy, s3_place: str, s3_client: str
    ) -> None:
        proxy.fault = lambda request: (
            (400, "BadDigest") if request.method == "PUT" and len(proxy.requests) == 1 else None
        )
        options = {"endpoint_url": proxy.url, "client": s3_client, "conditional": "yes"}
        with open_store(s3_place, **options) as store:
            store.put(KEY, b"x", expect=ABSENT)
        assert proxy.count() == ["PUT", "PUT"]


class TestAtRest:
    @pytest.mark.parametrize(
        ("options", "found"),
        [
            ({"sse": "AES256"}, {"ServerSideEncryption": "AES256"}),
            ({"sse": "aws:kms"}, {"ServerSideEncryption": "aws:kms"}),
            (
                {"sse": "aws:kms", "sse_kms_key_id": "alias/agents"},
                {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/agents"},
            ),
            ({"storage_class": "STANDARD_IA"}, {"StorageClass": "STANDARD_IA"}),
        ],
    )
    def test_documents_are_as_asked_for(
        self,
        s3_endpoint: str,
        s3_place: str,
        s3_client: str,
        options: dict[str, Any],
        found: dict[str, str],
    ) -> None:
        with open_store(s3_place, endpoint_url=s3_endpoint, client=s3_client, **options) as store:
            version = store.put(KEY, b"1", expect=ABSENT)
            store.put(KEY, b"2", expect=version)
            blob = store.get(KEY)
        assert blob
        assert blob.data == b"2"
        client = boto3.client("s3", endpoint_url=s3_endpoint)
        bucket, prefix = s3_place.removeprefix("s3://").split("/")
        head = client.head_object(Bucket=bucket, Key=f"{prefix}/{KEY}")
        client.close()
        assert found.items() <= head.items()

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"sse": "rot13"}, "sse"),
            ({"sse_kms_key_id": "alias/agents"}, "needs sse=aws:kms"),
            ({"sse": "AES256", "sse_kms_key_id": "alias/agents"}, "needs sse=aws:kms"),
            ({"storage_class": "DEEP_ARCHIVE"}, "cannot be read"),
            ({"storage_class": "a\nb"}, "storage_class"),
        ],
    )
    def test_documents_are_not_as_nobody_can(self, options: dict[str, Any], why: str) -> None:
        with pytest.raises(ConfigError, match=why):
            open_store("s3://bucket", **options)


ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/agents"


class TestNamesOfBuckets:
    @pytest.mark.parametrize(
        ("location", "bucket", "prefix"),
        [
            ("//bucket", "bucket", ""),
            ("//my.bucket-1/a/b/", "my.bucket-1", "a/b"),
            (f"//{ARN}", ARN, ""),
            (f"//{ARN}/a/b", ARN, "a/b"),
            (f"//{ARN.replace('t/a', 't:a')}/a", ARN.replace("t/a", "t:a"), "a"),
            (
                "//arn:aws-cn:s3-outposts:r:123456789012:outpost/op-1/accesspoint/ap/a",
                "arn:aws-cn:s3-outposts:r:123456789012:outpost/op-1/accesspoint/ap",
                "a",
            ),
            (
                "//arn:aws:s3::123456789012:accesspoint/x.mrap/a",
                "arn:aws:s3::123456789012:accesspoint/x.mrap",
                "a",
            ),
        ],
    )
    def test_end_where_the_prefix_begins(self, location: str, bucket: str, prefix: str) -> None:
        assert split(location) == (bucket, prefix)

    @pytest.mark.parametrize(
        ("url", "odd"),
        [
            ("s3://B_ad/p", "'B' in it"),
            ("s3://b_ad", "'_' in it"),
            ("s3://bücket", "'ü' in it"),
            ("s3://b:443/p", "port"),
            ("s3://user@b/p", "user"),
            ("s3://-b", "start and end"),
            ("s3://b..c", "two consecutive dots"),
            ("s3://" + "b" * 64, "3 to 63"),
            ("s3://bucket/p\r", r"invisible character.*\\r"),
            ("s3://arn:aws:sns:eu-west-1:123456789012:topic", "not the ARN of an access point"),
            (f"s3://{ARN}:x/p", "':' cannot be in the name"),
        ],
    )
    def test_that_are_odd_are_refused(self, url: str, odd: str) -> None:
        with pytest.raises(ConfigError, match=odd):
            open_store(url)

    def test_of_access_points_are_for_s3fs(
        self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        with (
            open_store(f"s3://{ARN}/prod", retries=0) as store,
            pytest.raises(UnavailableError),
        ):
            store.put(KEY, b"x")
        host = "agents-123456789012.s3-accesspoint.eu-west-1.amazonaws.com:443"
        assert [(request.method, request.path) for request in proxy.requests] == [("CONNECT", host)]
        with pytest.raises(ConfigError, match="does not support access points"):
            open_store(f"s3://{ARN}/prod", client="obstore")


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        return make_certificate(tmp_path / "certificate.pem")

    @pytest.fixture
    def proxy(self, s3_endpoint: str, certificate: Path) -> Iterator[Proxy]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with Proxy(s3_endpoint, tls=context) as proxy:
            yield proxy

    def test_with_an_unknown_certificate_is_refused(
        self, proxy: Proxy, s3_place: str, s3_client: str
    ) -> None:
        with (
            open_store(s3_place, endpoint_url=proxy.url, client=s3_client) as store,
            pytest.raises(ConfigError, match="certificate") as caught,
        ):
            store.put(KEY, b"x")
        assert caught.value.landed == "no"
        assert proxy.count() == []

    def test_with_a_certificate_that_the_environment_trusts_is_used(
        self,
        proxy: Proxy,
        s3_place: str,
        s3_client: str,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        with open_store(s3_place, endpoint_url=proxy.url, client=s3_client) as store:
            store.put(KEY, b"x")
            assert store.get(KEY)

    def test_where_there_is_none_is_refused(self, s3_endpoint: str, s3_client: str) -> None:
        endpoint = s3_endpoint.replace("http:", "https:")
        with (
            open_store("s3://bucket", endpoint_url=endpoint, client=s3_client) as store,
            pytest.raises(ConfigError, match="configured wrongly"),
        ):
            store.get(KEY)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
class TestAForkedChild:
    @pytest.fixture
    def location(self, s3_place: str, s3_endpoint: str, s3_client: str) -> str:
        return f"{s3_place}?endpoint_url={s3_endpoint}&client={s3_client}"

    def test_leaves_the_parents_connection_alone(self, location: str) -> None:
        with open_store(location) as store:
            store.put(KEY, b"1")

            def write() -> None:
                store.put(KEY, b"2")
                store.close()

            assert _in_a_fork(write) == 0
            blob = store.get(KEY)
        assert blob
        assert blob.data == b"2"

    def test_leaves_the_parents_event_loop_alone(self, location: str) -> None:
        def read() -> None:
            assert store.get(KEY)
            gc.collect()

        with open_store(f"{location}&read_timeout=5&retries=0") as store:
            store.put(KEY, b"1")
            for _ in range(5):
                assert store.get(KEY)
                assert _in_a_fork(read) == 0
                assert store.get(KEY)

    def test_may_open_a_store_of_its_own(self, location: str) -> None:
        with open_store(location) as store:
            store.put(KEY, b"1")

        def write() -> None:
            with open_store(location) as store:
                store.put(KEY, b"2", expect=ABSENT)

        def conflicts() -> None:
            with pytest.raises(ConflictError):
                write()

        assert _in_a_fork(conflicts) == 0

    def test_may_be_the_first_to_use_it(self, location: str) -> None:
        with open_store(location) as store:
            assert _in_a_fork(lambda: store.put(KEY, b"1")) == 0
            assert store.get(KEY)


def test_closing_gives_the_connections_back(proxy: Proxy, s3_place: str, s3_client: str) -> None:
    with open_store(s3_place, endpoint_url=proxy.url, client=s3_client) as store:
        store.delete(KEY, expect=store.put(KEY, b"x", expect=ABSENT))
        dict(get_many(store, [KEY] * 10))
        assert proxy.connections
    deadline = time.monotonic() + 10
    while proxy.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not proxy.connections


def _in_a_fork(function: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            function()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child must not come back from here
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
