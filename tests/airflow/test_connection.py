"""The connection relay_redis: what is wrong with it is said in an operator's words, before anything is written."""

import json
from datetime import timedelta

import pytest
from airflow.sdk import Connection

from relay_jobs.airflow import DEFAULT_ARGS
from relay_jobs.hook import complaint
from tests.airflow.runs import FAILED
from tests.servers import free_port

GOOD = {"conn_id": "relay_redis", "conn_type": "redis", "host": "store", "port": 6379}


@pytest.mark.parametrize(
    "extra", [{}, {"db": 0}, {"db": 3}, {"db": "3"}, {"db": 0, "ssl": True, "cluster": False}], ids=str
)
def test_a_usable_connection_has_nothing_wrong(extra):
    assert complaint(Connection(**GOOD, extra=json.dumps(extra))) == ""


def test_a_database_in_the_path_that_agrees_with_the_extra_is_fine():
    assert complaint(Connection(**GOOD, schema="3", extra='{"db": 3}')) == ""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"schema": "3"}, "names database '3' in its path (schema), which Airflow's Redis hook ignores"),
        ({"schema": "3", "extra": '{"db": 1}'}, "it would use database 1"),
        ({"extra": '{"cluster": true}'}, "the two keys of a job hash to different slots"),
        ({"extra": '{"db": "jobs"}'}, "the extra db is 'jobs'; it has to be a number"),
        ({"conn_type": "rediss"}, 'for TLS add the extra {"ssl": true}'),
        ({"conn_type": "http"}, "its type is 'http'; it has to be 'redis'"),
        ({"host": ""}, "it names no host"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_words(said, words):
    assert words in complaint(Connection(**{**GOOD, **said}))


@pytest.mark.airflow
def test_a_missing_connection_fails_preflight_and_says_where_to_add_it(run, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_RELAY_REDIS", raising=False)
    ended = run("relay_backfill", mode="full")
    assert ended.tasks["preflight"] == FAILED
    assert ended.tries["preflight"] == 1
    assert ended.said("there is no connection 'relay_redis': add it under Admin, Connections")


@pytest.mark.airflow
def test_a_server_that_is_not_there_is_named(run, monkeypatch):
    said = {"conn_type": "redis", "host": "127.0.0.1", "port": free_port()}
    monkeypatch.setenv("AIRFLOW_CONN_RELAY_REDIS", json.dumps(said))
    monkeypatch.setitem(DEFAULT_ARGS, "retry_policy", None)
    monkeypatch.setitem(DEFAULT_ARGS, "retry_delay", timedelta(0))
    monkeypatch.setitem(DEFAULT_ARGS, "retries", 1)
    ended = run("relay_verify")
    assert ended.state == FAILED
    assert ended.tries["verification"] == 2
    assert ended.said(f"the store at 127.0.0.1:{said['port']} does not answer connection relay_redis")


@pytest.mark.airflow
def test_a_wrong_password_fails_preflight_at_once(run, store, monkeypatch):
    port = store.connection_pool.connection_kwargs["port"]
    said = {"conn_type": "redis", "host": "127.0.0.1", "port": port, "login": "nobody", "password": "wrong-password"}
    monkeypatch.setenv("AIRFLOW_CONN_RELAY_REDIS", json.dumps(said))
    ended = run("relay_backfill", mode="full")
    assert ended.tasks["preflight"] == FAILED
    assert ended.tries["preflight"] == 1
    assert ended.said(f"the store at 127.0.0.1:{port} refuses the login of connection relay_redis: invalid username")
    assert not ended.said("wrong-password")
