"""Options that every command takes."""

from typing import Annotated

import typer

Url = Annotated[
    str,
    typer.Option("--redis-url", envvar="REDIS_URL", help="redis://, rediss:// or unix:// with user, password, db."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Workspaces = Annotated[list[str] | None, typer.Option("--workspace", help="Only this one; may be repeated.")]
OneWorkspace = Annotated[str | None, typer.Option("--workspace", help="Only this one; default: all others.")]
URL = "redis://localhost:6379"
