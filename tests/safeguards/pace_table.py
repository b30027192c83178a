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
            "    if not often or began <= 0 then return seconds_of_server() >= over end\n    asked = asked + 1\n"
            "    return asked % 4 == 1 and seconds_of_server() >= over\n",
            "    return false\n",
        ),
    ),
    guard(
        "a step without a lease on Redis 7.0 looks at the time behind each job",
        "pace",
        "four large jobs are one step of a dry run",
        lua("engine", "if not often or began <= 0 then return", "if not often then return"),
    ),
    guard(
        "a walk's step on Redis 7.0 knows the time behind each job",
        "pace",
        "four large jobs are one step",
        lua("engine", "    if began > 0 and call('PTTL', K.lease) < expiring then return true end\n", ""),
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
        Edit("pace.py", "        if used > OVERRUN * self.allowed:\n", "        if False:\n"),
    ),
    guard(
        "a step grows by half at most",
        "pace",
        "a few short steps are followed by a very long one",
        Edit("pace.py", "growth = min(GROWTH, max(", "growth = min(1000, max("),
    ),
    guard(
        "what is waited for anyway is not taken for the walk's doing",
        "pace",
        "beside tenants that make everybody wait a walk crawls for as long as they do",
        Edit("pace.py", "self._anyway, self._known_for = delay,", "self._anyway, self._known_for = 0.0,"),
    ),
    guard(
        "what is waited for anyway is soon unknown again",
        "pace",
        "after a load that has gone a walk may make everybody wait as long as that did",
        Edit("pace.py", "self._anyway if self._known_for > 0 else 0.0", "self._anyway"),
    ),
    guard(
        "only who takes little knows what is waited for anyway",
        "pace",
        "a walk takes what it makes others wait for for what they wait for anyway",
        Edit("pace.py", "(_TRIAL if self._before_trial is None else _TRIAL_OF_ALL)", "_TRIAL_OF_ALL"),
    ),
    guard(
        "a pause is no trial",
        "pace",
        "behind a pause a walk takes what it makes others wait for for what they wait for anyway",
        Edit("pace.py", "self._calm >= 0.9 * len(self._delays)", "self._calm > 0"),
    ),
    guard(
        "a long trial is remembered for longer",
        "pace",
        "where steps are long a walk is on trial for most of the time",
        Edit("pace.py", "max(KNOWN_SECONDS, _KNOWN_TIMES * self._seconds)", "KNOWN_SECONDS"),
    ),
    guard(
        "a repair rests as its walk does",
        "pace",
        "a hundred repairs in a row take all of the server",
        Edit("stepping.py", "rest = self.pace.worked(self.used)", "rest = 0.0"),
    ),
    guard(
        "only steps count for how much a walk takes",
        "pace",
        "a walk that asks for its turn seems to take much, and crawls beside tenants that make everybody wait",
        Edit(
            "stepping.py", "since = 0.0 if self._stepped_at is None else self._began - self._stepped_at", "since = 0.0"
        ),
    ),
    guard(
        "a burst of the tenants is not felt",
        "pace",
        "each burst of the tenants costs a walk a trial",
        Edit(
            "pace.py", "len(self._delays) >= WINDOW and self._seconds >= WINDOW_SECONDS", "len(self._delays) >= WINDOW"
        ),
    ),
    guard(
        "a felt delay halves the share",
        "pace",
        "tenants wait for as long as the walk lasts",
        Edit("pace.py", "share if felt <= allowed else share / 2", "share"),
    ),
    guard(
        "a walk leaves the server's other work its room",
        "pace",
        "a spike of load meets a walk that takes all the rest",
        Edit("pace.py", "most = max(FLOOR, BUSY - others)", "most = BUSY"),
    ),
    guard(
        "a walk moves however slow it is",
        "pace",
        "a walk that was slowed down comes to a stop",
        Edit("pace.py", "self.now = max(FLOOR, min(self.most, share))", "self.now = min(self.most, share)"),
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
        Edit("pace.py", "return min(REST_MOST, ", "return min(1e9, "),
    ),
    guard(
        "no rest behind a repair is longer than a lease bears",
        "9",
        "a walk loses its lease while it rests behind a repair that took long",
        Edit(
            "pace.py", "return min(seconds / self.share - seconds, REST_MOST)", "return seconds / self.share - seconds"
        ),
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
    guard(
        "an idle server gives the share back at once",
        "pace",
        "a hiccup in the first second costs a walk two more, and it misses its rate",
        Edit("pace.py", '            self.now, self.felt, self._before_trial = most, "", None\n', "            pass\n"),
    ),
    guard(
        "a wait at an idle server calls for a look",
        "pace",
        "a load that comes right after a look is met at full pace for a second",
        Edit("pace.py", "self.startled = self.startled or delay > self.budget", "pass"),
    ),
    guard(
        "a startled walk looks again soon",
        "pace",
        "a load that comes right after a look is met at full pace for a second",
        Edit("stepping.py", "LOOK_AGAIN_SECONDS if self.pace.startled else LOOK_SECONDS", "LOOK_SECONDS"),
    ),
    guard(
        "a walk looks before its first step",
        "pace",
        "each partition begins with a step on a server that has no room for it",
        Edit("backfill.py", "        steps.look()\n        # Its next turn", "        # Its next turn"),
    ),
    guard(
        "a walk takes turns",
        "pace",
        "a tenant's command waits behind a row of walks",
        lua(
            "walk_batch",
            "    if turn > now then\n",
            "    if false then\n",
        ),
    ),
    guard(
        "a step leaves the next turn behind",
        "pace",
        "a tenant's command waits behind a row of walks",
        lua("walk_batch", "'row', integer(state == 'more' and turn + spacing or turn),\n    ", ""),
    ),
    guard(
        "a walk that comes anew takes a turn of its own",
        "pace",
        "walks that begin together have the same turn, and a tenant's command waits behind all of them",
        lua("walk_batch", "      redis.pcall('HSET', K.bucket, 'row', integer(turn + spacing))\n", ""),
    ),
    guard(
        "a walk on the heels of another gets a new turn",
        "pace",
        "walks that are late come at one moment, and a tenant's command waits behind all of them",
        lua(
            "walk_batch", "not turn and row > now or step > now and not (turn and turn > now)", "not turn and row > now"
        ),
    ),
    guard(
        "who is in time keeps its place behind one who is late",
        "pace",
        "a walk that is always a little late keeps the one behind it from its turn for good",
        lua("walk_batch", "if not turn or now - turn > spacing / 5 then", "if true then"),
    ),
    guard(
        "a turn that is long past is none",
        "pace",
        "after a pause all walks step at one moment",
        lua("walk_batch", " or turn < now - math.max(1000000, spacing)) then turn = nil", ") then turn = nil"),
    ),
    guard(
        "turns begin anew when the clock is set back",
        "pace",
        "walks rest for as long as the clock was set back by",
        lua("walk_batch", "  if row > now + CLOCK_SET then row, step = now, now end\n", ""),
    ),
    guard(
        "a walk's own turn is void when the clock is set back",
        "pace",
        "a walk rests for as long as the clock was set back by",
        lua("walk_batch", "turn > now + CLOCK_SET or ", ""),
    ),
    guard(
        "walks tell each other what they take of the server",
        "pace",
        "each of eight walks takes the others for tenants, and all of them crawl",
        lua("walk_batch", ", 'walked', integer(taken))", ")"),
    ),
    guard(
        "the work of other walks is not taken for tenants'",
        "pace",
        "each of eight walks takes the others for tenants, and all of them crawl",
        Edit("pace.py", "taken = used if since is None else since", "taken = used"),
    ),
    guard(
        "a turn counts from when the step was at work",
        "pace",
        "a walk comes before its turn, and asks again and again",
        Edit("stepping.py", "self._began + queued + spacing", "self._began + spacing"),
    ),
    guard(
        "steps of several walks are apart by their ninth and more",
        "pace",
        "between the steps of several walks there is no gap for a tenant's command",
        Edit("pace.py", "apart = 0.0 if self._alone else _APART * _ninth(used)", "apart = 0.0"),
    ),
    guard(
        "a cut is taken back when the next step fits",
        "pace",
        "each hiccup of the machine costs the walk sixty steps",
        Edit("pace.py", "self.keys, self._cut_from, self._taken_back = self._cut_from, None, True", "pass"),
    ),
    guard(
        "a turn is not waited for longer than it is away",
        "pace",
        "a walk sleeps for as long as the server's clock was set back by",
        Edit("stepping.py", "min(spacing, self._began + queued", "max(0.0, self._began + queued"),
    ),
    guard(
        "a cut is taken back once in ten steps",
        "pace",
        "every second step among large jobs is ten times too long",
        Edit("pace.py", "None if self._taken_back else self.keys", "self.keys"),
    ),
    guard(
        "a walk that waits for its turn keeps its leases",
        "9",
        "another owner takes over a partition while its walk waits in a long row",
        lua("walk_batch", "    if turn > now then\n      renew_leases()\n", "    if turn > now then\n"),
    ),
    guard(
        "a long wait for a turn is said",
        "pace",
        "a walk in a long row seems dead, and cannot be stopped",
        Edit("backfill.py", "if seconds < _SAID_SECONDS:", "if True:"),
    ),
    guard(
        "a size comes to rest",
        "pace",
        "steps are now too small, now too large",
        Edit(
            "pace.py",
            "math.sqrt(self.allowed / max(_ninth(self.used), 1e-6))",
            "self.allowed / max(_ninth(self.used), 1e-6)",
        ),
    ),
    guard(
        "a step ends when its time is over",
        "pace",
        "a batch of large jobs blocks the server",
        lua("walk_batch", "  if time_is_over(true) then break end\n", ""),
    ),
    guard(
        "a verification's step ends when its time is over",
        "pace",
        "a step of large jobs blocks the server",
        lua("compare_jobs", "  if time_is_over(true) then break end\n", ""),
    ),
    guard(
        "what a verification has no time for comes first in its next step",
        "5",
        "jobs are never compared, and the verification says that nothing is missing",
        Edit("verification.py", "cursor if left else int(reply[1]), reply[5]", "int(reply[1]), []"),
    ),
    guard(
        "a walk that hibernates keeps its leases",
        "9",
        "another run takes over while a walk rests at a critical limit",
        lua(
            "walk_batch",
            "    renew_leases()\n    redis.pcall('HSET', KEYS[4], 'held_by', ARGV[18])\n",
            "    redis.pcall('HSET', KEYS[4], 'held_by', ARGV[18])\n",
        ),
    ),
    guard(
        "a walk that hibernates examines nothing",
        "pace",
        "a server is filled up to its last byte",
        Edit("backfill.py", "keys_ = 0 if steps.pace.hibernating else steps.pace.keys", "keys_ = steps.pace.keys"),
    ),
    guard(
        "a verification hibernates",
        "pace",
        "a server at its limit is read at full pace",
        Edit(
            "verification.py",
            "            for _ in self._hibernated():\n                yield self._step(direction, cursor, offset)\n",
            "",
        ),
    ),
    guard(
        "a repair hibernates",
        "pace",
        "a server without memory refuses what a repair writes, and the verification ends",
        Edit("verification.py", "if self._run is not None and self._steps.pace.hibernating:", "if False:"),
    ),
    guard(
        "doubts are settled together",
        "pace",
        "a verification of many differences rests before the second reading of each",
        Edit(
            "verification.py",
            "if (cursor == 0 and not left) or len(doubts) >= _DOUBTS or time.monotonic() - since >= _DOUBT_SECONDS:",
            "if True:",
        ),
    ),
    guard(
        "doubts are read again in steps",
        "pace",
        "a hundred large jobs that differ block the server while they are read again",
        Edit(
            "verification.py",
            "portion, names = names[: self._steps.pace.keys], names[self._steps.pace.keys :]",
            "portion, names = names, []",
        ),
    ),
    guard(
        "a step never outgrows the most",
        "pace",
        "on an idle server one step becomes all keys",
        Edit("pace.py", "min(KEYS_MOST, self.keys * growth)", "self.keys * growth"),
    ),
    guard(
        "a step has so many keys at least",
        "pace",
        "on a slow machine steps examine two keys each, and a walk misses the rate it was asked for",
        Edit("pace.py", "max(self.least, min(KEYS_MOST, self.keys * growth))", "min(KEYS_MOST, self.keys * growth)"),
    ),
    guard(
        "a cut leaves so many keys at least",
        "pace",
        "after two large jobs a walk begins again at a part of a key",
        Edit("pace.py", "max(self.least, self.keys / _CUT)", "self.keys / _CUT"),
    ),
    guard(
        "the way to the server is no delay",
        "pace",
        "over a network every walk crawls",
        Edit("pace.py", "        delay = self.queued(waited)\n", "        delay = waited\n"),
    ),
    guard(
        "walks of one rate come apart",
        "rate",
        "eight partitions come back at one moment, take their own queue for a delay of the tenants, and miss the rate",
        Edit(
            "backfill.py",
            "min(report.wait_seconds + spread, _PAUSE_POLL_SECONDS)",
            "min(report.wait_seconds, _PAUSE_POLL_SECONDS)",
        ),
    ),
)
