"""No job data in logs, refusals and metrics: a secret in whatever a request holds, while each failure is injected."""

import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.api.conftest import Api, Headers, new_key
from tests.api.failures import FAILURES
from tests.servers import Server, until
from tests.store.records import SECRET, put_legacy

pytestmark = pytest.mark.redis

LOUD = {
    "User-Agent": SECRET,
    "X-Request-Id": SECRET,
    "Cookie": f"a={SECRET}",
    "Referer": f"http://x/{SECRET}",
    "Accept": f"x/{SECRET}",
    "Origin": f"http://{SECRET}",
    "X-Forwarded-For": SECRET,
    "Traceparent": SECRET,
}
FULL = {name: SECRET for name in ("provider", "action", "client_request_id")} | {"params": {SECRET: [SECRET]}}
BODIES: list[dict[str, Any]] = [
    {"json": {"actions": [FULL]}},
    {"json": {"actions": [{**FULL, "params": SECRET * 2}]}},
    {"json": {"actions": [{**FULL, SECRET: SECRET}], SECRET: SECRET}},
    {"json": {"actions": [{**FULL, "workspace_id": SECRET}]}},
    {"json": {"actions": [{**FULL, "provider": {SECRET: SECRET}, "action": SECRET * 99}], "actor_id": SECRET}},
    {"json": {"actions": [{**FULL, "client_request_id": f"{SECRET}\n"}]}},
    {"json": {"actions": SECRET}},
    {"json": [SECRET]},
    {"content": f'{{"{SECRET}":1,"{SECRET}":"\\ud800'},
    {"content": f'{{"{SECRET}":NaN}}'},
    {"content": f'["{SECRET}\\ud800"]'},
    {"content": SECRET * 90_000},
    {"content": SECRET, "headers": {"Content-Type": SECRET}},
]
QUERIES = [
    "",
    f"{SECRET}={SECRET}",
    f"cursor={SECRET}",
    f"status={SECRET}",
    f"limit={SECRET}",
    f"workspace_id={SECRET}",
    f"actor_id={SECRET}&cursor={SECRET}",
]


def requests(mine: Headers) -> Iterator[dict[str, Any]]:
    """Every kind of request, each with a secret wherever one fits."""
    for line in (f"Bearer {SECRET}", SECRET, f"Bearer rj_{'0' * 16}_{SECRET.ljust(43, 'x')}"):
        yield {"method": "GET", "url": f"/ai/jobs?{SECRET}", "headers": {"Authorization": line}}
    for path in (
        "/ai/jobs/odd",
        f"/ai/jobs/{SECRET}",
        f"/{SECRET}?{SECRET}",
        *(f"/ai/jobs?{each}" for each in QUERIES),
    ):
        yield {"method": "GET", "url": path, "headers": mine}
    for method in ("PUT", SECRET.upper()):
        yield {"method": method, "url": f"/ai/jobs/{SECRET}", "headers": mine}
    yield {"method": "POST", "url": f"/ai/execute?{SECRET}", **BODIES[0], "headers": mine}
    for body in BODIES:
        given = {"Content-Type": "application/json", **mine, **body.get("headers", {})}
        yield {"method": "POST", "url": "/ai/execute", **body, "headers": given}


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Every record of every logger at every level; the test fails if the secret is in one."""
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for logger, level in before:
        logger.setLevel(level)
    # The client of a test says what it sends; it is no part of the product.
    records = [record for record in caplog.get_records("call") if not record.name.startswith(("httpx", "httpcore"))]
    assert len(records) > 4
    for record in records:
        told = f"{record.getMessage()} {record.args!r} {record.exc_text} {record.exc_info!r} {vars(record)!r}"
        assert SECRET.upper() not in told.upper(), record.name


def plant(client: redis.Redis) -> None:
    """Old records, good and malformed, with a secret in whatever is not shown."""
    hidden = {"params": SECRET, "actor_id": SECRET, "action_provider": SECRET, "note": SECRET, SECRET: SECRET}
    put_legacy(client, "odd", **hidden, enqueued_at=SECRET, started_at=SECRET, finished_at=SECRET)
    client.hset("ai:jobs:foreign", mapping={"job_id": SECRET, "workspace_id": "acme", "result": SECRET})
    client.set("ai:jobs:text", SECRET)


@pytest.mark.parametrize("name", ["", *FAILURES])
def test_a_secret_in_every_field(
    real_server: Server,
    client: redis.Redis,
    open_api: Callable[..., Api],
    heard: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """It is in no log record, no answer, no metric, whatever fails meanwhile and however loud the loggers are."""
    mine = new_key(client)
    plant(client)
    statuses = set()
    if name:
        with FAILURES[name](real_server, open_api) as api:
            statuses = all_of(api, mine)
    else:
        api = open_api()
        statuses = all_of(api, mine)
        assert {200, 202, 400, 401, 403, 404, 405, 409, 413, 422} <= statuses
    assert {401, 404, 405} <= statuses
    assert SECRET.upper() not in api.http.get("/metrics").text.upper()


def all_of(api: Api, mine: Headers) -> set[int]:
    """Statuses of every request; of a listing only what its own records show is looked at."""
    statuses = set()
    for request in requests(mine):
        answer = api.http.request(**{**request, "headers": {**LOUD, **request["headers"]}})
        statuses.add(answer.status_code)
        said = answer.text + repr(answer.headers)
        if answer.status_code == 200 and "jobs" in request["url"]:
            said = said.replace(f'"action":"{SECRET}"', "")
        assert SECRET.upper() not in said.upper(), request
    return statuses


def test_clients_that_go_away(api: Api, serve: Callable[[Api], int], heard: pytest.LogCaptureFixture) -> None:
    """In the middle of a head or a body, before the answer, with what is no HTTP: the server's log is silent too."""
    port = serve(api)
    key = api.key()["Authorization"]
    head = f"POST /ai/execute HTTP/1.1\r\nHost: x\r\nX: {SECRET}\r\nAuthorization: {key}\r\n"
    body = f'{{"actions":[{{"provider":"{SECRET}","action":"{SECRET}","params":"{SECRET}"}}]}}'
    whole = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n"
    broken = (f"{chunked}{SECRET}\r\n", f"{SECRET} {SECRET}\r\n\r\n", f"{head}{SECRET}\r\n\r\n")
    for raw in (head, whole[:-20], chunked, whole, *broken):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(raw.encode())
    until(lambda: heard.text.count("POST /ai/execute 499") >= 2, "a client that went away is counted")
    assert "Invalid HTTP request" in heard.text
    assert SECRET not in api.http.get("/metrics").text
