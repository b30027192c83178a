"""Every refusal is problem JSON with a type that never changes, and says nothing of the machine behind it."""

import json
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import redis

import relay_jobs.api_requests
from relay_jobs import api_problems as problems
from relay_jobs.api_keys import Scope
from relay_jobs.api_problems import KINDS
from relay_jobs.errors import (
    FlagConflict,
    IdempotencyConflict,
    InvalidCursor,
    InvalidPayload,
    JobExists,
    UnsupportedServer,
    UsageError,
    WrongType,
)
from relay_jobs.settings import Settings
from relay_jobs.stages import Flags, Stage
from tests.api.conftest import Api, action, new_key
from tests.api.failures import FAILURES
from tests.proxy import Proxy
from tests.servers import Server
from tests.store.records import SECRET, set_stage

pytestmark = pytest.mark.redis

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"

# What the store still does in each failure: healthz, one job, a listing, an execution.
STATUSES = {
    "down": (503, 503, 503, 503),
    "cut": (200, 503, 503, 503),
    "silent": (503, 503, 503, 503),
    "full": (200, 404, 200, 503),
    "replica": (200, 404, 503, 503),
    "busy": (503, 503, 503, 503),
    "denied": (200, 500, 500, 500),
    "wrong_types": (200, 404, 500, 500),
    "wrong_stage": (200, 500, 500, 500),
}


