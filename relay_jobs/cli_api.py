"""Commands of the HTTP API: the server, and the keys of its tenants."""

from dataclasses import asdict
from typing import Annotated

import typer

from relay_jobs.api_keys import ApiKey, ApiKeys, Scope, parse_life
from relay_jobs.cli_options import URL, Json, Url
from relay_jobs.console import Console
from relay_jobs.errors import UsageError
from relay_jobs.terms import DEFAULT_THREADS

api_key_app = typer.Typer(help="Keys of the HTTP API, each of one workspace and actor.", no_args_is_help=True)


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    threads: Annotated[
        int, typer.Option(min=1, max=1000, help="Requests served at once, a connection each.")
    ] = DEFAULT_THREADS,
    workspace_metrics: Annotated[
        bool, typer.Option("--workspace-metrics", help="Name workspaces in /metrics, where no tenant reaches it.")
    ] = False,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Serve the HTTP API until SIGINT or SIGTERM; requests under way are answered first."""
    console = Console(redis_url, as_json)

    def ready(bound: int) -> None:
        url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        console.say(f"serving on {url}, until Ctrl-C")
        console.answer({"url": url, "port": bound})

    with console.writing():
        try:
            # Here, so that the other commands need neither the extra `api` nor the time to import it.
            from relay_jobs import api_server
        except ModuleNotFoundError as error:
            msg = f"serve needs the extra 'api' ({error.name} is not installed): pip install 'relay-jobs[api,cli]'"
            raise UsageError(msg) from None
        api_server.serve(redis_url, (host, port), threads=threads, workspace_metrics=workspace_metrics, ready=ready)


@api_key_app.command("create")
def api_key_create(
    *,
    workspace: Annotated[str, typer.Option(help="Whose jobs it reads and makes.")],
    actor: Annotated[str, typer.Option(help="Who the jobs are asked for by.")],
    scope: Annotated[list[Scope], typer.Option(help="What it allows; may be repeated.")],
    expires_in: Annotated[str | None, typer.Option(help="Such as 12h or 90d; default: never.")] = None,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """A new key; it is shown this once."""
    console = Console(redis_url, as_json)
    with console.guarded():
        life = None if expires_in is None else parse_life(expires_in)
        migration = console.migration()
        console.name_target(migration)
        made, token = ApiKeys(migration.client).create(workspace, actor, scope, life)
        console.say(_line(made))
        console.say(f"the key, which is not shown again: {token}")
        console.answer({"key": token, **asdict(made)})


@api_key_app.command("revoke")
def api_key_revoke(
    key_id: Annotated[str, typer.Argument(help="As 'api-key list' shows it.")],
    *,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """End a key; its next request is refused."""
    console = Console(redis_url, as_json)
    with console.writing() as migration:
        ApiKeys(migration.client).revoke(key_id)
        console.say(f"{key_id}: revoked")
        console.answer({"revoked": key_id})


@api_key_app.command("list")
def api_key_list(*, redis_url: Url = URL, as_json: Json = False) -> None:
    """Keys that can be used, without their secrets."""
    console = Console(redis_url, as_json)
    with console.reading() as migration:
        found = ApiKeys(migration.client).all()
        for each in found:
            console.say(_line(each))
        console.say(f"{len(found)} keys")
        console.answer({"keys": [asdict(each) for each in found]})


def _line(key: ApiKey) -> str:
    ends = f"until {key.expires_at}" if key.expires_at else "without end"
    return f"{key.key_id}  {key.workspace_id:<36} {key.actor_id!r:<20} {' '.join(key.scopes):<20} {ends}"
