"""Commands that look, and that hold running work back."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer
from prometheus_client import generate_latest, start_http_server

from relay_jobs.cli_options import URL, Json, Url
from relay_jobs.console import Console
from relay_jobs.errors import RelayJobsError
from relay_jobs.exporter import registry
from relay_jobs.ladder import EVERYONE
from relay_jobs.narrate import duration, hibernations
from relay_jobs.readiness import Plan, cost


def pause(
    *,
    reason: Annotated[str, typer.Option(help="Why; shown wherever work rests.")] = "no reason given",
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Running and later work rests before its next batch."""
    console = Console(redis_url, as_json)
    with console.writing() as migration:
        migration.pause(reason)
        console.say("paused; next: relay-jobs resume")
        console.answer({"paused": True})


def resume(*, redis_url: Url = URL, as_json: Json = False) -> None:
    """Paused work goes on."""
    console = Console(redis_url, as_json)
    with console.writing() as migration:
        migration.resume()
        console.say("resumed")
        console.answer({"paused": False})


def throttle(
    *,
    rps: Annotated[int, typer.Option(min=1, help="Examined keys a second over all partitions.")],
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Change the rate of the run at work."""
    console = Console(redis_url, as_json)
    with console.writing() as migration:
        run = migration.throttle(rps)
        console.say(f"{run}: {rps:,} keys a second")
        console.answer({"run": run, "rps": rps})


def preflight(
    *,
    rps: Annotated[int | None, typer.Option(min=1, help="Rate to predict with.")] = None,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Count what the server holds and predict what a run costs; writes nothing."""
    console = Console(redis_url, as_json)
    with console.reading() as migration:
        tell = hibernations(console.warn)

        def watch(held_by: str) -> None:
            if console.stop.wanted:
                msg = "interrupted: the preflight is not complete"
                raise RelayJobsError(msg)
            tell(held_by)

        found = migration.preflight(mode="dry_run", rps=rps, max_hours=float("inf"), watch=watch)
        strangers = migration.strangers()
        for line in found.lines():
            console.say(line)
        walks, seconds = cost(Plan("staged", rps=rps), found.survey)
        rate = "as fast as the tenants allow" if rps is None else f"at {rps:,} keys a second"
        console.say(f"a staged run: {walks} walks, {duration(seconds)} {rate}")
        for warning in found.warnings:
            console.warn(warning)
        source = "recorded" if EVERYONE in found.stages else f"flags ({migration.settings.flag_stage})"
        console.say(f"stage source: {source}")
        for stranger in strangers:
            console.say(f"client without the library's name: {stranger.name} from {stranger.address}")
        clients = [asdict(stranger) for stranger in strangers]
        staged = {"staged_walks": walks, "staged_seconds": round(seconds, 1)}
        console.answer(found.as_dict() | staged | {"stage_source": source, "strangers": clients})


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Stages, the run at work, its progress, and what was proven last."""
    console = Console(redis_url, as_json)
    with console.reading() as migration:
        found = migration.status()
        _show(console, found)
        while watch and not console.stop.wanted:
            console.stop.sleep(2)
            console.say()
            found = migration.status()
            _show(console, found)
        console.answer(found)


def _show(console: Console, found: dict[str, Any]) -> None:
    for line in _status_lines(found):
        console.say(line)


def _status_lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"target: {found['target']}"
    yield f"stage: {found['stages'].get(EVERYONE) or found['stage_source']}"
    for name, stage in found["stages"].items():
        if name != EVERYONE:
            yield f"  {name}: {stage}"
    yield f"at work: {found['lease']['holder'] if found['lease'] else 'nothing'}"
    if found["throttle"]:
        yield f"held back by: {found['throttle']}"
    for one in found["passes"]:
        left = "" if one["eta_seconds"] is None else f", {duration(one['eta_seconds'])} left"
        yield (
            f"pass {one['name']}: {one['state']}, {one['fraction']:.0%}, {one['walked']} of {one['partitions']} "
            f"partitions, {one['scanned']:,} keys, {one['migrated']:,} copied{left}"
        )
    for scope, record in found["last_verifications"].items():
        books = record["books"]
        said = "clean" if books["verified"] else "NOT clean"
        yield f"last verification of {'everything' if scope == EVERYONE else scope}: {said}, {books['equal']:,} equal"
    yield f"quarantined: {found['quarantined']:,} · queue: {found['queue_depth']:,}"


def metrics(
    *,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Serve them there until Ctrl-C.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Prometheus metrics of the migration, once on stdout or served on a port."""
    console = Console(redis_url, as_json)
    with console.guarded():
        found = registry(console.migration().client)
        if port is None:
            text = generate_latest(found).decode()
            typer.echo(json.dumps({"metrics": text}) if as_json else text, nl=as_json)
            return
        server, thread = start_http_server(port, host, found)
        console.say(f"metrics on http://{host}:{port}/metrics, until Ctrl-C")
        while not console.stop.wanted:
            console.stop.sleep(60)
        server.shutdown()
        thread.join()
