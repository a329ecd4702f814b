"""What S3's clients believe of an answer, and what each means: kinds, retries, advice, `landed`."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from proxy import DROP, Answer, Fault, Late, Proxy, Request

from statekeep import (
    ABSENT,
    AccessDeniedError,
    ConfigError,
    InvalidDocumentError,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
    open_store,
)
from statekeep.doctor import diagnose
from statekeep.store import Version, delete_many
from statekeep_backends.s3 import requests
from statekeep_backends.s3 import store as store_module
from statekeep_backends.s3.answers import read_deletion, read_listing
from statekeep_backends.s3.failures import Failure, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.rest

KEY = "notes/plan.json"
SEEN = Version('"0123456789abcdef0123456789abcdef"')
HTML = b"<html><body>Sign in to the network</body></html>"
NO_ANSWERS = {
    "page": HTML,
    "page with a type": b"<!DOCTYPE html><html><head><meta charset=utf-8></head><p>Hi<br></html>",
    "empty page": b"<html/>",
    "json": b'{"error": "no route"}',
    "text": b"no route",
    "error": b"<Error><Code>InternalError</Code><Message>We met an error</Message></Error>",
    "nothing": b"",
    "another document": b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>",
    "cut off": b"<?xml version='1.0'?><ListBucketResult><Name>b</Name><Contents><Key>a</Key>",
    "cut off result": b"<DeleteResult><Deleted><Key>a</Key></Deleted>",
}


@pytest.fixture
def s3_endpoint(moto_url: str) -> str:
    """The proxy answers: one server behind it is enough."""
    return moto_url


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[Proxy]:
    with Proxy(s3_endpoint) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_FIRST_PAUSE", 0)


@pytest.fixture
def options(proxy: Proxy, s3_client: str) -> dict[str, Any]:
    return {"endpoint_url": proxy.url, "client": s3_client, "conditional": "yes", "retries": 2}


@pytest.fixture
def store(s3_place: str, options: dict[str, Any]) -> Iterator[StateStore]:
    with open_store(s3_place, **options) as store:
        yield store


def _operations(store: StateStore) -> dict[str, Callable[[], object]]:
    return {
        "GET": lambda: store.get(KEY),
        "PUT": lambda: store.put(KEY, b"x"),
        "PUT new": lambda: store.put(KEY, b"x", expect=ABSENT),
        "PUT over": lambda: store.put(KEY, b"x", expect=SEEN),
        "DELETE": lambda: store.delete(KEY),
        "DELETE seen": lambda: store.delete(KEY, expect=SEEN),
        "LIST": lambda: list(store.scan("notes")),
        "POST": lambda: delete_many(store, [KEY]),
    }


WRITES = ["PUT", "PUT new", "PUT over", "DELETE", "DELETE seen", "POST"]


class TestAnAnswerThatIsNone:
    @pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
    def test_is_never_an_empty_listing(self, store: StateStore, proxy: Proxy, body: bytes) -> None:
        store.put("sessions/s.json", b"{}")
        proxy.count()
        proxy.fault = lambda _: body
        sessions = Sessions(store)
        lists: list[Callable[[], object]] = [
            lambda: list(store.scan()),
            sessions.list,
            sessions.list_trash,
            lambda: diagnose(store),
        ]
        for listing in lists:
            with pytest.raises(UnavailableError, match=r"not a listing|InternalError"):
                listing()
        assert proxy.count()[:3] == ["LIST"] * 3  # the retries

    @pytest.mark.parametrize("body", [HTML, b""])
    def test_to_the_second_page_ends_no_listing(
        self, store: StateStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, body: bytes
    ) -> None:
        monkeypatch.setattr("statekeep_backends.s3.with_s3fs.PAGE", 2)
        for n in range(3):
            store.put(f"{n}.md", b"x")
        assert len(list(store.scan())) == 3
        proxy.fault = lambda request: body if "continuation-token" in request.query else None
        with pytest.raises(UnavailableError, match="not a listing"):
            list(store.scan())

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"<Name>another</Name>", "another bucket"),
            (b"<Prefix>another/</Prefix>", "another prefix"),
            (b"<IsTruncated>true</IsTruncated>", "whether there is more"),
            (b"<NextContinuationToken>x</NextContinuationToken>", "whether there is more"),
            (
                b"<Contents><Key>other/x</Key><Size>1</Size>%s</Contents>"
                % b"<LastModified>2026-11-22T21:59:49Z</LastModified>",
                "not requested",
            ),
            (b"<Contents><Key>x</Key></Contents>", "listing"),
        ],
    )
    def test_may_be_a_listing_of_something_else(
        self, store: StateStore, proxy: Proxy, body: bytes, why: str
    ) -> None:
        proxy.fault = lambda _: b"<ListBucketResult>%s</ListBucketResult>" % body
        with pytest.raises(UnavailableError, match=why):
            list(store.scan())

    @pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
    @pytest.mark.parametrize("write", WRITES)
    def test_is_no_write(self, store: StateStore, proxy: Proxy, body: bytes, write: str) -> None:
        proxy.fault = lambda _: body
        with pytest.raises(UnavailableError) as caught:
            _operations(store)[write]()
        assert caught.value.landed == "unknown"
        assert len(proxy.count()) == 3

    @pytest.mark.parametrize("body", [HTML, b""])
    def test_is_no_document_without_an_etag(
        self, store: StateStore, proxy: Proxy, body: bytes
    ) -> None:
        proxy.fault = lambda _: body
        with pytest.raises(UnavailableError, match="no ETag"):
            store.get(KEY)

    def test_is_any_bytes_with_an_etag(self, store: StateStore, proxy: Proxy) -> None:
        proxy.fault = lambda _: Answer(200, HTML, {"ETag": '"abc"'})
        blob = store.get(KEY)
        assert blob
        assert (blob.data, blob.version, blob.modified) == (HTML, '"abc"', None)

    def test_says_not_who_wrote(self, store: StateStore, proxy: Proxy) -> None:
        store.put(KEY, b"x")
        proxy.fault = lambda request: HTML if request.method == "HEAD" else None
        with pytest.raises(UnavailableError, match="no ETag") as caught:
            store.put(KEY, b"y", expect=ABSENT)
        assert caught.value.landed == "no"

    def test_of_a_server_that_knows_nothing_of_s3_finds_nothing_missing(
        self, store: StateStore, proxy: Proxy
    ) -> None:
        proxy.fault = lambda _: Answer(404, b"<html>404 Not Found</html>")
        for operation in ("GET", "DELETE seen", "PUT over"):
            with pytest.raises(UnavailableError, match="404 Not Found"):
                _operations(store)[operation]()

    def test_is_quoted_on_one_line(self, store: StateStore, proxy: Proxy) -> None:
        proxy.fault = lambda _: b"<html>\n\x1b[31mforged\xe2\x80\xa8" + b"x" * 10_000
        with pytest.raises(UnavailableError) as caught:
            list(store.scan())
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500


class TestListings:
    def test_are_read_whatever_their_namespace(self) -> None:
        for root in ("<ListBucketResult", '<ListBucketResult xmlns="http://odd/"',
                     '<s:ListBucketResult xmlns:s="http://odd/"'):  # fmt: skip
            end = root.split()[0].replace("<", "</")
            page = read_listing(f"{root}>\n{end}>".encode(), "b", "")
            assert (page.objects, page.more) == ([], None)

    def test_have_names_as_they_are_encoded(self) -> None:
        contents = (
            "<Contents><Key>a%2Fb+%01%2B</Key><Size>1</Size>"
            "<LastModified>2026-11-22T21:59:49.000Z</LastModified><ETag>&quot;x&quot;</ETag>"
            "</Contents>"
        )
        rest = "<EncodingType>url</EncodingType><Prefix>a%2F</Prefix><Name>b</Name>"
        body = f"<ListBucketResult>{contents}{rest}</ListBucketResult>".encode()
        (found,) = read_listing(body, "b", "a/").objects
        assert (found.name, found.size, found.etag) == ("a/b \x01+", 1, '"x"')
        body = f"<ListBucketResult>{contents}</ListBucketResult>".encode()
        (found,) = read_listing(body, "b", "a%2F").objects
        assert found.name == "a%2Fb+%01%2B"

    def test_through_an_access_point_have_another_name(self) -> None:
        body = b"<ListBucketResult><Name>b</Name></ListBucketResult>"
        for bucket in ("arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", "ap-x-s3alias", "b"):
            assert read_listing(body, bucket, "").more is None

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_declare_no_entities(self, encoding: str) -> None:
        text = (
            f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [<!ENTITY a "b">]>'
            "<ListBucketResult><Name>&a;</Name></ListBucketResult>"
        )
        for read in (lambda body: read_listing(body, "b", ""), read_deletion):
            with pytest.raises(Failure) as caught:
                read(text.encode(encoding))
            assert caught.value.kind is Kind.NOT_S3


class TestAStatusThatNobodyListed:
    @pytest.mark.parametrize(
        "status", [408, 429, 500, 502, 503, 504, 505, 520, 522, 524, 529, 530, 599, 600, 799]
    )
    @pytest.mark.parametrize("operation", ["GET", "PUT new", "DELETE seen", "LIST", "POST"])
    def test_is_retried(self, store: StateStore, proxy: Proxy, status: int, operation: str) -> None:
        proxy.fault = lambda _: Answer(status, b"<html>a proxy's</html>")
        with pytest.raises(UnavailableError, match=f"{status}.*retry later") as caught:
            _operations(store)[operation]()
        assert len(proxy.count()) == 3
        # 429 is what a server says that has not looked at the request.
        unknown = "no" if status == 429 else "unknown"
        assert caught.value.landed == (None if operation in {"GET", "LIST"} else unknown)

    @pytest.mark.parametrize("operation", ["GET", "PUT new", "DELETE seen"])
    def test_may_be_one_that_nothing_was_asked_for(
        self, store: StateStore, proxy: Proxy, operation: str
    ) -> None:
        proxy.fault = lambda _: Answer(304)
        with pytest.raises(UnavailableError, match="304") as caught:
            _operations(store)[operation]()
        assert caught.value.landed == (None if operation == "GET" else "unknown")

    def test_may_come_after_a_delete_that_landed(self, store: StateStore, proxy: Proxy) -> None:
        deletes: list[Callable[[Version], object]] = [
            lambda _: store.delete(KEY),
            lambda version: store.delete(KEY, expect=version),
            lambda _: delete_many(store, [KEY]),
        ]
        for delete in deletes:
            version = store.put(KEY, b"x")
            proxy.fault = lambda _: Late(520, "")
            with pytest.raises(UnavailableError) as caught:
                delete(version)
            assert caught.value.landed == "unknown"
            proxy.fault = lambda _: None
            assert store.get(KEY) is None

    def test_of_a_full_store_is_not_retried(self, store: StateStore, proxy: Proxy) -> None:
        for write in WRITES:
            proxy.count()
            proxy.fault = lambda _: Answer(507)
            with pytest.raises(UnavailableError, match="is full") as caught:
                _operations(store)[write]()
            assert (caught.value.landed, len(proxy.count())) == ("no", 1)
            assert "retry" not in str(caught.value)
            faults: list[Fault] = [DROP, Answer(507)]
            proxy.fault = lambda _, faults=faults: faults.pop(0)  # type: ignore[misc]
            with pytest.raises(UnavailableError, match="is full") as caught:
                _operations(store)[write]()
            assert (caught.value.landed, len(proxy.count())) == ("unknown", 2)

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 418, 499])
    def test_keeps_the_servers_own_words(
        self, store: StateStore, proxy: Proxy, status: int
    ) -> None:
        said = "<Code>SomethingNobodyKnows</Code><Message>the moon &amp; Mars are full</Message>"
        proxy.fault = lambda _: Answer(status, f"<Error>{said}</Error>".encode())
        kind = AccessDeniedError if status == 403 else UnsupportedError
        for operation in _operations(store).values():
            proxy.count()
            with pytest.raises(kind, match="SomethingNobodyKnows: the moon & Mars") as caught:
                operation()
            for advice in ("sign in", "retry", "option", "policy"):
                assert advice not in str(caught.value)
            assert len(proxy.count()) == 1


class TestACode:
    @pytest.mark.parametrize(
        ("status", "code", "kind", "says"),
        [
            (403, "RequestTimeTooSkewed", ConfigError, "clock is wrong"),
            (403, "InvalidObjectState", AccessDeniedError, "archived.*restored"),
            (403, "QuotaExceeded", UnavailableError, "full.*quota"),
            (400, "InvalidBucketName", ConfigError, "not the name of a bucket"),
            (404, "NoSuchAccessPoint", ConfigError, "correct the URL"),
            (400, "KMS.DisabledException", ConfigError, "sse_kms_key_id"),
            (400, "InvalidStorageClass", ConfigError, "storage_class"),
            (400, "EntityTooLarge", InvalidDocumentError, "too large"),
            (400, "InvalidToken", AccessDeniedError, "sign in"),
            (403, "AccountProblem", AccessDeniedError, "AccountProblem"),
        ],
    )
    def test_has_the_advice_that_is_true(
        self,
        store: StateStore,
        proxy: Proxy,
        status: int,
        code: str,
        kind: type[StateStoreError],
        says: str,
    ) -> None:
        proxy.fault = lambda _: (status, code)
        for name, operation in _operations(store).items():
            proxy.count()
            with pytest.raises(kind, match=says) as caught:
                operation()
            if "sign in" not in says:
                assert "sign in" not in str(caught.value)
            assert "retry" not in str(caught.value)
            assert len(proxy.count()) == 1
            assert caught.value.landed == ("no" if name in WRITES else None)

    @pytest.mark.parametrize(
        ("status", "code"),
        [(400, "KMS.ThrottlingException"), (400, "ThrottledByNobodyKnown"), (503, "SlowDown"),
         (400, "RequestTimeout"), (400, "BadDigest")],
    )  # fmt: skip
    def test_that_passes_is_waited_out(
        self, store: StateStore, proxy: Proxy, status: int, code: str
    ) -> None:
        for name in ("PUT new", "GET", "LIST"):
            faults: list[Fault] = [(status, code)] * 2
            proxy.fault = lambda _, faults=faults: faults.pop() if faults else None  # type: ignore[misc]
            proxy.count()
            _operations(store)[name]()
            assert len(proxy.count()) == 3

    @pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException"])
    def test_of_ended_credentials_lets_new_ones_be_looked_for(
        self,
        proxy: Proxy,
        s3_place: str,
        options: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        code: str,
    ) -> None:
        file = tmp_path / "credentials"

        def sign_as(name: str) -> None:
            file.write_text(f"[default]\naws_access_key_id = {name}\naws_secret_access_key = x\n")

        def answer(request: Request) -> Fault:
            if "Credential=old/" not in request.headers["authorization"]:
                return None
            sign_as(renewed_as)
            return (400, code)

        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        proxy.fault = answer
        for name in ("GET", "PUT", "DELETE", "LIST", "POST"):
            sign_as("old")
            renewed_as = "new"
            with open_store(s3_place, **options) as store:
                _operations(store)[name]()
                for request, signed in zip(proxy.requests, ["old", "new"], strict=True):
                    assert f"Credential={signed}/" in request.headers["authorization"]
            proxy.count()
        renewed_as = "old"
        sign_as("old")
        with (
            open_store(s3_place, **options) as store,
            pytest.raises(AccessDeniedError, match=f"expired.*{code}.*renew") as caught,
        ):
            store.put(KEY, b"x")
        assert caught.value.landed == "no"
        assert proxy.count() == ["PUT", "PUT"]


FOLLOWED = {"GET", "POST"}


class TestARedirect:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_ends_after_a_few_requests(
        self, store: StateStore, proxy: Proxy, s3_client: str, status: int
    ) -> None:
        elsewhere = f"{proxy.url}/elsewhere"
        proxy.fault = lambda _: Answer(status, HTML, {"Location": elsewhere})
        for name, operation in _operations(store).items():
            proxy.count()
            with pytest.raises(ConfigError, match=r"redirected.*endpoint_url and region") as caught:
                operation()
            # obstore lets redirects be followed, ten times at most, where the method is GET then.
            follows = {"GET", "POST", "PUT", "PUT new", "PUT over"} if status == 303 else FOLLOWED
            followed = s3_client == "obstore" and name in follows
            assert len(proxy.count()) <= (11 if followed else 2)
            if s3_client == "s3fs":
                assert elsewhere in str(caught.value)

    @pytest.mark.parametrize(
        "answer",
        [Answer(301), Answer(302), Answer(301, b"<Error><Code>PermanentRedirect</Code></Error>")],
    )
    def test_to_nowhere_does_not_recurse(
        self, store: StateStore, proxy: Proxy, answer: Answer
    ) -> None:
        proxy.fault = lambda _: answer
        for operation in _operations(store).values():
            proxy.count()
            with pytest.raises(ConfigError, match="region"):
                operation()
            assert len(proxy.count()) <= 2

    @pytest.mark.parametrize("s3_client", ["s3fs"], indirect=True)
    def test_to_another_region_is_named(self, store: StateStore, proxy: Proxy) -> None:
        body = b"<Error><Code>PermanentRedirect</Code><Message>use another</Message></Error>"
        proxy.fault = lambda request: Answer(
            301, body, {"x-amz-bucket-region": "eu-west-1"} if request.method != "HEAD" else {}
        )
        with pytest.raises(ConfigError, match=r"in eu-west-1.*option region"):
            store.get(KEY)


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("endpoint", "why"),
        [
            ("http://127.0.0.1:1", r"127\.0\.0\.1:1: cannot connect: Connection refused"),
            (
                "http://nobody.invalid",
                r"nobody\.invalid: (timed out|cannot connect: .*([Nn]ame|resol))",
            ),
        ],
    )
    def test_says_where_and_what_happened_and_that_nothing_was_sent(
        self, s3_place: str, options: dict[str, Any], endpoint: str, why: str
    ) -> None:
        with open_store(s3_place, **options | {"endpoint_url": endpoint}) as store:
            for name, operation in _operations(store).items():
                with pytest.raises(UnavailableError, match=rf"no answer \({why}") as caught:
                    operation()
                # A name that took too long to be looked up may have been found.
                landed = {"no"} if "refused" in why else {"no", "unknown"}
                assert caught.value.landed in (landed if name in WRITES else {None})

    def test_for_a_connection_that_broke_leaves_open_what_was_done(
        self, store: StateStore, proxy: Proxy
    ) -> None:
        proxy.fault = lambda _: DROP
        for name, operation in _operations(store).items():
            with pytest.raises(UnavailableError, match="the connection broke") as caught:
                operation()
            assert caught.value.landed == ("unknown" if name in WRITES else None)

    def test_without_tls_shows_the_server_and_not_the_object(
        self, s3_place: str, options: dict[str, Any], proxy: Proxy
    ) -> None:
        endpoint = proxy.url.replace("http:", "https:")
        with open_store(s3_place, **options | {"endpoint_url": endpoint}) as store:
            for operation in _operations(store).values():
                with pytest.raises(ConfigError, match="no TLS") as caught:
                    operation()
                assert endpoint.removeprefix("https://") in caught.value.message
                assert KEY not in caught.value.message

    def test_to_a_server_that_stays_silent_a_put_ends(
        self, s3_place: str, options: dict[str, Any]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
            given = options | {"endpoint_url": endpoint, "retries": 0, "conditional": "yes"}
            with open_store(s3_place, **given, read_timeout=0.2) as store:
                for name, operation in _operations(store).items():
                    with pytest.raises(UnavailableError, match="timed out") as caught:
                        operation()
                    assert caught.value.landed == ("unknown" if name in WRITES else None)

    def test_in_time_says_so(self, s3_place: str, options: dict[str, Any], proxy: Proxy) -> None:
        proxy.fault = lambda _: 1.0
        with open_store(s3_place, **options | {"retries": 0}, read_timeout=0.1) as store:
            for name in ("GET", "LIST", "PUT"):
                with pytest.raises(UnavailableError, match="timed out"):
                    _operations(store)[name]()

    def test_shows_the_key_and_not_where_it_lies(self, store: StateStore, proxy: Proxy) -> None:
        proxy.fault = lambda _: DROP
        for name, operation in _operations(store).items():
            with pytest.raises(UnavailableError) as caught:
                operation()
            assert caught.value.key == {"LIST": "notes", "POST": None}.get(name, KEY)
        with pytest.raises(UnavailableError) as caught:
            list(store.scan())
        assert caught.value.key is None


class TestTimeToSend:
    """Moves rely on it that no write or delete is sent later than this after its call began."""

    SECONDS = 0.4

    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert requests._LAST_SENT + 30 < 600
        monkeypatch.setattr(requests, "_LAST_SENT", self.SECONDS)
        monkeypatch.setattr(requests, "_FIRST_PAUSE", 0.05)

    @pytest.mark.parametrize("write", WRITES)
    def test_ends_whatever_the_retries(
        self, s3_place: str, options: dict[str, Any], proxy: Proxy, write: str
    ) -> None:
        sent: list[float] = []

        def drop(_: Request) -> Fault:
            sent.append(time.monotonic())
            return DROP

        with open_store(s3_place, **options | {"retries": 10_000}) as store:
            store.get(KEY)
            list(store.scan())
            proxy.fault = drop
            begun = time.monotonic()
            with pytest.raises(UnavailableError) as caught:
                _operations(store)[write]()
        assert caught.value.landed == "unknown"
        assert 1 < len(sent) < 20
        assert sent[-1] - begun < self.SECONDS + 0.1

    def test_ends_while_a_server_is_asked_about_conditions(
        self, s3_place: str, options: dict[str, Any], proxy: Proxy
    ) -> None:
        proxy.fault = lambda _: self.SECONDS + 0.2
        with open_store(s3_place, **options | {"conditional": "auto"}) as store:
            for name in ("PUT new", "DELETE seen"):
                with pytest.raises(UnavailableError, match="too long") as caught:
                    _operations(store)[name]()
                assert caught.value.landed == "no"
        assert not any(request.path.endswith(KEY) for request in proxy.requests)

    def test_ends_while_credentials_are_waited_for(
        self,
        s3_place: str,
        options: dict[str, Any],
        proxy: Proxy,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        script = tmp_path / "slow.py"
        script.write_text(
            f"import json, time; time.sleep({self.SECONDS + 0.2})\n"
            "print(json.dumps({'Version': 1, 'AccessKeyId': 'k', 'SecretAccessKey': 's'}))"
        )
        (tmp_path / "config").write_text(
            f"[profile slow]\ncredential_process = {sys.executable} {script}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        with open_store(s3_place, **options, profile="slow") as store:
            with pytest.raises(UnavailableError, match="too long") as caught:
                store.delete(KEY, expect=SEEN)
            assert (caught.value.landed, proxy.requests) == ("no", [])

    def test_is_each_requests_own_in_a_bulk_delete(
        self, store: StateStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_module, "PAGE", 1)
        monkeypatch.setattr(requests, "_LAST_SENT", 60.0)
        delete_many(store, [KEY])  # which makes the client
        proxy.count()
        monkeypatch.setattr(requests, "_LAST_SENT", 2.0)
        proxy.fault = lambda _: 0.5
        delete_many(store, [f"{n}.md" for n in range(5)])
        assert proxy.count() == ["POST"] * 5
