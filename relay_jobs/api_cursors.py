"""Cursors as tenants see them: the listing's own, signed together with the workspace and filter that they belong to."""

import base64
import hmac
import re
import secrets

import redis
from redis.client import NEVER_DECODE

from relay_jobs import keys
from relay_jobs.errors import InvalidCursor

_SIGNED = re.compile(r"([A-Za-z0-9_-]{22})([A-Za-z0-9_-]+)")
_MAC_BYTES = 16
_MALFORMED = "the cursor is malformed: pass next_cursor as it was returned"


class Cursors:
    """Signs and opens cursors with a secret that all API servers of a store share, in the store itself."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._secret: bytes | None = None

    def seal(self, cursor: str | None, workspace: str, status: str) -> str | None:
        """What a tenant gets."""
        return None if cursor is None else self._mac(cursor, workspace, status) + cursor

    def open(self, sealed: str | None, workspace: str, status: str) -> str | None:
        """The listing's cursor.

        Raises:
            InvalidCursor: not made here, or for another workspace or status.
        """
        if sealed is None:
            return None
        parts = _SIGNED.fullmatch(sealed)
        if parts is None:
            raise InvalidCursor(_MALFORMED)
        mac, cursor = parts.groups()
        if not hmac.compare_digest(mac, self._mac(cursor, workspace, status)):
            raise InvalidCursor(_MALFORMED)
        return cursor

    def _mac(self, cursor: str, workspace: str, status: str) -> str:
        # None of the three can hold a newline.
        said = f"{workspace}\n{status}\n{cursor}".encode()
        packed = hmac.digest(self._key(), said, "sha256")[:_MAC_BYTES]
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    def _key(self) -> bytes:
        if self._secret is None:
            found = self._read()
            if found is None:
                # Whoever comes first makes it.
                self._client.set(keys.CURSOR_SECRET, secrets.token_hex(32), nx=True)
                found = self._read()
            self._secret = found or b""
        return self._secret

    def _read(self) -> bytes | None:
        reply: bytes | None = self._client.execute_command("GET", keys.CURSOR_SECRET, **{NEVER_DECODE: []})
        return reply
