"""Reports as a person reads them: lines for a terminal or a task's log, tables for a form. Pure: no clock, no log."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from relay_jobs.progress import BatchReport, Books, Phase, Sample, VerifyStep

# A line no more often than this, then after each twentieth of the walk or of the time that it took so far.
_EVERY_SECONDS, _EVERY_FRACTION = 2.0, 0.05
_LONGEST_SILENCE = 60.0
_SAMPLES_SHOWN = 10
_STOPPED: Mapping[Phase, str] = {
    Phase.PAUSED: "{}; 'relay-jobs resume' lets it go on",
    Phase.HIBERNATING: "hibernates because of {}; it goes on by itself",
}

OUTCOMES: Mapping[str, str] = {
    "scanned": "keys examined",
    "migrated": "copied whole",
    "would_migrate": "would be copied",
    "exists": "a copy was there already, or the key came up twice",
    "conflict": "a copy was there and differs; it was left alone",
    "invalid": "no valid legacy job; quarantined with a reason",
    "filtered": "of a workspace that is not meant, or is in stage legacy",
    "gone": "deleted or expired meanwhile",
    "errors": "could not be copied",
}
FINDINGS: Mapping[str, str] = {
    "equal": "both copies are the same, expiry included",
    "different": "the copies differ",
    "missing": "a legacy job without its workspace copy",
    "extra": "a workspace copy without its legacy job",
    "quarantined": "no valid legacy job",
    "errors": "could not be compared",
}


def hibernations(say: Callable[[str], None]) -> Callable[[str], None]:
    """Tells of each hibernation once: call it with why there is one, '' for none."""
    told = ""

    def tell(held_by: str) -> None:
        nonlocal told
        if held_by and not told:
            say(_STOPPED[Phase.HIBERNATING].format(held_by))
        told = held_by

    return tell


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report; a warning needs eyes."""

    text: str
    warning: bool = False


class Narrator:
    """Turns the reports of a walk into lines: few enough to read, the last of each partition always.

    Args:
        now: a clock in seconds.
        partitions: how many partitions are told as one walk; with 1, each for itself, one after the other.
        dry_run: whether nothing is written.
    """

    def __init__(self, now: Callable[[], float], *, partitions: int = 1, dry_run: bool = False) -> None:
        self._now, self._partitions, self._dry_run = now, partitions, dry_run
        self._pause = ""
        self._stopped: Phase | None = None
        self._shown: Counter[str] = Counter()
        self._begin()

    def _begin(self) -> None:
        self._began = self._told_at = self._now()
        self._first: float | None = None
        self._fractions: dict[int, float] = {}
        self._told_fraction = 0.0
        self._told_scanned = 0
        self._wait = ""
        self.books = Books()

    def lines(self, report: BatchReport) -> Iterator[Line]:
        """What there is to say about a report; mostly nothing."""
        self._take(report)
        yield from self._samples(report.samples)
        yield from self._stop(report)
        if report.phase is Phase.RESTARTED:
            yield Line(f"{_place(report)}starts over: {report.reason}", warning=True)
        elif report.phase is Phase.RESUMED:
            yield Line(f"{_place(report)}resumes at {report.fraction:.0%}: {report.reason}")
        elif report.phase in {Phase.DONE, Phase.LIMITED} or (report.phase is Phase.BATCH and self._due()):
            yield Line(self._progress(report))

    def _stop(self, report: BatchReport) -> Iterator[Line]:
        if report.phase in _STOPPED:
            said = _STOPPED[report.phase].format(report.reason)
            # Of a limit the numbers change every second: once is enough.
            if report.phase is not self._stopped or (report.phase is Phase.PAUSED and report.reason != self._pause):
                yield Line(f"{_place(report)}{said}", warning=True)
            self._stopped, self._pause = report.phase, report.reason
        elif self._stopped and report.phase is Phase.BATCH:
            self._stopped, self._pause = None, ""
            yield Line(f"{_place(report)}goes on after the pause")

    def snapshot(self) -> dict[str, object]:
        """Where the walk is, as plain values."""
        return {
            "fraction": round(self._fraction, 4),
            "seconds": round(self._now() - self._began, 1),
            "eta_seconds": None if (left := self._left()) is None else round(left),
            "waiting": self._pause or self._wait,
            **self.books.as_dict(dry_run=self._dry_run),
        }

    @property
    def _fraction(self) -> float:
        return sum(self._fractions.values()) / self._partitions

    def _take(self, report: BatchReport) -> None:
        if self._partitions == 1 and self._fractions and report.partition not in self._fractions:
            self._begin()
        self.books += report.counts
        if report.phase is Phase.WAITING:
            self._wait = report.reason
            return
        if report.phase in _STOPPED:
            return
        if report.phase is Phase.BATCH and report.reason:
            self._wait = report.reason
        self._fractions[report.partition] = report.fraction
        if self._first is None or report.phase is Phase.RESTARTED:
            # A resumed walk is as fast as from where it resumed, not as from its start.
            resumed = report.phase in {Phase.RESUMED, Phase.RESTARTED}
            self._first = self._fraction if resumed else 0.0

    def _due(self) -> bool:
        now = self._now()
        silence = now - self._told_at
        longest = min(_LONGEST_SILENCE, (now - self._began) * _EVERY_FRACTION)
        moved = self._fraction - self._told_fraction >= _EVERY_FRACTION
        return silence >= _EVERY_SECONDS and (moved or silence >= longest)

    def _left(self) -> float | None:
        first, spent = self._first or 0.0, self._now() - self._began
        done = self._fraction - first
        return None if done <= 0 or spent <= 0 else (1 - self._fraction) * spent / done

    def _progress(self, report: BatchReport) -> str:
        now = self._now()
        ended = report.phase is Phase.DONE
        # The pace since the last line; of the end, that of the whole walk.
        keys_, since = (0, self._began) if ended else (self._told_scanned, self._told_at)
        pace = (self.books.scanned - keys_) / max(now - since, 1e-3)
        parts = [f"{_place(report)}{self._fraction:.0%}", f"{self.books.scanned:,} keys", f"{pace:,.0f}/s"]
        if report.phase is Phase.LIMITED:
            parts.append("max_keys is used up")
        elif report.phase is Phase.DONE:
            parts.append(f"walked to its end in {duration(now - self._began)}")
        elif (left := self._left()) is not None:
            parts.append(f"{duration(left)} left")
        if self._wait and not ended:
            parts.append(f"held by {self._wait}")
        if report.reason and ended:
            parts.append(report.reason)
        self._told_at, self._told_fraction, self._told_scanned = now, self._fraction, self.books.scanned
        self._wait = ""
        return " · ".join([*parts, counted(self.books.as_dict(dry_run=self._dry_run))])

    def _samples(self, samples: tuple[Sample, ...]) -> Iterator[Line]:
        for sample in samples:
            self._shown[sample.finding] += 1
            if self._shown[sample.finding] <= _SAMPLES_SHOWN:
                yield Line(sample_text(sample), warning=True)
            elif self._shown[sample.finding] == _SAMPLES_SHOWN + 1:
                yield Line(f"{sample.finding}: more of them; here they are only counted", warning=True)


