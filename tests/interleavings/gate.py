"""A client that asks before every command: the command is held until whoever schedules the run lets it through."""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import redis
from redis.client import Pipeline

from relay_jobs import migration, store
from relay_jobs.scripting import Script

Ask = Callable[[str], None]

assert migration, store  # every module that loads a script is imported with these two


@cache
def scripts() -> dict[str, Script]:
    """Every script of the library by its digest."""
    modules = [module for name, module in sys.modules.items() if name.startswith("relay_jobs.")]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Script)]
    return {script.sha: script for script in found}


def load_scripts(client: redis.Redis) -> None:
    """Make them known, so that a schedule never depends on which run was the first."""
    for sha, script in scripts().items():
        assert client.script_load(script.text) == sha


def label(command: tuple[Any, ...]) -> str:
    """What a command is called in a printed run."""
    name = str(command[0])
    if name.startswith("EVAL") and command[1] in scripts():
        return ("read-only " if name.endswith("_RO") else "") + scripts()[command[1]].name
    told = command[: 2 if name == "LPUSH" else 3]
    words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in told]
    return " ".join(words)


class GatedPipeline(Pipeline):
    """What is sent at once passes the gate once."""

    ask: Ask

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Ask, then send."""
        if self.command_stack:
            self.ask(" + ".join(label(args) for args, _ in self.command_stack))
        return super().execute(raise_on_error)


class GatedRedis(redis.Redis):
    """A client whose every command passes ``ask`` first."""

    ask: Ask

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Ask, then send."""
        self.ask(label(args))
        return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """A pipeline that asks too."""
        pipe = GatedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipe.ask = self.ask
        return pipe
