"""Stores: a folder and a bucket give the same; what a network does wrong is mended, or an error, never other bytes."""

import itertools
import json
import multiprocessing
import os
import pickle
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_servers import Asked, Bucket, scripted, slow_bucket
from spora_db.errors import ArgumentError, FileFormatError, StoreError
from spora_db.files.stores import Edge, ObjectEntry, ObjectState, ObjectStore, Span, http, open_store
from spora_db.files.stores.ranges import GAP, requests
from spora_db.files.stores.signing import Keys, signed

BIG = random.Random(7).randbytes(3_000_000)
FILES = {
    "a b+c.txt": b"hello",
    "cohort/images/big.bin": BIG,
    "cohort/empty": b"",
    "cohort/metadata/é.parquet": b"x" * 9,
}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("buckets")
    for key, content in FILES.items():
        path = folder / "b/lake" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with slow_bucket(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Find credentials in the environment alone."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GS_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "access")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    if "bucket" in request.fixturenames:
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("bucket").address)


@pytest.fixture(params=["folder", "bucket", "web"])
def store(bucket: Bucket, request: pytest.FixtureRequest) -> ObjectStore:
    roots = {"folder": bucket.folder / "b/lake", "bucket": "s3://b/lake/", "web": f"{bucket.address}/b/lake"}
    bucket.set(fault="", list=1)
    return open_store(roots[request.param])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait for tenths of seconds where others wait for seconds."""
    monkeypatch.setattr(http, "STALL", 0.3)
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.001)
    http.NETWORK._start()
    yield
    http.NETWORK._start()


def known(store: ObjectStore, key: str) -> ObjectState:
    state = store.state(key)
    assert state is not None
    return state


class TestEveryStore:
    def test_files_have_their_size_and_bytes(self, store: ObjectStore) -> None:
        for key, content in FILES.items():
            state = known(store, key)
            assert state.size == len(content)
            assert store.read(key, offset=0, size=state.size, state=state) == content
            assert store.read_whole(key) == (content, state)

    def test_a_file_that_is_not_there_has_no_state(self, store: ObjectStore) -> None:
        assert store.state("cohort/nothing") is None
        with pytest.raises(StoreError, match=r"There is no file .*cohort/nothing"):
            store.read_whole("cohort/nothing")

    @pytest.mark.parametrize("size", [1, 4, 5, 9, 5_000_000])
    @pytest.mark.parametrize("key", ["a b+c.txt", "cohort/images/big.bin", "cohort/nothing"])
    def test_what_a_file_is_comes_with_its_start_or_end(self, store: ObjectStore, key: str, size: int) -> None:
        start, end = store.read_edge(key, size=size), store.read_edge(key, size=size, at="end")
        if key not in FILES:
            assert start is None
            assert end is None
            return
        state, content = known(store, key), FILES[key]
        assert start == Edge(state, 0, content[:size])
        assert end == Edge(state, max(0, len(content) - size), content[-size:])

    def test_ranges_of_many_files_come_in_the_order_asked(self, store: ObjectStore) -> None:
        draw = random.Random(1)
        spans = []
        for _ in range(200):
            key = draw.choice(list(FILES))
            state = known(store, key) if not spans or draw.random() < 0.1 else next(
                (span.state for span in spans if span.key == key), known(store, key)
            )  # fmt: skip
            offset = draw.randint(0, state.size)
            spans.append(Span(key, state, offset, draw.randint(0, min(state.size - offset, 50_000))))
        assert store.read_many(spans) == [FILES[span.key][span.offset : span.offset + span.size] for span in spans]

    @pytest.mark.parametrize(("offset", "size"), [(-1, 2), (0, 6), (6, 0), (3, -1)])
    def test_a_range_outside_the_file_is_refused(self, store: ObjectStore, offset: int, size: int) -> None:
        state = known(store, "a b+c.txt")
        with pytest.raises(FileFormatError, match="has 5 bytes"):
            store.read("a b+c.txt", offset=offset, size=size, state=state)

    def test_a_file_written_anew_is_refused(self, store: ObjectStore, bucket: Bucket) -> None:
        path = bucket.folder / "b/lake/changing.bin"
        path.write_bytes(b"1" * 100)
        state = known(store, "changing.bin")
        path.with_suffix(".new").write_bytes(b"2" * 100)
        path.with_suffix(".new").replace(path)
        try:
            with pytest.raises(FileFormatError, match=r"changing.bin was written again since it was opened"):
                store.read("changing.bin", offset=0, size=100, state=state)
        finally:
            path.unlink()
        with pytest.raises(StoreError, match=r"changing\.bin"):
            store.read("changing.bin", offset=0, size=100, state=state)

    def test_it_pickles_as_its_root(self, store: ObjectStore) -> None:
        text = pickle.dumps(store)
        assert b"very-secret" not in text
        copy = pickle.loads(text)
        assert copy.root == store.root
        assert copy.read_whole("a b+c.txt")[0] == b"hello"


class TestListing:
    @pytest.mark.parametrize("kind", ["folder", "bucket"])
    def test_names_and_states(self, bucket: Bucket, kind: str) -> None:
        store = open_store(bucket.folder / "b/lake" if kind == "folder" else "s3://b/lake")
        assert [(name, state is None) for name, state in store.list_folder()] == [
            ("a b+c.txt", False),
            ("cohort", True),
        ]
        assert store.list_folder("cohort/metadata") == [
            ObjectEntry("é.parquet", known(store, "cohort/metadata/é.parquet"))
        ]
        assert store.list_folder("cohort/meta") == store.list_folder("none") == []

    def test_more_names_than_a_page_holds(self, bucket: Bucket) -> None:
        many = bucket.folder / "b/many"
        many.mkdir()
        for number in range(2_345):
            (many / f"{number:05}").touch()
        found = open_store("s3://b/many").list_folder()
        assert [entry.name for entry in found] == [f"{number:05}" for number in range(2_345)]

    def test_without_the_right_to_list_it_is_said(self, bucket: Bucket) -> None:
        bucket.set(list=0)
        with pytest.raises(
            StoreError, match=r"bucket 'b' was not listed: .* status 403 \(AccessDenied\)\. .*AWS_PROFILE"
        ):
            open_store("s3://b/lake").list_folder()
        bucket.set(list=1)

    def test_a_web_address_cannot_be_listed(self, bucket: Bucket) -> None:
        with pytest.raises(StoreError, match="cannot be listed"):
            open_store(f"{bucket.address}/b/lake").list_folder()


BAD = {
    "other bytes": (206, {"Content-Range": "bytes 0-1/3", "ETag": '"a"'}, b"01", "sent bytes 0 to 1 where 1 to 2"),
    "fewer bytes": (206, {"Content-Range": "bytes 1-2/3", "ETag": '"a"'}, b"1", "sent bytes 1 to 2"),
    "no range": (206, {"ETag": '"a"'}, b"12", "without a Content-Range"),
    "whole": (200, {"ETag": '"a"'}, b"012", "sent the whole file"),
    "encoded": (206, {"Content-Range": "bytes 1-2/3", "Content-Encoding": "gzip"}, b"12", "encoded"),
    "too much": (206, {"Content-Range": "bytes 1-2/3"}, b"1" * 100_000, "more than 65,536 bytes"),
    "cut short": (206, {"Content-Range": "bytes 1-2/3", "Content-Length": "2"}, b"1", "IncompleteRead|bytes came"),
}
CODES = {
    "NoSuchBucket": "no such bucket", "AccessDenied": "do not allow", "InvalidAccessKeyId": "access key",
    "ExpiredToken": "expired", "RequestTimeTooSkewed": "clock", "SignatureDoesNotMatch": "secret key",
}  # fmt: skip


def error_of(code: str, more: str = "") -> bytes:
    """Return what a bucket says beside the status of an error."""
    return f"<Error><Code>{code}</Code><Message>very-secret</Message>{more}</Error>".encode()


class TestFaults:
    @pytest.mark.parametrize("fault", ["503", "reset", "cut", "stall", "ignore"])
    def test_every_second_answer_is_bad_and_all_bytes_are_right(
        self, bucket: Bucket, impatient: None, fault: str
    ) -> None:
        store = open_store("s3://b/lake")
        key = "cohort/images/big.bin"
        state = known(store, key)
        bucket.set(fault=f"{fault}x2")
        draw = random.Random(fault)
        for _ in range(12):
            offset, size = draw.randrange(len(BIG) - 200_000), draw.randint(1, 200_000)
            assert store.read(key, offset=offset, size=size, state=state) == BIG[offset : offset + size]
        assert bucket.set(fault="")["faults"] >= 6

    @pytest.mark.parametrize("status", [403, 404, 412, 416])
    def test_what_stays_so_is_asked_once(self, impatient: None, status: int) -> None:
        with scripted(lambda asked: (status, {}, b"")) as server:
            store = open_store(server.address)
            with pytest.raises((StoreError, FileFormatError)):
                store.read("x", offset=0, size=2, state=ObjectState(size=3, version='"a"'))
            assert len(server.asked) == 1

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_asked_ten_times(self, impatient: None, status: int) -> None:
        with scripted(lambda asked: (status, {}, b"")) as server:
            with pytest.raises(StoreError, match=rf"GET {server.address}/x failed: status {status}, after 10 tries in"):
                open_store(server.address).read("x", offset=0, size=2, state=ObjectState(size=3, version='"a"'))
            assert len(server.asked) == 10

    def test_retry_after_is_kept(self, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr(http.time, "sleep", pauses.append)
        with scripted(lambda asked: (429, {"Retry-After": "7"}, b"")) as server, pytest.raises(StoreError, match="429"):
            open_store(server.address).state("x")
        assert pauses == [7.0] * 9

    def test_a_wait_beyond_patience_is_not_waited_for(self, impatient: None) -> None:
        answers = scripted(lambda asked: (503, {"Retry-After": "3600"}, b""))
        with answers as server, pytest.raises(StoreError, match="503, after 1 try"):
            open_store(server.address).state("x")

    @pytest.mark.parametrize("case", BAD)
    def test_answers_to_another_question_are_never_taken(self, impatient: None, case: str) -> None:
        status, headers, body, said = BAD[case]
        with scripted(lambda asked: (status, headers, body)) as server, pytest.raises(StoreError, match=said):
            open_store(server.address).read("x", offset=1, size=2, state=ObjectState(size=3, version='"a"'))

    @pytest.mark.parametrize(
        "headers",
        [{"Content-Range": "bytes 1-2/3", "ETag": '"b"'}, {"Content-Range": "bytes 1-2/4", "ETag": '"a"'}],
    )
    def test_another_file_is_told(self, impatient: None, headers: dict[str, str]) -> None:
        with scripted(lambda asked: (206, headers, b"12")) as server:
            with pytest.raises(FileFormatError, match="was written again"):
                open_store(server.address).read("x", offset=1, size=2, state=ObjectState(size=3, version='"a"'))
            assert len(server.asked) == 1

    def test_a_portal_is_no_list(self, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
        with scripted(lambda asked: (200, {}, b"<html><body>Log in</body></html>")) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            with pytest.raises(StoreError, match="no list of a bucket"):
                open_store("s3://b/lake").list_folder()

    def test_bytes_that_trickle_are_not_waited_for(self, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "PATIENCE", 0.3)
        monkeypatch.setattr(http, "PIECE", 1)
        clock = itertools.count()
        monkeypatch.setattr(http.time, "monotonic", lambda: next(clock) * 0.01)
        body = b"1" * 200
        answers = scripted(lambda asked: (206, {"Content-Range": "bytes 0-199/200"}, body))
        with answers as server, pytest.raises(StoreError, match="not done after 0 s"):
            open_store(server.address).read("x", offset=0, size=200, state=ObjectState(size=200, version=""))

    @pytest.mark.parametrize("seconds", [60, 10_000])
    def test_a_network_that_is_gone_is_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, seconds: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock, answer = [0.0], http.Answer(status=206, headers={}, body=b"", url="")

        def gone(*_: object, **__: object) -> http.Answer:
            if 5 < clock[0] < 5 + seconds:
                raise http.Unreachable("no connection: Network is unreachable")
            return answer

        def sleep(pause: float) -> None:
            clock[0] += pause

        monkeypatch.setattr(http, "_once", gone)
        monkeypatch.setattr(http.time, "sleep", sleep)
        monkeypatch.setattr(http.time, "monotonic", lambda: clock[0])
        ask = partial(http.send, "GET", "http://host/x", prepare=dict, check=lambda found: None)
        assert ask() is answer
        clock[0] = 6.0
        if seconds == 60:
            assert ask() is answer
            assert 65 < clock[0] < 100
            assert "http://host/x: no connection: Network is unreachable; try 11" in caplog.text
        else:
            with pytest.raises(StoreError, match=r"http://host/x failed: no connection: Network.* tries in 1[78]"):
                ask()

    def test_a_host_that_comes_back_may_be_busy_at_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock, came = [0.0], http.Answer(status=206, headers={}, body=b"", url="")
        busy = http.Answer(status=503, headers={}, body=b"", url="")

        def once(*_: object, **__: object) -> http.Answer:
            if 5 < clock[0] < 80:
                raise http.Unreachable("no connection: Connection refused")
            return busy if 80 <= clock[0] < 90 else came

        monkeypatch.setattr(http, "_once", once)
        monkeypatch.setattr(http.time, "sleep", lambda pause: clock.append(clock.pop() + pause))
        monkeypatch.setattr(http.time, "monotonic", lambda: clock[0])
        ask = partial(http.send, "GET", "http://host/x", prepare=dict, check=lambda found: None)
        assert ask() is came
        clock[0] = 6.0
        assert ask() is came
        assert 90 <= clock[0] < 120

    def test_nobody_listens(self, impatient: None) -> None:
        with scripted(lambda asked: (200, {}, b"")) as server:
            pass
        with pytest.raises(StoreError, match=r"failed: .*after 10 tries"):
            open_store(server.address).state("x")


class TestWhoAsks:
    @pytest.mark.parametrize("code", CODES)
    def test_a_refusal_says_what_to_do(self, impatient: None, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        with scripted(lambda asked: (403, {}, error_of(code))) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            with pytest.raises(StoreError, match=f"{code}.*{CODES[code]}") as caught:
                open_store("s3://b/lake").list_folder()
            assert "very-secret" not in str(caught.value)

    def test_public_buckets_are_asked_unsigned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with scripted(lambda asked: (200, {"ETag": '"a"', "Content-Length": "3"}, b"")) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
            assert open_store("s3://b/lake").state("x") == ObjectState(size=3, version='"a"')
            assert "authorization" not in server.asked[0].headers
            assert server.asked[0].path == "/b/lake/x"

    def test_google_is_never_given_keys_of_amazon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with scripted(lambda asked: (200, {"ETag": '"a"', "Content-Length": "3"}, b"")) as server:
            monkeypatch.setenv("GS_ENDPOINT_URL", server.address)
            open_store("gs://b/lake").state("x")
            assert "authorization" not in server.asked[0].headers

    @pytest.mark.parametrize("token", [None, "session-token"])
    @pytest.mark.parametrize(
        "url",
        [
            "https://b.s3.eu-west-1.amazonaws.com/lake/a%20b%2Bc.txt",
            "http://127.0.0.1:9000/b/?list-type=2&delimiter=%2F&prefix=a%2Bb%20%C3%A9%2F&max-keys=1000",
            "https://b.s3.eu-west-1.amazonaws.com/lake/%C3%A9~.zarr/0/0.0",
        ],
    )
    def test_signatures_are_those_of_botocore(self, url: str, token: str | None) -> None:
        from datetime import UTC, datetime

        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("GET", url, headers={"Range": "bytes=0-9", "If-Match": '"a"'})
        request.context["payload_signing_enabled"] = True
        S3SigV4Auth(Credentials("access", "secret", token), "s3", "eu-west-1").add_auth(request)
        now = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        keys = Keys(access="access", secret="secret", token=token)
        ours = signed("GET", url, {"Range": "bytes=0-9", "If-Match": '"a"'}, keys=keys, region="eu-west-1", now=now)
        assert ours["authorization"] == request.headers["Authorization"]
        assert "secret" not in repr(keys)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(keys)

    def test_a_bucket_elsewhere_is_asked_there(self) -> None:
        from spora_db.files.stores.credentials import Settings
        from spora_db.files.stores.s3 import S3Service

        service = S3Service("b", "lake", Settings(endpoint=None, region="us-east-1", keys=lambda: None))
        assert service.url("x") == "https://b.s3.us-east-1.amazonaws.com/lake/x"
        sent = http.Answer(status=301, headers={"x-amz-bucket-region": "eu-west-1"}, body=b"", url="")
        assert service.follow(sent, "x") == "https://b.s3.eu-west-1.amazonaws.com/lake/x"
        assert service.follow(sent, "x") is None

    def test_requests_side_by_side_are_all_sent_to_the_region_that_the_service_names(
        self, impatient: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arrived, all_here = itertools.count(1), threading.Event()

        def answer(asked: Asked) -> tuple[int, dict[str, str], bytes]:
            if "/eu-west-1/s3/" in asked.headers["authorization"]:
                return 206, {"Content-Range": "bytes 0-1/2", "ETag": '"a"'}, b"01"
            if next(arrived) == 8:
                all_here.set()
            all_here.wait(5)
            return 400, {}, error_of("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")

        with scripted(answer) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            state = ObjectState(size=2, version='"a"')
            spans = [Span(f"{number}", state, 0, 2) for number in range(8)]
            assert open_store("s3://b/lake").read_many(spans) == [b"01"] * 8

    def test_a_wrong_clock_is_told_by_how_much(self, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
        times = "<RequestTime>20261129T090000Z</RequestTime><ServerTime>2026-11-29T10:00:00Z</ServerTime>"
        with scripted(lambda asked: (403, {}, error_of("RequestTimeTooSkewed", times))) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            with pytest.raises(StoreError, match=r"2026-11-29T10:00:00Z there, .* 20261129T090000Z\. The clock"):
                open_store("s3://b/lake").list_folder()

    def test_credentials_that_expire_are_looked_for_again(
        self, impatient: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def answer(asked: Asked) -> tuple[int, dict[str, str], bytes]:
            if "Credential=new" in asked.headers["authorization"]:
                return 206, {"Content-Range": "bytes 0-1/2", "ETag": '"a"'}, b"01"
            return 400, {}, error_of("ExpiredToken")

        def log_in(name: str) -> None:
            text = f"[default]\naws_access_key_id={name}\naws_secret_access_key=s\naws_session_token=t\n"
            (tmp_path / "credentials").write_text(text)

        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        log_in("old")
        with scripted(answer) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            store, spans = open_store("s3://b/lake"), [Span("x", ObjectState(size=2, version='"a"'), 0, 2)]
            with pytest.raises(StoreError, match=r"lake/x was not read: .*\(ExpiredToken\)\. .* no others"):
                store.read_many(spans)
            log_in("new")
            assert store.read_many(spans * 3) == [b"01"] * 3

    def test_credentials_that_a_program_gives_for_a_time_are_asked_for_in_time(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        given = {"Version": 1, "AccessKeyId": "KEY", "SecretAccessKey": "s", "SessionToken": "t"}
        soon = datetime.now(UTC) + timedelta(minutes=5)  # sooner than botocore lets them get old
        text = json.dumps(given | {"Expiration": soon.isoformat()}).replace("KEY", "key'$(wc -l < times)'")
        (tmp_path / "give").write_text(f"cd {tmp_path}; echo >> times; echo '{text}'\n")
        (tmp_path / "config").write_text(f"[default]\ncredential_process = sh {tmp_path}/give\n")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        with scripted(lambda asked: (200, {"ETag": '"a"', "Content-Length": "3"}, b"")) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            store = open_store("s3://b/lake")
            for _ in range(3):
                store.state("x")
        assert len({asked.headers["authorization"].partition("/")[0] for asked in server.asked}) == 3

    @pytest.mark.parametrize(
        ("setting", "value", "said"),
        [("AWS_PROFILE", "nobody", "profile.*nobody"), ("AWS_CONFIG_FILE", "config", "cannot be had: .*exit 3")],
    )
    def test_credentials_that_cannot_be_had(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str, said: str
    ) -> None:
        (tmp_path / "config").write_text("[default]\ncredential_process = sh -c 'echo exit 3 >&2; exit 3'\n")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv(setting, str(tmp_path / value) if value == "config" else value)
        with pytest.raises(StoreError, match=said):
            open_store("s3://b/lake").state("x")


class TestHub:
    def test_a_dataset_is_listed_and_read_where_the_hub_sends_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        content = b"0123456789"

        def far(asked: Asked) -> tuple[int, dict[str, str], bytes]:
            assert "authorization" not in asked.headers
            first, last = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
            return 206, {"Content-Range": f"bytes {first}-{last}/10", "ETag": '"of the cdn"'}, content[first : last + 1]

        def hub(asked: Asked) -> tuple[int, dict[str, str], bytes]:
            assert asked.headers["authorization"] == "Bearer token"
            if asked.path.startswith("/api/datasets/owner/name/tree/v1/lake"):
                more = "?cursor=2" not in asked.path
                item = {
                    "type": "file",
                    "path": f"lake/{'a' if more else 'b'}.bin",
                    "size": 10,
                    "oid": "git",
                    "lfs": {"oid": "s"},
                }
                link = {"Link": f'<{near.address}{asked.path}?cursor=2>; rel="next"'} if more else {}
                return 200, link, json.dumps([item]).encode()
            assert asked.path == "/datasets/owner/name/resolve/v1/lake/a.bin"
            return 302, {"Location": f"{cdn.address}/blob", "X-Linked-Etag": '"s"', "X-Linked-Size": "10"}, b""

        with scripted(far) as cdn, scripted(hub) as near:
            monkeypatch.setenv("HF_ENDPOINT", near.address)
            monkeypatch.setenv("HF_TOKEN", "token")
            store = open_store("hf://datasets/owner/name@v1/lake")
            state = ObjectState(size=10, version='"s"')
            assert store.list_folder() == [ObjectEntry("a.bin", state), ObjectEntry("b.bin", state)]
            assert store.state("a.bin") == state
            assert store.read("a.bin", offset=2, size=3, state=state) == b"234"
            with pytest.raises(FileFormatError, match="written again"):
                store.read("a.bin", offset=2, size=3, state=ObjectState(size=10, version='"older"'))

    def test_half_of_a_listing_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hub(asked: Asked) -> tuple[int, dict[str, str], bytes]:
            if asked.path.endswith("?cursor=2"):
                return 404, {}, b""
            item = {"type": "file", "path": "lake/a.bin", "size": 10, "oid": "git"}
            return 200, {"Link": f'<{near.address}{asked.path}?cursor=2>; rel="next"'}, json.dumps([item]).encode()

        with scripted(hub) as near:
            monkeypatch.setenv("HF_ENDPOINT", near.address)
            with pytest.raises(StoreError, match="was not listed"):
                open_store("hf://datasets/owner/name@v1/lake").list_folder()


class TestAddresses:
    @pytest.mark.parametrize(
        ("root", "said"),
        [("s3://", "names no bucket"), ("ftp://x/y", "no store for"), ("hf://models/a/b", "names no dataset")],
    )
    def test_what_is_no_address(self, root: str, said: str) -> None:
        with pytest.raises(ArgumentError, match=said):
            open_store(root)


spans_of_one = st.lists(st.tuples(st.integers(0, 5 * GAP), st.integers(0, 2 * GAP)), max_size=12)


@given(spans_of_one)
def test_requests_cover_every_range_and_no_byte_twice(ranges: list[tuple[int, int]]) -> None:
    state = ObjectState(size=10 * GAP, version="a")
    spans = [Span("x", state, offset, size) for offset, size in ranges]
    made = requests(spans)
    parts = sorted(part for request in made for part in request.parts)
    assert parts == [number for number, span in enumerate(spans) if span.size]
    for request in made:
        for part in request.parts:
            assert request.span.offset <= spans[part].offset
            assert spans[part].offset + spans[part].size <= request.span.offset + request.span.size
    ends = [(request.span.offset, request.span.offset + request.span.size) for request in made]
    assert all(before[1] + GAP < after[0] for before, after in itertools.pairwise(ends))


def read_apart(
    address: str, root: str, key: str, state: ObjectState, seed: int, count: int, wrong: "multiprocessing.Queue[int]"
) -> None:
    """Read ranges of one's own in a child, and tell how many were not as they should be."""
    os.environ["AWS_ENDPOINT_URL"] = address  # a forkserver may be older than this test
    os.environ |= {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "very-secret"}
    draw, store = random.Random(seed), open_store(root)
    spans = []
    for _ in range(count):
        offset = draw.randrange(len(BIG) - 100)
        spans.append(Span(key, state, offset, draw.randint(1, 100)))
    found = [store.read(key, offset=span.offset, size=span.size, state=state) for span in spans[: count // 2]]
    found += store.read_many(spans[count // 2 :])
    wrong.put(sum(data != BIG[span.offset : span.offset + span.size] for data, span in zip(found, spans, strict=True)))


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("fork", 200),
        *(pytest.param(method, 1_000, marks=pytest.mark.slow) for method in ("fork", "spawn", "forkserver")),
    ],
)
def test_children_of_a_process_that_reads_take_no_byte_of_its_answers(bucket: Bucket, method: str, count: int) -> None:
    bucket.set(fault="", latency=1)
    store = open_store("s3://b/lake")
    key = "cohort/images/big.bin"
    state = known(store, key)
    context = multiprocessing.get_context(method)
    wrong = context.Queue()
    draw = random.Random(0)
    mine = [Span(key, state, draw.randrange(len(BIG) - 100), 100) for _ in range(count)]
    store.read_many(mine[:50])  # sockets are open, and threads run
    children = [
        context.Process(target=read_apart, args=(bucket.address, "s3://b/lake", key, state, seed, count, wrong))
        for seed in range(4)
    ]
    for child in children:
        child.start()
    found = store.read_many(mine)
    assert found == [BIG[span.offset : span.offset + 100] for span in mine]
    assert [wrong.get(timeout=120) for _ in children] == [0] * 4
    for child in children:
        child.join()
    bucket.set(latency=0)


def test_a_store_as_moto_plays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        import botocore.session

        client = botocore.session.Session().create_client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="lakes")
        for key, content in FILES.items():
            client.put_object(Bucket="lakes", Key=f"lake/{key}", Body=content)
        store = open_store("s3://lakes/lake")
        assert [entry.name for entry in store.list_folder()] == ["a b+c.txt", "cohort"]
        for key, content in FILES.items():
            assert store.read_whole(key)[0] == content
        state = known(store, "cohort/images/big.bin")
        assert store.read("cohort/images/big.bin", offset=5, size=7, state=state) == BIG[5:12]
        client.put_object(Bucket="lakes", Key="lake/cohort/images/big.bin", Body=BIG[::-1])
        with pytest.raises(FileFormatError, match="written again"):
            store.read("cohort/images/big.bin", offset=5, size=7, state=state)
        with pytest.raises(StoreError, match="NoSuchBucket"):
            open_store("s3://nothing/lake").list_folder()
    finally:
        server.stop()