def compared(step: VerifyStep) -> str:
    """Where a verification is."""
    held = f" · held by {step.held_by}" if step.held_by else ""
    return f"{step.fraction:.0%} · {step.checked:,} jobs compared · from the {step.direction} copies{held}"


def named(scope: Iterable[str]) -> str:
    """A scope in words."""
    return ", ".join(scope) or "all workspaces"


def sample_text(sample: Sample) -> str:
    """A job that needs eyes, by id and reason; an id is quoted, so that it cannot forge a line."""
    place = f" of workspace {sample.workspace_id}" if sample.workspace_id else ""
    return f"{sample.finding}: job {sample.job_id!r:.300}{place}: {sample.reason}"


def counted(counts: Mapping[str, int]) -> str:
    """Outcomes that occurred, in one line."""
    said = [f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items() if n and name != "scanned"]
    return ", ".join(said) or "nothing yet"


def books_table(step: Mapping[str, int], total: Mapping[str, int] | None = None) -> list[str]:
    """Books in columns: of this step, and of the whole pass where they differ."""
    both = total is not None and any(step.get(name, 0) != n for name, n in total.items())
    head = f"{'':<14}{'this step':>14}{'whole pass':>14}" if both else f"{'':<14}{'keys':>14}"
    rows = [head]
    for name in (name for name in OUTCOMES if name in step):
        more = f"{(total or {}).get(name, 0):>14,}" if both else ""
        rows.append(f"{name.replace('_', ' '):<14}{step[name]:>14,}{more}   {OUTCOMES[name]}")
    return rows


def verdict_table(verdict: Mapping[str, object]) -> list[str]:
    """What a verification found, in columns."""
    return [f"{'':<14}{'jobs':>14}"] + [
        f"{name:<14}{_number(verdict, name):>14,}   {meaning}" for name, meaning in FINDINGS.items()
    ]


def markdown_table(counts: Mapping[str, object], meanings: Mapping[str, str], head: str) -> str:
    """The same for a form that renders Markdown."""
    rows = [f"| | {head} | |", "|---|---:|---|"]
    rows += [
        f"| {name.replace('_', ' ')} | {_number(counts, name):,} | {meaning} |"
        for name, meaning in meanings.items()
        if name in counts
    ]
    return "\n".join(rows)


def duration(seconds: float) -> str:
    """A span of time in at most two units."""
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def size(count: float) -> str:
    """A number of bytes in the unit that fits."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit in {"bytes", "KiB"} else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _number(counts: Mapping[str, object], name: str) -> int:
    value = counts.get(name, 0)
    return value if isinstance(value, int) else 0


def _place(report: BatchReport) -> str:
    return f"partition {report.partition + 1} of {report.partitions}: " if report.partitions > 1 else ""
