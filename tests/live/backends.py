"""What an Airflow of the live tests runs on: one value says its database, its executor and its further components."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Backend:
    """One way to run Airflow.

    Attributes:
        name: in the names of the tests, in LIVE_BACKENDS, and of the home folder.
        database: ``sqlite`` or ``postgres``, a server of its own.
        settings: of all components, beside those that every live test has.
        components: beside Airflow's four, by name: the arguments of ``airflow``.
    """

    name: str
    database: str
    settings: Mapping[str, str] = field(default_factory=dict)
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


LOCAL_EXECUTOR = {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "AIRFLOW__CORE__PARALLELISM": "4"}

BACKENDS = {
    backend.name: backend
    for backend in (
        # More than about eight writers lock an SQLite database for longer than the scheduler waits, and it exits.
        Backend("sqlite", database="sqlite", settings=LOCAL_EXECUTOR),
        Backend("postgres", database="postgres", settings=LOCAL_EXECUTOR | {"AIRFLOW__CORE__PARALLELISM": "8"}),
    )
}
