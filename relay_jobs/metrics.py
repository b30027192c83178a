"""Prometheus metrics of the library: in-process counters for applications, with bounded workspace labels."""

from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry, Counter

from relay_jobs.jobs import parse_workspace

OTHER, INVALID = "_other", "_invalid"

# Upper bounds of relay_backfill_duration_seconds.
DURATION_BOUNDS = (60, 300, 900, 1800, 3600, 7200, 14400)


class WorkspaceLabels:
    """Bounds a label: the first ``limit`` workspaces get a value of their own, the rest share ``_other``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, workspace_id: str) -> str:
        """The label value for a workspace; ``_invalid`` for what is none."""
        if workspace_id in self._known:
            return workspace_id
        try:
            parse_workspace(workspace_id)
        except ValueError:
            return INVALID
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(workspace_id)
        return workspace_id


class _ByWorkspace:
    """A counter by workspace and one label more."""

    def __init__(self, counter: Counter, label: WorkspaceLabels) -> None:
        self._counter, self._label = counter, label
        # Looking a counter up by its labels costs several times what counting does; there are as many as label values.
        self._known: dict[tuple[str, str], Callable[[], None]] = {}

    def __call__(self, workspace_id: str, what: str) -> None:
        known = self._known.get((workspace_id, what))
        if known is None:
            labels = self._label(workspace_id), what
            known = self._known.get(labels)
            if known is None:
                known = self._known[labels] = self._counter.labels(*labels).inc
        known()


class StoreMetrics:
    """Counters of one process's job store.

    Attributes:
        wrote: counts one write, by workspace and result.
        read: counts one read, by workspace and path.
    """

    def __init__(self, registry: CollectorRegistry, max_workspaces: int) -> None:
        label = WorkspaceLabels(max_workspaces)
        writes = Counter(
            "ai_jobs_dual_write",
            "Writes of the job store by what they wrote (both, legacy, workspace) or failed",
            ["workspace_id", "result"],
            registry=registry,
        )
        reads = Counter(
            "relay_job_read_path",
            "Reads of one job by the schema that answered (new, old, miss)",
            ["workspace_id", "path"],
            registry=registry,
        )
        self.wrote, self.read = _ByWorkspace(writes, label), _ByWorkspace(reads, label)


_BY_REGISTRY: dict[CollectorRegistry, StoreMetrics] = {}


def store_metrics(max_workspaces: int, registry: CollectorRegistry = REGISTRY) -> StoreMetrics:
    """The registry's counters: any number of stores in a process share them."""
    if registry not in _BY_REGISTRY:
        _BY_REGISTRY[registry] = StoreMetrics(registry, max_workspaces)
    return _BY_REGISTRY[registry]
