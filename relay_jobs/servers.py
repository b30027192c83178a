"""The Redis server at the other end: whether it is supported, and which server process it is."""

from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.exceptions import ResponseError

from relay_jobs.errors import UnsupportedServer

MINIMUM = (7, 0)
CLIENT_NAME = "relay-jobs"


@dataclass(frozen=True, slots=True)
class Server:
    """Identity of a server process and the database on it.

    ``run_id`` changes with every start of the server, and with it the meaning of every SCAN cursor.
    """

    run_id: str
    version: str
    host: str
    port: int
    db: int

    @property
    def target(self) -> str:
        """Host, port, database and process, without credentials."""
        return f"{self.host}:{self.port} db {self.db} (server process {self.run_id[:12]})"


def identify(client: "redis.Redis") -> Server:
    """Ask a server who it is.

    Raises:
        UnsupportedServer: a cluster, a version below 7.0, or a server that does not answer INFO.
    """
    refuse_cluster_client(client)
    try:
        info: dict[str, Any] = client.info("server")
    except ResponseError as error:
        msg = f"the server does not answer INFO server ({error}); it is needed to tell server processes apart"
        raise UnsupportedServer(msg) from error
    _require_supported(info)
    kwargs = client.connection_pool.connection_kwargs
    return Server(
        run_id=str(info["run_id"]),
        version=str(info.get("valkey_version") or info["redis_version"]),
        host=str(kwargs.get("host") or kwargs.get("path") or "localhost"),
        port=int(kwargs.get("port") or info.get("tcp_port") or 0),
        db=int(kwargs.get("db") or 0),
    )


def require_supported(client: "redis.Redis") -> None:
    """Refuse a server on which the job store's atomic steps would not be atomic.

    Raises:
        UnsupportedServer: a cluster, or a version below 7.0.
    """
    refuse_cluster_client(client)
    try:
        _require_supported(client.info("server"))
    except ResponseError as error:
        # A server that hides INFO can still run the job store; only the engines need to know the process.
        if "unknown command" not in str(error).lower() and "permission" not in str(error).lower():
            raise


def bytes_client(client: "redis.Redis") -> "redis.Redis":
    """A client of the same server whose replies are bytes: ids and values need not be UTF-8.

    Raises:
        UnsupportedServer: a cluster client.
    """
    refuse_cluster_client(client)
    pool = client.connection_pool
    if not pool.connection_kwargs.get("decode_responses"):
        return client
    kwargs = {**pool.connection_kwargs, "decode_responses": False}
    return redis.Redis(connection_pool=type(pool)(connection_class=pool.connection_class, **kwargs))


def read_hash(client: "redis.Redis", key: bytes) -> dict[bytes, bytes]:
    """All fields of a hash, empty if it is absent."""
    return cast("dict[bytes, bytes]", client.hgetall(key))


def name_connections(client: "redis.Redis") -> None:
    """Let every connection of this client say that it uses the library: the evidence for "no old process is left"."""
    pool, own = client.connection_pool, client.connection
    given = pool.connection_kwargs.get("client_name") or ""
    if given.startswith(CLIENT_NAME):
        return
    name = f"{CLIENT_NAME}:{given}" if given else CLIENT_NAME
    pool.connection_kwargs["client_name"] = name
    # A connection that was made before keeps its name over a reconnect, so those that are idle are not used again.
    if own is None:
        pool.disconnect(inuse_connections=False)
        pool.reset()
    else:
        own.client_name = name
        own.disconnect()


def refuse_cluster_client(client: object) -> None:
    """Refuse a client of redis-py that spreads keys over a cluster."""
    if not hasattr(client, "connection_pool"):
        raise UnsupportedServer(_CLUSTER)


_CLUSTER = (
    "this is a Redis Cluster: the two keys of a job hash to different slots there, so that no step over both "
    "can be atomic; use a standalone server"
)


def _require_supported(info: dict[str, Any]) -> None:
    if info.get("redis_mode") == "cluster":
        raise UnsupportedServer(_CLUSTER)
    text = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in text.split(".")[:2]) < MINIMUM:
        msg = f"server version {text} is too old: Redis 7.0 and up and Valkey are supported"
        raise UnsupportedServer(msg)
