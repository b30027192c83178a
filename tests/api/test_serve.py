"""`relay-jobs serve` as a process: it says when it is ready, ends by a signal, and refuses what it cannot serve."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from relay_jobs.cli import app
from relay_jobs.stages import READ_PREFERS_NEW, Stage
from tests.api.conftest import action, new_key
from tests.cli.conftest import legacy, relay_jobs, url
from tests.proxy import Proxy
from tests.servers import Server, free_port, until
from tests.store.records import set_stage

__all__ = ["legacy", "relay_jobs", "url"]

pytestmark = pytest.mark.redis

JSON = {"Content-Type": "application/json"}
Process = subprocess.Popen[str]


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[Process, int]]]:
    """Starts the server on a free port; the process and its port."""
    running: list[Process] = []

    def start(redis_port: int, *words: str) -> tuple[Process, int]:
        command = [sys.executable, "-m", "relay_jobs", "serve", "--port", "0", "--json", *words]
        command += ["--redis-url", f"redis://127.0.0.1:{redis_port}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())["port"]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def ask(port: int, path: str, headers: dict[str, str] | None = None, body: Any = None) -> tuple[int, Any]:
    """Status and body of one request on a connection of its own."""
    line = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        given = None if body is None else json.dumps(body)
        line.request(
            "GET" if body is None else "POST", path, given, {"Content-Type": "application/json", **(headers or {})}
        )
        answer = line.getresponse()
        return answer.status, answer.read().decode()
    finally:
        line.close()


def closed(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_from_the_key_to_the_job(
    real_server: Server, client: redis.Redis, relay_jobs: Any, started: Callable[..., tuple[Process, int]]
) -> None:
    """A key made by the command line executes and reads over the server, until it is revoked."""
    words = ("--workspace", "acme", "--actor", "u1", "--scope", "jobs:read", "--scope", "jobs:write")
    made = relay_jobs("api-key", "create", *words).body
    mine = {"Authorization": f"Bearer {made['key']}"}
    process, port = started(real_server.port)
    status, said = ask(port, "/ai/execute", mine, {"actions": [action()]})
    assert status == 202
    (job_id,) = json.loads(said)["job_ids"]
    assert ask(port, f"/ai/jobs/{job_id}", mine)[0] == 200
    assert ask(port, "/healthz")[0] == 200
    assert 'relay_api_requests_total{method="POST",route="/ai/execute",status="2xx"} 1.0' in ask(port, "/metrics")[1]
    assert "acme" not in ask(port, "/metrics")[1]
    assert relay_jobs("api-key", "revoke", made["key_id"]).body == {"revoked": made["key_id"]}
    assert ask(port, f"/ai/jobs/{job_id}", mine)[0] == 401
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (143, "")
    assert f"target: 127.0.0.1:{real_server.port}" in err
    assert re.search(rf"GET /ai/jobs/{{job_id}} 200 .* key {made['key_id']}$", err, re.MULTILINE)
    assert job_id not in err
    assert made["key"].split("_", 2)[2] not in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_requests_under_way_are_answered_first(
    real_server: Server, client: redis.Redis, started: Callable[..., tuple[Process, int]], number: int, code: int
) -> None:
    """A signal in the middle of a request ends the process after its answer; nobody else is let in meanwhile."""
    mine = new_key(client)
    with Proxy(real_server.port) as proxy:
        process, port = started(proxy.port)
        line = HTTPConnection("127.0.0.1", port, timeout=20)

        def end() -> None:
            process.send_signal(number)
            until(lambda: closed(port), "new requests are still taken")

        proxy.hold(end)
        line.request("POST", "/ai/execute", json.dumps({"actions": [action()]}), {**mine, **JSON})
        answer = line.getresponse()
        assert (answer.status, len(json.loads(answer.read())["job_ids"])) == (202, 1)
        line.close()
        process.communicate(timeout=20)
        assert process.returncode == code


def test_a_second_signal_ends_it_at_once(
    real_server: Server, client: redis.Redis, started: Callable[..., tuple[Process, int]]
) -> None:
    """A client that never finishes its request does not keep the process."""
    mine = new_key(client)["Authorization"]
    process, port = started(real_server.port)
    head = f"POST /ai/execute HTTP/1.1\r\nHost: x\r\nAuthorization: {mine}\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(head.encode())
        until(lambda: "cmdstat_hgetall" in client.info("commandstats"), "the request has not begun")
        process.send_signal(signal.SIGTERM)
        until(lambda: closed(port), "new requests are still taken")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode in {143, -signal.SIGTERM}


def test_a_store_that_goes_and_comes(
    real_server: Server, client: redis.Redis, started: Callable[..., tuple[Process, int]]
) -> None:
    """While the store is away the process lives and says 503; afterwards it serves again."""
    mine = new_key(client)
    with Proxy(real_server.port) as proxy:
        _, port = started(proxy.port)
        assert ask(port, "/healthz")[0] == 200
        proxy.point(None)
        assert (ask(port, "/healthz")[0], ask(port, "/ai/jobs", mine)[0]) == (503, 503)
        proxy.point(real_server.port)
        assert (ask(port, "/healthz")[0], ask(port, "/ai/jobs", mine)[0]) == (200, 200)


def test_workspaces_in_metrics_where_nobody_sees_them(
    real_server: Server, client: redis.Redis, started: Callable[..., tuple[Process, int]]
) -> None:
    """Only on request does the metrics page name workspaces."""
    _, port = started(real_server.port, "--workspace-metrics")
    ask(port, "/ai/execute", new_key(client, "acme"), {"actions": [action()]})
    assert 'ai_jobs_dual_write_total{result="both",workspace_id="acme"} 1.0' in ask(port, "/metrics")[1]


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        (["--redis-url", "redis://127.0.0.1:1"], {}, 1, '"ConnectionError"'),
        (["--redis-url", "nonsense"], {}, 2, '"UsageError"'),
        ([], {READ_PREFERS_NEW: "off"}, 1, '"FlagConflict"'),
        ([], {READ_PREFERS_NEW: "perhaps"}, 2, '"SettingsError"'),
        (["--port", "BUSY"], {}, 1, '"Refused"'),
        (["--host", "no.such.host.invalid"], {}, 1, '"Refused"'),
        (["--port", "65536"], {}, 2, ""),
        (["--threads", "0"], {}, 2, ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_it_does_not_serve(
    url: str,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    environment: dict[str, str],
    code: int,
    said: str,
) -> None:
    """One line and the exit code of every other command."""
    set_stage(client, Stage.SEALED)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [str(taken.getsockname()[1]) if word == "BUSY" else word for word in words]
        ran = CliRunner().invoke(app, ["serve", "--json", "--redis-url", url, "--port", str(free_port()), *given])
    assert ran.exit_code == code
    assert said in ran.stdout


def test_a_cluster_is_refused(running: Any) -> None:
    """As by every other door."""
    process = running.own("valkey", cluster_enabled="yes")
    ran = CliRunner().invoke(app, ["serve", "--json", "--redis-url", f"redis://127.0.0.1:{process.port}"])
    assert (ran.exit_code, json.loads(ran.stdout)["error"]) == (1, "UnsupportedServer")


def test_without_the_extra(real_server: Server) -> None:
    """Where FastAPI is not installed, serve says so, and every other command goes on."""
    script = "import sys; sys.modules['fastapi'] = None; from relay_jobs.cli import main; main()"
    url = f"redis://127.0.0.1:{real_server.port}"
    for words, code, said in ((["serve"], 2, "needs the extra 'api'"), (["api-key", "list"], 0, "0 keys")):
        command = [sys.executable, "-c", script, *words, "--redis-url", url]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == code
        assert said in ran.stdout + ran.stderr
