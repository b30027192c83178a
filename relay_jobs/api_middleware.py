"""Around every request: headers of its response, one line in the log, one count, and no exception that gets out."""

import logging
import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay_jobs.api_metrics import ApiMetrics, known_method
from relay_jobs.api_problems import INTERNAL, Problem, response

HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
# What is counted if the client has gone before the response began, as nginx says it.
_CLIENT_GONE = 499

_log = logging.getLogger(__name__)


class Envelope:
    """The outermost layer of ours; it logs by key id and route, and counts by route: never by path, query or header.

    Args:
        app: what it is around.
        metrics: where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), _CLIENT_GONE

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            # Nobody is left to be answered.
            pass
        except Exception as error:  # noqa: BLE001 -- the door: whatever it is, nothing of it may reach log or client
            # Its type only: the text may quote what was sent.
            _log.error("%s at %s", type(error).__name__, _raised_at(error))
            if status == _CLIENT_GONE:
                await response(Problem(INTERNAL))(scope, receive, sending)
        finally:
            route, method = template(scope), known_method(scope["method"])
            seconds = time.perf_counter() - began
            self._metrics.answered(route, method, status, seconds)
            key = scope.get("state", {}).get("key_id", "none")
            _log.info("%s %s %d %.1f ms, key %s", method, route or "(no such route)", status, seconds * 1000, key)


def template(scope: Scope) -> str | None:
    """The route's path as it is documented, whatever the request's own path was."""
    route: Any = scope.get("route")
    path: str | None = getattr(route, "path_format", None)
    return path


def _raised_at(error: Exception) -> str:
    """Module and line, which say no more of the request than the code does."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "unknown"
