"""The command line: one command for each verb of the migration."""

import json
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from relay_jobs.cli_api import api_key_app, serve
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
for command in (preflight, backfill, verify, status, pause, resume, throttle, metrics, serve):
    app.command()(command)
app.add_typer(stage_app, name="stage")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(api_key_app, name="api-key")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of ``relay-jobs``, ``python -m relay_jobs`` and the changelog's alias."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app(words, prog_name="relay-jobs", standalone_mode=False)
    except typer.TyperException as error:
        typer.echo(f"{error.format_message()}\nTry 'relay-jobs --help' for help.", err=True)
        if "--json" in words:
            body = {"error": "UsageError", "message": error.format_message(), "exit_code": error.exit_code}
            typer.echo(json.dumps(body))
        code = error.exit_code
    sys.exit(code or 0)
