"""The command line: one command for each verb of the migration."""

import typer

from relay_jobs.cli_control import metrics, pause, preflight, resume, status, throttle
from relay_jobs.cli_stages import quarantine_app, stage_app
from relay_jobs.cli_work import backfill, verify

app = typer.Typer(
    name="relay-jobs",
    help="Move a live, multi-tenant Redis job store to workspace-scoped keys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (preflight, backfill, verify, status, pause, resume, throttle, metrics):
    app.command()(command)
app.add_typer(stage_app, name="stage")
app.add_typer(quarantine_app, name="quarantine")


def main() -> None:
    """Entry point of ``relay-jobs`` and ``python -m relay_jobs``."""
    app()
