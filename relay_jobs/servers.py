"""The Redis server at the other end: whether it is supported, and which server process it is."""

import re
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.exceptions import NoPermissionError, ResponseError
from redis.sentinel import SentinelConnectionPool

from relay_jobs.errors import UnsupportedServer

MINIMUM = (7, 0)
CLIENT_NAME = "relay-jobs"


@dataclass(frozen=True, slots=True)
class Server:
    """Identity of a server process and the database on it.

    ``run_id`` changes with every start of the server, and with it the meaning of every SCAN cursor. ``evicts`` is the
    policy by which it removes keys when its memory is full, '' if it removes none.
    """

    run_id: str
    version: str
    host: str
    port: int
    db: int
    replica: bool = False
    evicts: str = ""

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    @property
    def target(self) -> str:
        """Host, port, database and process, without credentials."""
        return f"{self.address} db {self.db} (server process {self.run_id[:12]})"

    @property
    def unwritable(self) -> tuple[str, ...]:
        """Every reason why no job may be copied here, each with what ends it."""
        reasons = []
        if self.replica:
            reasons.append(REPLICA.format(self.address))
        if self.evicts:
            reasons.append(EVICTS.format(self.evicts))
        return tuple(reasons)


REPLICA = "{} is a replica, which takes no writes: name the primary"
EVICTS = (
    "maxmemory-policy is {}: when its memory is full, the server removes jobs by itself, one copy at a time, and "
    "even the recorded stage; second copies would fill it. 'CONFIG SET maxmemory-policy noeviction'"
)


def identify(client: "redis.Redis") -> Server:
    """Ask a server who it is.

    Raises:
        UnsupportedServer: a cluster, a version below 7.0, or a server that does not answer INFO.
    """
    refuse_cluster_client(client)
    try:
        info: dict[str, Any] = client.info("server", "replication", "memory")
        _require_supported(info)
    except ResponseError as error:
        # Below 7.0 INFO takes one section.
        _require_supported(_hello(client))
        msg = f"the server does not answer INFO ({error}); it is needed to tell server processes apart"
        raise UnsupportedServer(msg) from error
    kwargs = client.connection_pool.connection_kwargs
    found_at = getattr(client.connection_pool, "master_address", None) or (kwargs.get("host"), kwargs.get("port"))
    return Server(
        run_id=str(info["run_id"]),
        version=str(info.get("valkey_version") or info["redis_version"]),
        host=str(found_at[0] or kwargs.get("path") or "localhost"),
        port=int(found_at[1] or info.get("tcp_port") or 0),
        db=int(kwargs.get("db") or 0),
        replica=info.get("role") == "slave",
        evicts=_evicts(info),
    )


def require_supported(client: "redis.Redis") -> str:
    """Refuse a server on which the job store's atomic steps would not be atomic; why it is not ideal, '' if it is.

    A server that hides INFO can still run the job store: every user may ask HELLO what it is. Only the engines need to
    know the process.

    Raises:
        UnsupportedServer: a cluster, a version below 7.0, or a server that does not say what it is.
    """
    refuse_cluster_client(client)
    try:
        _require_supported(client.info("server"))
        evicts = _evicts(client.info("memory"))
    except ResponseError as error:
        if not is_denied(error):
            raise
        _require_supported(_hello(client))
        return ""
    return EVICTS.format(evicts) if evicts else ""


def is_denied(error: ResponseError) -> bool:
    """Whether a command was refused because this user may not run it, or this server does not have it."""
    return isinstance(error, NoPermissionError) or "unknown command" in str(error).lower()


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
    if isinstance(pool, SentinelConnectionPool):
        kwargs |= {"is_master": pool.is_master, "check_connection": pool.check_connection}
        kwargs |= {"service_name": pool.service_name, "sentinel_manager": pool.sentinel_manager}
        # Its connections are to belong to the new pool.
        del kwargs["connection_pool"]
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


def _hello(client: "redis.Redis") -> dict[str, Any]:
    """What HELLO says, by INFO's names; access control denies it to nobody."""
    # On a connection of its own: some servers take HELLO for a change of protocol.
    pool = client.connection_pool
    connection = pool.connection_class(**{**pool.connection_kwargs, "decode_responses": False})
    try:
        connection.connect()
        connection.send_command("HELLO")
        reply = connection.read_response()
    except ResponseError as error:
        msg = f"the server says neither by INFO nor by HELLO what it is ({error})"
        raise UnsupportedServer(msg) from error
    finally:
        connection.disconnect()
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    said = {name.decode(): value.decode() for name, value in pairs if isinstance(value, bytes)}
    # Whatever calls itself otherwise counts its versions otherwise, and is judged by the commands that it has.
    ours = said.get("server") in {"redis", "valkey"}
    return {"redis_mode": said.get("mode")} | ({"redis_version": said.get("version")} if ours else {})


def _evicts(info: dict[str, Any]) -> str:
    policy = str(info.get("maxmemory_policy", "noeviction"))
    return policy if info.get("maxmemory") and policy != "noeviction" else ""


def _require_supported(info: dict[str, Any]) -> None:
    # Valkey names it server_mode.
    if "cluster" in {info.get("redis_mode"), info.get("server_mode")}:
        raise UnsupportedServer(_CLUSTER)
    text = str(info.get("redis_version", "7.0"))
    if tuple(int(part) for part in re.findall(r"\d+", text)[:2]) < MINIMUM:
        msg = f"server version {text} is too old: Redis 7.0 and up and Valkey are supported"
        raise UnsupportedServer(msg)
