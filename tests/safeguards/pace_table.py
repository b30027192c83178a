"""Safeguards of a walk's politeness: its turns, the time of a step, what slows it down, and hibernation."""

from tests.safeguards.edits import Edit
from tests.safeguards.safeguard import guard, lua

POLITENESS = (
    guard(
        "a step knows the time on Redis 7.0 too",
        "pace",
        "a batch of large jobs blocks a server whose scripts have no clock",
        lua(
            "engine",
            "  return function() return began > 0 and call('PTTL', K.lease) <= over end\n",
            "  return function() return false end\n",
        ),
    ),
    guard(
        "a critical limit stops",
        "pace",
        "a server is filled up to its last byte",
        Edit("pace.py", "            self.hibernating |= limit.stops and excess >= stop_at\n", ""),
    ),
    guard(
        "a crowd of blocked clients never stops a walk",
        "pace",
        "workers that wait for jobs stop the migration for good",
        Edit("pace.py", "|= limit.stops and excess", "|= excess"),
    ),
    guard(
        "who hibernates goes on when half of the way back is made",
        "pace",
        "a walk wakes up with every byte that becomes free",
        Edit("pace.py", "stop_at = 0.5 if self.hibernating else 1.0", "stop_at = 1.0"),
    ),
    guard(
        "an overrun is answered at once",
        "pace",
        "ten steps of large jobs go by before they become smaller",
        Edit("pace.py", "        if used > OVERRUN * self.budget * STEP_PART:\n", "        if False:\n"),
    ),
    guard(
        "a step grows by half at most",
        "pace",
        "a few short steps are followed by a very long one",
        Edit("pace.py", "growth = min(GROWTH, max(", "growth = min(1000, max("),
    ),
    guard(
        "a long delay is answered at once",
        "pace",
        "tenants wait through ten steps before a walk slows down",
        Edit("pace.py", "        if delay > OVERRUN * self.budget:\n", "        if False:\n"),
    ),
    guard(
        "a felt delay halves the share",
        "pace",
        "tenants wait for as long as the walk lasts",
        Edit("pace.py", "            self._slow_down(2, delay)\n", "            pass\n"),
    ),
    guard(
        "a walk leaves the server's other work its room",
        "pace",
        "a spike of load meets a walk that takes all the rest",
        Edit("pace.py", "self._cap = max(FLOOR, BUSY - others)", "self._cap = BUSY"),
    ),
    guard(
        "a walk moves however slow it is",
        "pace",
        "a walk that was slowed down comes to a stop",
        Edit("pace.py", "self.share = max(FLOOR, self.share / by)", "self.share = self.share / by"),
    ),
    guard(
        "a clock that was set has measured nothing",
        "pace",
        "after a jump of the server's clock a walk crawls for good",
        Edit("pace.py", "if self.budget is None or used < 0 or waited < 0:", "if self.budget is None:"),
    ),
    guard(
        "no rest is longer than a lease bears",
        "9",
        "a walk loses its lease while it rests",
        Edit("pace.py", "return min(REST_MOST, sum(", "return min(1e9, sum("),
    ),
    guard(
        "a replica that is silent is behind",
        "pace",
        "a replica that is gone is overrun",
        Edit("stepping.py", 'float(replica.get("lag", 0)) - 1)', "0)"),
    ),
    guard(
        "a second of a replica's own telling is no delay",
        "pace",
        "each replica holds a walk back all the time",
        Edit("stepping.py", "max(bytes_behind / writes - 1, ", "max(bytes_behind / writes, "),
    ),
)