def check(answer: Any, status: int) -> None:
    """One answer of that status; a problem if it is a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "server" not in answer.headers
    if status < 400:
        return
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert set(body) <= {"type", "title", "status", "errors"}
    assert body["status"] == status
    (kind,) = [each for each in KINDS if each.type == body["type"]]
    assert (kind.status, kind.title) == (status, body["title"])
    assert re.search(r"127\.0\.0|localhost|redis|valkey|Traceback|\.py|relay_jobs", answer.text) is None
    assert ("errors" in body) == (status == 422)
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert ("Connection" in answer.headers) == (status == 413)


@pytest.mark.parametrize("name", FAILURES)
def test_while_the_store_fails(
    real_server: Server, client: redis.Redis, open_api: Callable[..., Api], name: str
) -> None:
    """503 with Retry-After while the store cannot serve, 500 where it is broken, and reads for as long as it reads."""
    mine = new_key(client)
    actions = {"actions": [action(client_request_id=SECRET)]}
    with FAILURES[name](real_server, open_api) as api:
        answers = (
            api.http.get("/healthz"),
            api.http.get("/ai/jobs/j", headers=mine),
            api.http.get("/ai/jobs", headers=mine),
            api.http.post("/ai/execute", headers=mine, json=actions),
        )
        for answer, status in zip(answers, STATUSES[name], strict=True):
            check(answer, status)


def test_health_while_everybody_waits(real_server: Server, open_api: Callable[..., Api]) -> None:
    """When all threads wait for the store, whoever asks for the health of the process is answered nevertheless."""
    with Proxy(real_server.port) as proxy, ThreadPoolExecutor() as others:
        api = open_api(threads=1, port=proxy.port)
        mine, waiting, go = api.key(), threading.Event(), threading.Event()
        check(api.http.get("/ai/jobs/ghost", headers=mine), 404)
        proxy.hold(lambda: waiting.set() or go.wait(20))
        held = others.submit(api.http.get, "/ai/jobs/ghost", headers=mine)
        assert waiting.wait(20)
        check(api.http.get("/healthz"), 200)
        check(api.http.get("/metrics"), 200)
        assert not held.done()
        go.set()
        check(held.result(20), 404)


def test_every_other_refusal(api: Api) -> None:
    """Whoever refuses, the router included, answers in the same form."""
    mine = api.key()
    check(api.http.get("/healthz"), 200)
    check(api.http.get("/ai/jobs"), 401)
    check(api.http.get("/ai/jobs", headers=api.key("acme", Scope.WRITE)), 403)
    check(api.http.get("/ai/jobs?workspace_id=x", headers=mine), 403)
    check(api.http.get("/ai/jobs/ghost", headers=mine), 404)
    check(api.http.get("/ai/jobs?cursor=x", headers=mine), 400)
    check(api.http.get("/ai/jobs?limit=x", headers=mine), 422)
    check(api.http.post("/ai/execute", headers=mine, content=b"x" * 600_000), 413)
    for path in ("/", "/ai", "/ai/execute/", "/docs", "/redoc", "/AI/jobs", "/healthz/", "/%00"):
        check(api.http.get(path, headers=mine), 404)


@pytest.mark.parametrize("path", ["/ai/jobs", "/ai/jobs/x", "/healthz", "/metrics", "/ai/execute"])
def test_methods_that_a_path_does_not_take(api: Api, path: str) -> None:
    """405 with the one that it takes, a foreign origin's preflight included."""
    taken = "POST" if path == "/ai/execute" else "GET"
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} - {taken}:
        answer = api.http.request(method, path, headers={**api.key(), "Origin": "http://x"})
        check(answer, 405)
        assert answer.headers["Allow"] == taken
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_defect_of_ours(api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """500, and the log has the type of the error and its place, never its words."""

    def broken(*_: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(relay_jobs.api_requests, "parse_json", broken)
    check(api.http.post("/ai/execute", headers=api.key(), json={"actions": [action()]}), 500)
    assert SECRET not in caplog.text
    assert "KeyError at tests.api.test_problems:" in caplog.text


def test_flags_that_contradict_the_stage(
    real_server: Server, client: redis.Redis, open_api: Callable[..., Api]
) -> None:
    """They refuse the start; once the stage has moved on, such a process says 503 to whatever it may not serve."""
    flags = Settings(flags=Flags(read_prefers_new=False))
    api, mine = open_api(flags), new_key(client)
    check(api.http.get("/ai/jobs", headers=mine), 200)
    set_stage(client, Stage.SEALED)
    check(api.http.get("/ai/jobs", headers=mine), 503)
    with pytest.raises(FlagConflict):
        open_api(flags)


def test_what_is_no_http(api: Api, serve: Callable[[Api], int]) -> None:
    """Refused below the application, in the same form, and nothing is served over it any more."""
    port = serve(api)
    for raw in (b"\x16\x03\x01\x02\x00", b"GET /\x00 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(raw + b"\r\n\r\n")
            head, _, body = line.makefile("rb").read().partition(b"\r\n\r\n")
        assert b" 400 " in head.splitlines()[0]
        assert b"content-type: application/problem+json" in head
        assert b"cache-control: no-store" in head
        assert json.loads(body)["type"] == "urn:relay-jobs:problem:bad-request"


def test_over_a_real_connection(api: Api, serve: Callable[[Api], int]) -> None:
    """A body of no announced length that is too large ends the connection; another one goes on being used."""
    line = HTTPConnection("127.0.0.1", serve(api), timeout=20)
    mine = {**api.key(), "Content-Type": "application/json"}
    for _ in range(2):
        line.request("POST", "/ai/execute", json.dumps({"actions": [action()]}), mine)
        answer = line.getresponse()
        assert (answer.status, len(json.loads(answer.read())["job_ids"])) == (202, 1)
        assert answer.getheader("server") is None
    line.request("POST", "/ai/execute", iter([b" " * 60_000] * 10), mine)
    answer = line.getresponse()
    assert (answer.status, answer.getheader("connection")) == (413, "close")
    assert json.loads(answer.read())["type"] == "urn:relay-jobs:problem:body-too-large"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidCursor("x"), problems.INVALID_CURSOR),
        (InvalidPayload("x"), problems.MALFORMED),
        (UsageError("x"), problems.MALFORMED),
        (IdempotencyConflict("x"), problems.CONFLICT),
        (JobExists("x"), problems.INTERNAL),
        (FlagConflict("x"), problems.UNAVAILABLE),
        (UnsupportedServer("x"), problems.UNAVAILABLE),
        (WrongType("x", "y"), problems.INTERNAL),
        (redis.ConnectionError("x"), problems.UNAVAILABLE),
        (redis.TimeoutError("x"), problems.UNAVAILABLE),
        (redis.BusyLoadingError("x"), problems.UNAVAILABLE),
        (redis.AuthenticationError("x"), problems.UNAVAILABLE),
        (redis.ReadOnlyError("x"), problems.UNAVAILABLE),
        (redis.OutOfMemoryError("x"), problems.UNAVAILABLE),
        (redis.ResponseError("LOADING x"), problems.UNAVAILABLE),
        (redis.ResponseError("MISCONF x"), problems.UNAVAILABLE),
        (redis.ResponseError("NOREPLICAS x"), problems.UNAVAILABLE),
        (redis.ResponseError("WRONGTYPE x"), problems.INTERNAL),
        (redis.exceptions.NoPermissionError("x"), problems.INTERNAL),
        (ValueError("x"), problems.INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_what_an_error_is_to_a_client(error: Exception, kind: problems.Kind) -> None:
    """Its own mistake, something that passes, or something that somebody has to mend."""
    assert problems.kind_of(error) is kind


def test_what_a_status_of_the_framework_is() -> None:
    """Whatever it refuses by itself is in the table."""
    found = {status: problems.kind_of_status(status).name for status in (400, 404, 405)}
    assert found == {400: "bad-request", 404: "no-such-route", 405: "method-not-allowed"}


def test_every_type_is_documented() -> None:
    """With its status, in the reference; no two problems share a type."""
    text = PAGE.read_text(encoding="utf-8")
    assert [kind.name for kind in KINDS if f"| `{kind.name}` | {kind.status} |" not in text] == []
    assert len({kind.type for kind in KINDS}) == len(KINDS)
