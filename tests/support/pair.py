"""A primary and its replica behind one address, and a failover of it."""

from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.proxy import Proxy
from tests.servers import Process, follow, free_port, until


@dataclass
class Pair:
    """Clients reach whichever is the primary through the proxy."""

    primary: Process
    replica: Process
    proxy: Proxy

    def client(self, **options: Any) -> redis.Redis:
        """A client that comes back after a failover."""
        patient = {"host": "127.0.0.1", "port": self.proxy.port, "retry": Retry(ConstantBackoff(0.01), 500)}
        client = redis.Redis(**{**patient, **options})
        self.primary.opened.append(client)
        return client

    def follow(self) -> None:
        """Wait until the replica has all that the primary has."""
        with self.primary.client() as primary, self.replica.client() as replica:
            follow(primary, replica)

    def part(self) -> None:
        """What the primary acknowledges from now on never reaches the replica."""
        self.follow()
        with self.replica.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", free_port())

    def promote(self) -> None:
        """The primary dies at once, and the replica takes over with what it has."""
        self.primary.process.kill()
        self.primary.process.wait(5)
        with self.replica.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
            until(lambda: client.info("replication")["role"] == "master", "the replica is not promoted")
        self.proxy.point(self.replica.port)

    def fail_over(self) -> None:
        """The same with a replica that is in step."""
        self.follow()
        self.promote()
