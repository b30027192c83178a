"""A fakeredis with what the engines need besides: INFO, scripts that may only read, redis.sha1hex, true copies."""

import hashlib
import re
import time
import uuid
from collections.abc import Iterator
from copy import copy, deepcopy
from fnmatch import translate
from typing import Any, ClassVar

import fakeredis
import redis
from fakeredis._command_args_parsing import Int
from fakeredis._commands import Signature
from fakeredis._helpers import SimpleError
from fakeredis._msgs import FLAG_NO_SCRIPT, SCRIPT_READ_ONLY_WRITE_MSG
from fakeredis._socket import FakeSocket
from fakeredis.model import is_write_command


class EngineServer(fakeredis.FakeServer):
    """One server process, told apart by its ``run_id``."""

    def __init__(self) -> None:
        super().__init__(version=(7, 0))
        self.run_id = uuid.uuid4().hex

    def restart(self) -> None:
        """Another process with the same data: it knows no script, and no cursor of the one before."""
        self.run_id = uuid.uuid4().hex
        self.script_cache.clear()
        self.scan_cursors.clear()

    def contents(self, pattern: str) -> Iterator[tuple[bytes, str, Any, int]]:
        """Key, type, value and absolute expiry in milliseconds (-1 without) of what has a name of this pattern."""
        database, wanted = self.dbs[0], re.compile(translate(pattern))
        database.time = time.time()
        for key in [key for key in database if wanted.match(key.decode("latin-1"))]:
            item = database[key]
            expires = -1 if item.expireat is None else round(item.expireat * 1000)
            if isinstance(item.value, bytes | list):
                kind = "string" if isinstance(item.value, bytes) else "list"
                yield key, kind, copy(item.value), expires
            else:
                kind = item.value.model_type().decode()
                yield key, kind, set(item.value) if kind == "set" else dict(item.value.items()), expires

    def client(self, **options: Any) -> redis.Redis:
        """A client of it."""
        return fakeredis.FakeRedis(server=self, connection_class=_Connection, **options)


class _Socket(FakeSocket):
    """Not registered with fakeredis' own commands: its ordinary clients shall go on not knowing these."""

    _ours: ClassVar[dict[str, Signature]] = {
        "info": Signature("info", "info", (), (bytes,)),
        "eval_ro": Signature("eval_ro", "eval_ro", (bytes, Int), (bytes,), flags=FLAG_NO_SCRIPT),
        "evalsha_ro": Signature("evalsha_ro", "evalsha_ro", (bytes, Int), (bytes,), flags=FLAG_NO_SCRIPT),
        "memory": Signature("memory", "memory", (bytes, bytes)),
    }
    _read_only = False

    def _name_to_func(self, name: str) -> Any:
        if name in self._ours:
            return getattr(self, self._ours[name].func_name), self._ours[name]
        return super()._name_to_func(name)

    def info(self, *sections: bytes) -> bytes:
        """The section ``server``."""
        facts = {"redis_version": "7.0.0", "redis_mode": "standalone", "run_id": self._server.run_id, "tcp_port": 0}
        return "".join(f"{name}:{value}\r\n" for name, value in {"# Server\r\nos": "fake", **facts}.items()).encode()

    def memory(self, what: bytes, key: bytes) -> int:
        """MEMORY USAGE: an estimate that does not look at the key."""
        return 500

    def copy(self, key: Any, newkey: Any, *args: bytes) -> int:
        """COPY [REPLACE]: fakeredis lets both keys share one value, so that a write to either is a write to both."""
        replaces = any(arg.lower() == b"replace" for arg in args)
        if key.key not in self._db or (newkey.key in self._db and not replaces):
            return 0
        newkey.value, newkey.expireat = deepcopy(key.value), key.expireat
        return 1

    def eval_ro(self, script: bytes, *args: Any) -> Any:
        """EVAL that refuses every write."""
        return self._reading(self.eval, script, *args)

    def evalsha_ro(self, sha: bytes, *args: Any) -> Any:
        """EVALSHA that refuses every write."""
        return self._reading(self.evalsha, sha, *args)

    def _reading(self, run: Any, *args: Any) -> Any:
        self._read_only = True
        try:
            return run(*args)
        finally:
            self._read_only = False

    def _lua_redis_call(self, runtime: Any, known: set[Any], name: bytes, *args: Any) -> Any:
        if self._read_only and is_write_command(name.lower()):
            raise SimpleError(SCRIPT_READ_ONLY_WRITE_MSG)
        return super()._lua_redis_call(runtime, known, name, *args)

    def _get_server_runtime(self, server: Any) -> Any:
        runtime = super()._get_server_runtime(server)
        runtime.globals()[b"redis"][b"sha1hex"] = lambda text: (
            hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        )
        return runtime


class _Connection(fakeredis.FakeRedisConnection):
    def _connect(self) -> _Socket:
        if not self._server.connected:
            raise redis.ConnectionError
        return _Socket(
            self._server,
            client_class=self._client_class,
            db=self.db,
            lua_modules=self._lua_modules,
            client_info=self._client_info,
        )
