"""A fault that can be planted, and what each check is expected to make of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

Plant = Callable[[redis.Redis], Any]


@dataclass(frozen=True)
class Fault:
    """One fault; every variant of it has to look the same to every check.

    Attributes:
        name: what is wrong, as the page says it.
        variants: ways to plant it, by name.
        servers: where it can be planted.
        note: what a person should know of it, if no check finds it.
    """

    name: str
    variants: dict[str, Plant]
    servers: tuple[str, ...] = ("valkey", "redis7")
    note: str = ""


# What a check shows: the same in every stage, or by stage.
Cell = str | dict[str, str]


def shown(cell: Cell, stage: str) -> str:
    """What is expected in a stage; a group of stages is written as its names with a space."""
    if isinstance(cell, str):
        return cell
    (found,) = [text for stages, text in cell.items() if stage in stages.split()]
    return found
