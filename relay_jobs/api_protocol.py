"""HTTP as it is read from a connection: bounded before and between the parts of a body, and refused as problem JSON."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from relay_jobs.api_middleware import HEADERS
from relay_jobs.api_problems import BAD_REQUEST, Problem, response

# Of a request's line and headers; also of whatever has begun and does not end: a head, a chunk's line, trailers.
HEAD_MAX_BYTES = 64 * 1024
_BODY = (b"content-length", b"transfer-encoding")


class Protocol(HttpToolsProtocol):
    """llhttp by httptools, which alone bounds nothing and takes trailers for headers."""

    _unfinished = 0
    _size = 0
    _hosts = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > HEAD_MAX_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request."""
        super().on_message_begin()
        self._size = self._hosts = 0
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what stands behind the body is none, whatever its name."""
        if self._in_head:
            super().on_header(name, value)
            self._size += len(name) + len(value)
            self._hosts += name.lower() == b"host"

    def on_headers_complete(self) -> None:
        """The end of a head."""
        self._unfinished, self._in_head = 0, False
        unnamed = self._hosts == 0 and self.parser.get_http_version() == "1.1"
        if unnamed or self._hosts > 1 or self._size + len(self.url) > HEAD_MAX_BYTES:
            # The parser takes it for an error of its own, and so ends here.
            raise ValueError
        upgrade = self.parser.should_upgrade()
        if upgrade and any(name in _BODY and value != b"0" for name, value in self.headers):
            # The parser takes the body for another protocol.
            raise ValueError
        super().on_headers_complete()
        if upgrade:
            # Answered as if it had not asked; what the parser took for another protocol was the next request.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._unfinished = 0
        super().on_message_complete()

    def send_400_response(self, _: str) -> None:
        """Refuse what is no HTTP like everything else; nothing more is read."""
        # None until the first request has a head, whatever its type says.
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                # It stands behind a request that is under way: that one is answered first, and only that one.
                cycle.keep_alive = False
                return
            if self.pipeline:
                # Its own request would be answered before an earlier one.
                self.transport.close()
                return
        refusal = response(Problem(BAD_REQUEST))
        headers = [*refusal.raw_headers, *HEADERS, (b"connection", b"close")]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[refusal.status_code] + head + b"\r\n" + bytes(refusal.body))
        self.transport.close()
