"""Processes with the library that go on working, as threads, and what each of their calls was told."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis

from relay_jobs import JobStore
from tests.engines.world import equal
from tests.store.records import enqueue, new_store, scoped


class Traffic:
    """Two writers that go through jobs once: they delete every fourth, finish the others, and enqueue new ones."""

    def __init__(self, client: redis.Redis, names: Sequence[str]) -> None:
        self._client = client
        self.told: dict[str, Any] = {}
        self.deleted: set[str] = set()
        self._failures: list[Exception] = []
        self._threads = [threading.Thread(target=self._run, args=(names[part::2],)) for part in (0, 1)]

    def during(self, act: Callable[[int], object]) -> int:
        """Act again and again for as long as the writers work; how often."""
        rounds = 0
        for thread in self._threads:
            thread.start()
        while any(thread.is_alive() for thread in self._threads):
            rounds += 1
            act(rounds)
        assert self._failures == []
        return rounds

    def nothing_lost(self) -> bool:
        """Whether readers see what each writer was told, both copies are equal, and no deleted job is back."""
        reader = new_store(self._client)
        jobs = {name: reader.get_job(name, "acme") for name in self.told}
        return (
            all(job is not None and job.result == self.told[name] for name, job in jobs.items())
            and all(equal(self._client, name) for name in self.told)
            and not any(reader.get_job(name, "acme") for name in self.deleted)
            and not any(self._client.exists(scoped(name)) for name in self.deleted)
        )

    def _run(self, names: Sequence[str]) -> None:
        store = new_store(self._client)
        try:
            for turn, name in enumerate(names):
                self._work(store, turn, name)
        except Exception as error:  # noqa: BLE001 -- told to the test's own thread
            self._failures.append(error)

    def _work(self, store: JobStore, turn: int, name: str) -> None:
        if turn % 4 == 0:
            store.delete_job(name, "acme")
            self.deleted.add(name)
        else:
            store.update_status(name, "running", "acme")
            self.told[name] = store.update_status(name, "completed", "acme", result={"n": turn}).result
        self.told[enqueue(store)] = None
