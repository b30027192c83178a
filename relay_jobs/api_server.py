"""A process that serves the HTTP API until a signal ends it."""

import logging
import socket
import sys
from collections.abc import Callable
from types import FrameType

import redis
import uvicorn
from fastapi import FastAPI
from redis.backoff import NoBackoff
from redis.retry import Retry

from relay_jobs.api import HEALTH_THREADS, create_app
from relay_jobs.api_protocol import Protocol
from relay_jobs.errors import Refused, UsageError
from relay_jobs.settings import Settings

# Requests that are under way at a signal are given so long.
GRACE_SECONDS = 30
_BACKLOG = 2048
# A store that hangs costs a request as many of them as there are attempts.
_CONNECT_SECONDS, _REPLY_SECONDS = 1.0, 2.0


def serve(
    url: str, address: tuple[str, int], *, threads: int, workspace_metrics: bool, ready: Callable[[int], None]
) -> None:
    """Serve until SIGINT or SIGTERM, which end it once the requests under way are answered.

    Args:
        url: the store.
        address: host and port to listen on; port 0 takes a free one.
        threads: requests served at once.
        workspace_metrics: name workspaces in ``/metrics``.
        ready: called with the port as soon as requests are taken.

    Raises:
        Refused: the address cannot be listened on.
        UsageError: a malformed URL.
        UnsupportedServer, FlagConflict: as :func:`create_app`.
    """
    client = _client(url, threads)
    app = create_app(client, Settings.from_env(), threads=threads, workspace_metrics=workspace_metrics)
    listener = _listener(*address)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        server(app, lambda: ready(listener.getsockname()[1])).run([listener])
    finally:
        client.close()


def server(app: FastAPI, ready: Callable[[], None]) -> uvicorn.Server:
    """What serves an application; ``ready`` is called as soon as requests are taken."""
    config = uvicorn.Config(
        app,
        access_log=False,  # ours says the route, not the path with its query
        http=Protocol,
        lifespan="on",
        log_config=None,
        proxy_headers=False,  # nothing here asks who or how the client is
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws="none",
    )
    return _Server(config, ready)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # A second signal ends it at once, whichever it is.
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)


def _client(url: str, threads: int) -> "redis.Redis":
    # The job store sends again by itself; a second loop around each command would multiply the wait.
    retry = Retry(NoBackoff(), 0)
    try:
        return redis.Redis.from_url(
            url,
            retry=retry,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_REPLY_SECONDS,
            max_connections=threads + HEALTH_THREADS,
        )
    except ValueError as error:
        msg = f"invalid --redis-url: {error}"
        raise UsageError(msg) from None


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Refused(f"cannot listen on {host}:{port}", [str(error)]) from None
