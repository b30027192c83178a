"""What will happen when, derived from the seed and nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass

KILL, STALL, FLIP, BEFORE, AFTER, CUT, RESTART, PROMOTE = (
    "kill",
    "stall",
    "flip",
    "cut before",
    "cut after",
    "cut all",
    "restart",
    "promote",
)
KINDS = (KILL, STALL, FLIP, BEFORE, AFTER, CUT, RESTART, PROMOTE)

ANY, BACKFILL, VERIFY, VERIFIED = "", "backfill", "verify", "verified"
"""Moments that an event can wait for: any, such a command under way, a scope that is proven and about to move up."""

COMMANDS = ("backfill", "verify", "stage")
VICTIMS = ("writer", "worker", "reader", "lister", "deleter", "old", "inspector", *COMMANDS)

_MEAN_SECONDS = 1.1
_SERVER_EVERY = 11.0
_DECK = (KILL, KILL, KILL, STALL, FLIP, FLIP, BEFORE, AFTER, AFTER, CUT)
_QUIET_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is done to the run: not before ``at`` seconds, and when its moment has come."""

    at: float
    kind: str
    target: str = ""
    moment: str = ANY

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.target, self.moment and f"({self.moment})") if part)


def schedule(seed: int, seconds: float) -> list[Event]:
    """Each kind of event at least once, each victim in turn, and the servers now and then."""
    dice = random.Random(f"schedule {seed}")
    return sorted([*_small(dice, seconds), *_server(dice, seconds)], key=lambda event: event.at)


def _small(dice: random.Random, seconds: float) -> list[Event]:
    events: list[Event] = []
    deck: list[str] = []
    victims: list[str] = []
    at = _QUIET_SECONDS
    while at < seconds or len(events) < len(_DECK):
        if not deck:
            deck = dice.sample(_DECK, len(_DECK))
        kind = deck.pop()
        target = ""
        if kind == KILL:
            if not victims:
                victims = [*dice.sample(VICTIMS, len(VICTIMS)), "backfill"]
            target = victims.pop()
        elif kind in {STALL, FLIP}:
            target = dice.choice(("writer", "worker", "deleter") if kind == FLIP else ("worker", "writer", "reader"))
        events.append(Event(round(at, 2), kind, target, target if target in COMMANDS else ANY))
        at += dice.uniform(0.4, 1.6) * _MEAN_SECONDS
    return events


def _server(dice: random.Random, seconds: float) -> list[Event]:
    """The first ones each wait for the moment in which they void the most."""
    kinds, moments = dice.sample((RESTART, PROMOTE), 2), [*dice.sample((BACKFILL, VERIFIED), 2), VERIFY]
    events: list[Event] = []
    at = dice.uniform(3, 5)
    while at < seconds or len(events) < 2:
        number = len(events)
        # After six of them each kind has met each moment.
        events.append(Event(round(at, 2), kinds[number % 2], "", moments[number % 3]))
        at += dice.uniform(0.6, 1.4) * _SERVER_EVERY
    return events
