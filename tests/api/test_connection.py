"""HTTP as it comes over a connection: each part is bounded, requests are answered in turn, refused in one form."""

import json
import select
import socket
from collections.abc import Callable

import pytest

from tests.api.conftest import Api, action

pytestmark = pytest.mark.redis

Serve = Callable[[Api], int]
KIB = 1024
# More than is ever taken and not understood, less than what a test can wait for.
ENDLESS = 4 * KIB * KIB


def said(port: int, *parts: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer on one connection, which the server has to end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        for part in parts:
            line.sendall(part)
        return answers(line.makefile("rb").read())


def answers(raw: bytes) -> list[tuple[int, bytes]]:
    """The same, of the bytes."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        found.append((int(head.split()[1]), rest[:length]))
        raw = rest[length:]
    return found


def bad_request(answer: tuple[int, bytes]) -> bool:
    """Whether it is that problem."""
    return answer[0] == 400 and json.loads(answer[1])["type"] == "urn:relay-jobs:problem:bad-request"


def get(path: bytes = b"/healthz", *lines: bytes) -> bytes:
    """A request; the connection ends with its answer."""
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *lines, b"", b""])


def taken_of_what_never_ends(port: int, begin: bytes, more: bytes) -> tuple[int, bytes]:
    """How many bytes are sent until the server says something or ends the connection, and what it says."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(begin)
        for sent in range(0, ENDLESS, len(more)):
            if select.select([line], [], [], 0)[0]:
                return sent, line.recv(64 * KIB)
            try:
                line.sendall(more)
            except ConnectionError:
                return sent, b""
        return ENDLESS, b""


def test_a_head_that_is_large(api: Api, serve: Serve) -> None:
    """Up to 64 KiB of path and headers are taken, more are refused, whether they come at once or in pieces."""
    port = serve(api)
    fits = get(b"/healthz?" + b"x" * 20_000, b"X-A: " + b"x" * 20_000, b"X-B: " + b"x" * 20_000)
    assert [status for status, _ in said(port, fits)] == [200]
    for large in (
        get(b"/healthz", b"X-A: " + b"x" * 66_000),
        get(b"/healthz?" + b"x" * 66_000),
        get(b"/healthz", *[b"X-%d: " % number + b"x" * 100 for number in range(700)]),
    ):
        assert [bad_request(answer) for answer in said(port, large)] == [True]


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"x" * KIB),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: " + b"x" * KIB + b"\r\n"),
        (b"GET /", b"x" * KIB),
        (b"", b"\r\n" * KIB),
        (b"1;", b"x" * KIB),
        (b"0\r\n", b"X: " + b"x" * KIB + b"\r\n"),
    ],
    ids=["header", "headers", "path", "lines", "chunk", "trailers"],
)
def test_what_never_ends(api: Api, serve: Serve, begin: bytes, more: bytes) -> None:
    """Nothing that comes before a body, between its parts or behind it is read for ever."""
    if begin[:1].isdigit():
        key = api.key()["Authorization"].encode()
        head = b"POST /ai/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: " + key
        begin = head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + begin
    sent, heard = taken_of_what_never_ends(serve(api), begin, more)
    assert sent < ENDLESS
    assert not heard or bad_request(answers(heard)[0])


def test_a_request_names_one_host(api: Api, serve: Serve) -> None:
    """One, as HTTP/1.1 wants it; HTTP/1.0 knows none."""
    port = serve(api)
    for line in (b"GET /healthz HTTP/1.1\r\n\r\n", get(b"/healthz", b"Host: y")):
        assert [bad_request(answer) for answer in said(port, line)] == [True]
    assert [status for status, _ in said(port, b"GET /healthz HTTP/1.0\r\n\r\n")] == [200]


def test_trailers_are_no_headers(api: Api, serve: Serve) -> None:
    """A key behind the body opens nothing."""
    body = json.dumps({"actions": [action()]}).encode()
    key = b"Authorization: " + api.key()["Authorization"].encode() + b"\r\n"
    head = b"POST /ai/execute HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n"
    port = serve(api)
    assert [status for status, _ in said(port, head + chunked + key + b"\r\n")] == [401]
    assert [status for status, _ in said(port, head + key + chunked + b"\r\n")] == [202]


def test_what_follows_a_request(api: Api, serve: Serve) -> None:
    """Requests that are sent at once are answered in turn; behind them, what is no HTTP ends the connection."""
    port = serve(api)
    on = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    assert [status for status, _ in said(port, on * 3 + get())] == [200] * 4
    assert [status for status, _ in said(port, on * 3 + b"\x00\x01\r\n\r\n")] == [200] * 3
    broken = b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert {status for status, _ in said(port, on + broken)} <= {200, 400, 405}


def test_an_upgrade_is_not_taken(api: Api, serve: Serve) -> None:
    """The request is answered as if it had not asked for one, and the connection ends; with a body it is refused."""
    port, body = serve(api), json.dumps({"actions": [action()]}).encode()
    asking = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
    key = b"Authorization: " + api.key()["Authorization"].encode() + b"\r\n"
    post = b"POST /ai/execute HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(body) + key
    for wanted in (b"websocket\r\n\r\n", b"h2c\r\n\r\n"):
        assert [status for status, _ in said(port, b"GET /healthz HTTP/1.1\r\n" + asking + wanted)] == [200]
        assert [bad_request(answer) for answer in said(port, post + asking + wanted + body)] == [True]
    for line in (
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"BREW / HTTP/1.1\r\n\r\n",
    ):
        assert [bad_request(answer) for answer in said(port, line)] == [True]
