"""Migration status in Airflow: a view in the navigation, a tab of each run, a link from each task of our DAGs.

Every Airflow process imports this file, so it holds the registration only; the page is built when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PREFIX = "/relay-status"
DAG_PREFIX = "relay_"


class LazyASGI:
    """The page's application, made by the first request."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if self._app is None:
            from relay_status_page import create_app

            self._app = create_app()
        await self._app(scope, receive, send)


class MigrationStatusLink(BaseOperatorLink):
    """The button on a task's page that leads to the status view."""

    name = "Migration status"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The view's address; none for tasks that are not ours."""
        if not ti_key.dag_id.startswith(DAG_PREFIX):
            return ""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}{PREFIX}/?{urlencode({'dag_id': ti_key.dag_id, 'run_id': ti_key.run_id})}"


class RelayStatusPlugin(AirflowPlugin):
    """What is registered."""

    name = "relay_status"
    fastapi_apps = [{"app": LazyASGI(), "url_prefix": PREFIX, "name": "Relay Jobs migration status"}]  # noqa: RUF012 -- Airflow's own way
    external_views = [  # noqa: RUF012
        {
            "name": "Migration status",
            "href": f"{PREFIX[1:]}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "relay-migration-status",
        },
        {
            "name": "Migration",
            "href": f"{PREFIX[1:]}/?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "relay-migration",
        },
    ]
    global_operator_extra_links = [MigrationStatusLink()]  # noqa: RUF012
