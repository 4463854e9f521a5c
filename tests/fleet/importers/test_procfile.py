"""Procfile importer: processes, ports and errors."""

from __future__ import annotations

import pytest

from argosy.fault import InputError
from fleet.importers.import_tree import Read

SAMPLE = """\
# the site
web: gunicorn app:app --bind 0.0.0.0:$PORT

  # indented comment: python no.py
worker: python agents/worker.py --queue high,low
clock-2: python -u agents/clock.py
release:   ./bin/migrate && echo done
"""


def test_each_procfile_line_becomes_agent(read: Read) -> None:
    fleet = read("Procfile", SAMPLE).fleet
    assert list(fleet.agents) == ["web", "worker", "clock-2", "release"]
    worker = fleet.agents["worker"]
    assert (worker.run, worker.kind, worker.args) == ("agents/worker.py", "script", ("--queue", "high,low"))
    assert fleet.agents["clock-2"].env == {"PYTHONUNBUFFERED": "1"}
    assert fleet.agents["release"].run == ("sh", "-c", "./bin/migrate && echo done")


def test_procfile_ports_follow_foreman(read: Read) -> None:
    imported = read("Procfile", "a: x $PORT\nb: python b.py\nc: x ${PORT:-1}\n")
    agents = imported.fleet.agents
    assert [agents[name].port for name in "abc"] == [5000, None, 5200]
    assert agents["c"].env == {"PORT": "5200"}
    assert agents["a"].ready.probe == "tcp"
    assert agents["b"].ready.probe == "alive"
    assert imported.decision("`c` uses `$PORT`", "5200").where == "Procfile:3:1"


def test_single_source_at_root_is_on_machine_main(read: Read) -> None:
    imported = read("Procfile", "a: python a.py\n")
    assert imported.plan.machines == ("main",)
    assert imported.fleet.environments["production"] == {"main": "$MAIN_IP"}


def test_procfile_command_with_open_quote_names_its_line(read: Read) -> None:
    with pytest.raises(InputError) as caught:
        read("Procfile", "a: python a.py\nb: echo 'x\n")
    (fault,) = caught.value.faults
    assert (fault.where, fault.code) == ("Procfile:2:1", "bad-command")


def test_yaml_file_is_not_read_as_procfile(read: Read) -> None:
    with pytest.raises(InputError) as caught:
        read("settings.yaml", "name: python a.py\n")
    assert caught.value.faults[0].code == "unknown-format"
