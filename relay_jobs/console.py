"""The command line's frame: connecting, exit codes, signals, and output for a person or a program."""

import getpass
import json
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from types import FrameType
from typing import Any

import redis
import typer
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from relay_jobs.errors import RelayJobsError, UsageError
from relay_jobs.migration import Migration
from relay_jobs.settings import Settings

# A server restart is outlived; a server that is down at the start is said at once.
_PATIENT_RETRIES, _FIRST_RETRIES = 12, 1
_CONNECT_SECONDS, _REPLY_SECONDS = 5.0, 60.0


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    COULD_NOT_RUN = 1
    USAGE = 2
    NEEDS_EYES = 3


class Stop:
    """SIGINT and SIGTERM end the work after the batch under way; a second signal ends it at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle both signals inside the block."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def wanted(self) -> bool:
        """Whether a signal has come, or a partition has failed."""
        return self._event.is_set()

    def sleep(self, seconds: float) -> None:
        """Rest, but not beyond a signal."""
        self._event.wait(seconds)

    def give_up(self) -> None:
        """End the other partitions' walks too."""
        self._event.set()

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        self._event.set()
        signal.signal(number, signal.SIG_DFL)


@dataclass(slots=True)
class Console:
    """One invocation: where its server is, and how it talks.

    Attributes:
        url: the server.
        as_json: one object on stdout and nothing else; all talk goes to stderr then.
        stop: signals.
        run: its name as a holder of leases.
    """

    url: str
    as_json: bool
    stop: Stop = field(default_factory=Stop)
    run: str = field(default_factory=lambda: f"cli:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")

    def migration(self) -> Migration:
        """Connect; a server that is down is said at once, later it is waited for."""
        first = self._client(_FIRST_RETRIES)
        first.ping()
        first.close()
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        return Migration(self._client(_PATIENT_RETRIES), Settings.from_env(), who=who, sleep=self.stop.sleep)

    def say(self, text: str = "") -> None:
        """A line for a person."""
        typer.echo(text, err=self.as_json)

    def warn(self, text: str) -> None:
        """A line that needs eyes."""
        typer.secho(text, err=self.as_json, fg=typer.colors.YELLOW)

    def answer(self, values: Mapping[str, Any], code: int = Exit.DONE) -> None:
        """The object for a program, and the exit code."""
        if self.as_json:
            typer.echo(json.dumps(values))
        if code:
            raise typer.Exit(code)

    def name_target(self, migration: Migration) -> None:
        """What is about to be written to."""
        self.say(f"target: {migration.target} · run {self.run}")

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Errors as a sentence and an exit code, never a traceback of ours."""
        try:
            with self.stop.listening():
                yield
        except UsageError as error:
            self._fail(error, Exit.USAGE)
        except (RelayJobsError, RedisError, OSError) as error:
            self._fail(error, Exit.COULD_NOT_RUN)
        if self.stop.signal is not None:
            raise typer.Exit(128 + self.stop.signal)

    @contextmanager
    def reading(self) -> Iterator[Migration]:
        """Connected and guarded."""
        with self.guarded():
            yield self.migration()

    @contextmanager
    def writing(self) -> Iterator[Migration]:
        """The same, and what is about to be written to is named first."""
        with self.reading() as migration:
            self.name_target(migration)
            yield migration

    def _fail(self, error: Exception, code: int) -> None:
        if self.stop.signal is not None:
            code = 128 + self.stop.signal
        typer.secho(f"{_kind(error)}{error}", err=True, fg=typer.colors.RED)
        if self.as_json:
            typer.echo(json.dumps({"error": type(error).__name__, "message": str(error), "exit_code": code}))
        raise typer.Exit(code) from None

    def _client(self, retries: int) -> "redis.Redis":
        retry = Retry(ExponentialWithJitterBackoff(cap=2.0, base=0.05), retries)
        try:
            return redis.Redis.from_url(
                self.url, retry=retry, socket_connect_timeout=_CONNECT_SECONDS, socket_timeout=_REPLY_SECONDS
            )
        except ValueError as error:
            msg = f"invalid --redis-url: {error}"
            raise UsageError(msg) from None


def _kind(error: Exception) -> str:
    return "the server cannot be used: " if isinstance(error, RedisError | OSError) else ""


def in_threads(jobs: list[Callable[[], None]], stop: Stop) -> None:
    """Run all of them side by side; the first failure ends the others after their batch and is raised."""
    failures: list[Exception] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except (RelayJobsError, RedisError, OSError) as error:
            failures.append(error)
            stop.give_up()

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            # With a limit, so that signals are handled meanwhile.
            thread.join(0.2)
    if failures:
        raise failures[0]
