"""Bodies are bounded in size and depth, and are JSON by the letter."""

import asyncio
import json
from typing import Any

import pytest

from relay_jobs import JobStore
from relay_jobs.api_problems import Problem
from relay_jobs.api_requests import BODY_MAX_BYTES, DEPTH_MAX, parse_json
from tests.api.conftest import Api, action

pytestmark = pytest.mark.redis

JSON = {"Content-Type": "application/json"}


def nested(levels: int) -> str:
    """A request whose deepest value is so many levels deep."""
    inner = levels - 3  # the request, its list, the action
    return f'{{"actions":[{{"provider":"p","action":"a","params":{"[" * inner}{"]" * inner}}}]}}'


def padded(size: int) -> bytes:
    """A good request of exactly so many bytes."""
    empty = len(json.dumps({"actions": [action(params="")]}))
    return json.dumps({"actions": [action(params="x" * (size - empty))]}).encode()


def test_the_largest_body_and_one_byte_more(api: Api) -> None:
    """512 KiB are taken, whether their length is announced or not; one byte more is 413."""
    mine = api.key() | JSON
    for size, status in ((BODY_MAX_BYTES, 202), (BODY_MAX_BYTES + 1, 413)):
        body = padded(size)
        assert len(body) == size
        assert api.http.post("/ai/execute", headers=mine, content=body).status_code == status
        chunks = (body[at : at + 65_536] for at in range(0, size, 65_536))
        assert api.http.post("/ai/execute", headers=mine, content=chunks).status_code == status


@pytest.mark.parametrize("announced", [None, b"600000", b"99999999999999999999999999"])
def test_a_body_that_is_too_large_is_not_read(api: Api, announced: bytes | None) -> None:
    """An announced length is believed, and without one no more is read than the bound; the connection is closed."""
    mine = api.key()["Authorization"].encode()
    headers = [(b"authorization", mine), (b"content-type", b"application/json")]
    headers += [] if announced is None else [(b"content-length", announced)]
    path = "/ai/execute"
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
    }
    scope |= {"headers": headers, "http_version": "1.1", "scheme": "http", "server": ("x", 80), "client": ("y", 1)}
    read, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 65_536
        return {"type": "http.request", "body": b"[" * 65_536, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(api.http.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]
    assert read <= (BODY_MAX_BYTES + 65_536 if announced is None else 0)


def test_nobody_without_a_key_makes_it_read(api: Api) -> None:
    """The key is looked at before the body."""
    assert api.http.post("/ai/execute", headers=JSON, content=b"x" * (BODY_MAX_BYTES + 1)).status_code == 401


def test_depth(api: Api) -> None:
    """As deep as documented is taken; deeper, and however deep, is 422."""
    mine = api.key() | JSON
    for levels, status in ((DEPTH_MAX, 202), (DEPTH_MAX + 1, 422), (900, 422), (5_000, 422), (250_000, 422)):
        assert api.http.post("/ai/execute", headers=mine, content=nested(levels)).status_code == status, levels
    assert api.http.post("/ai/execute", headers=mine, content=b'{"a":' * 90_000).status_code == 422


@pytest.mark.parametrize(
    "params",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "[-1e999]",
        '"\\ud800"',
        '{"\\udc00":1}',
        '"\\udcff\\ud800"',
        '{"a":1,"a":2}',
        '[{"b":{"a":1,"\\u0061":1}}]',
        "1" * 5000,
        "01",
        "'x'",
        '"\x01"',
        "[1,]",
        "",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_json_by_the_letter(api: Api, params: str) -> None:
    """What other parsers would read differently, or could not write again, is 422."""
    body = f'{{"actions":[{{"provider":"p","action":"a","params":{params}}}]}}'
    assert api.http.post("/ai/execute", headers=api.key() | JSON, content=body.encode()).status_code == 422


@pytest.mark.parametrize("text", [b"1e999", b"[-1e400]", b'{"a":1e+309}'])
def test_numbers_that_are_none(text: bytes) -> None:
    """What would be read as infinity is refused where it is read, not only where it is stored."""
    with pytest.raises(Problem):
        parse_json(text)


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"\xef\xbb\xbf{}", '{"actions":[]}'.encode("utf-16"), b"{} {}", b"nul", b"5", b'"x"']
)
def test_what_is_no_json_at_all(api: Api, body: bytes) -> None:
    """Only UTF-8 is JSON, and only an object is a request."""
    assert api.http.post("/ai/execute", headers=api.key() | JSON, content=body).status_code == 422


@pytest.mark.parametrize(
    ("params", "stored"),
    [
        (str(10**400), 10**400),
        ("-0.1e-7", -0.1e-7),
        ('"\\ud834\\udd1e"', "𝄞"),
        ('"\\\\ud800"', "\\ud800"),
        ('{"":{"":[]}}', {"": {"": []}}),
        ("null", None),
        ('"\\u0000"', "\0"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_arrive_as_they_are(api: Api, store: JobStore, params: str, stored: Any) -> None:
    """Big numbers, escapes, empty names: the job holds what was sent."""
    body = f'{{"actions":[{{"provider":"p","action":"a","params":{params}}}]}}'
    answer = api.http.post("/ai/execute", headers=api.key() | JSON, content=body.encode())
    assert answer.status_code == 202
    job = store.get_job(answer.json()["job_ids"][0], "acme")
    assert job is not None
    assert job.params == stored


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "é"])
def test_a_body_says_that_it_is_json(api: Api, kind: str) -> None:
    """What a form of a foreign page could send is refused."""
    headers = {**api.key(), "Content-Type": kind.encode()}
    body = json.dumps({"actions": [action()]}).encode()
    assert api.http.post("/ai/execute", headers=headers, content=body).status_code == 422
    headers["Content-Type"] = "Application/JSON; charset=utf-8"
    assert api.http.post("/ai/execute", headers=headers, content=body).status_code == 202
