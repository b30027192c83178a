"""An Airflow of its own for each test process, and none of the caller's settings.

Airflow reads its configuration once, when it is first imported, so all of this happens while pytest reads this file.
"""

import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="relay-airflow-"))

OURS = ("AI_JOBS_", "READ_", "RELAY_JOBS_", "REDIS_URL")
for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_", *OURS))]:
    del os.environ[name]

os.environ |= {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME / 'airflow.db'}",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(AIRFLOW_HOME / "logs"),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__API_AUTH__JWT_SECRET": "made up for one test process; " * 3,
}


def pytest_unconfigure() -> None:
    # Not atexit: tasks run in forks of this process, and a fork that ends must not take the home away.
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
