"""supervisord.conf importer: programs, processes, environments and errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.fault import InputError
from fleet.importers.import_tree import Imported, Read, Tree

SAMPLE = """\
; the fleet as it was
[supervisord]
logfile=/tmp/supervisord.log
environment=REGION="eu",LEVEL=INFO

[program:registry]
command=python3 agents/registry.py --db %(here)s/data.db ; inline comment
directory=%(here)s
environment=KEY="a,b",OTHER=plain,PERCENT="50%%",HOST="%(ENV_HOSTNAME)s"
priority=1
autorestart=true
stopwaitsecs=25
startsecs=3
user=nobody
stdout_logfile=/var/log/registry.log

[program:worker]
command=/opt/venv/bin/python worker.py --n %(process_num)02d
directory=agents
process_name=%(program_name)s_%(process_num)02d
numprocs=2
autostart=false
autorestart=unexpected

[program:once]
command=redis-server --port 7000 $HOME
autorestart=false

[group:core]
programs=registry,once

[eventlistener:crash]
command=crashmail
"""


@pytest.fixture
def sample(tree: Tree) -> Imported:
    tree.write("agents/registry.py")
    tree.write("supervisord.conf", SAMPLE)
    return tree.read("supervisord.conf")


def test_supervisord_programs_become_agents(sample: Imported, tmp_path: Path) -> None:
    agents = sample.fleet.agents
    assert set(agents) == {"registry", "worker_00", "worker_01", "once"}
    registry = agents["registry"]
    assert registry.run == "agents/registry.py"
    assert registry.args == ("--db", f"{tmp_path}/data.db")
    assert (registry.restart, registry.stop_timeout_s, registry.ready.seconds) == ("always", 25, 3)
    assert registry.group == "core"
    assert agents["once"].run == ("redis-server", "--port", "7000", "$HOME")
    assert agents["once"].restart == "never"


def test_numprocs_makes_one_agent_per_process(sample: Imported) -> None:
    worker = sample.fleet.agents["worker_01"]
    assert (worker.run, worker.args, worker.cwd) == ("agents/worker.py", ("--n", "01"), "agents")
    assert (worker.python, worker.required) == ("/opt/venv/bin/python", False)
    assert sample.decision("runs 2 processes").where.startswith("supervisord.conf:")


def test_supervisord_environment_is_parsed_like_supervisord(sample: Imported) -> None:
    env = sample.fleet.agents["registry"].env
    assert env == {
        "REGION": "eu",
        "LEVEL": "INFO",
        "KEY": "a,b",
        "OTHER": "plain",
        "PERCENT": "50%",
        "HOST": "%(ENV_HOSTNAME)s",
    }
    assert sample.decision("`%(ENV_HOSTNAME)s`").where == "supervisord.conf:9:1"


def test_supervisord_importer_reports_unsupported_keys_with_place(sample: Imported) -> None:
    assert sample.decision("`priority = 1`", "order, not a dependency").where == "supervisord.conf:10:1"
    assert sample.decision("`user = nobody`").where == "supervisord.conf:14:1"
    assert sample.decision("`stdout_logfile`").where == "supervisord.conf:15:1"
    assert sample.decision("`worker` does not start automatically").where == "supervisord.conf:22:1"
    assert sample.decision("[eventlistener:crash]").where == "supervisord.conf:32:1"


@pytest.mark.parametrize(
    ("line", "where", "word"),
    [
        ("command=python 'a.py", 2, "cannot be read"),
        ("command=python a.py\nnumprocs=two", 3, "a whole number"),
        ("command=python a.py\nautorestart=maybe", 3, "unexpected"),
        ("command=python %(nothing)s", 2, "is unknown"),
        ("command=python a.py\nenvironment=A", 3, "KEY"),
        ('command=python a.py\nenvironment=A="x', 3, "quote"),
        ("command=python a.py\nnumprocs=2", 3, "all called `a`"),
        ("directory=/x", 1, "names no program"),
    ],
)
def test_supervisord_bad_value_names_its_line(read: Read, line: str, where: int, word: str) -> None:
    with pytest.raises(InputError) as caught:
        read("s.conf", f"[program:a]\n{line}\n")
    (fault,) = caught.value.faults
    assert fault.where == f"s.conf:{where}:1"
    assert word in fault.message


def test_supervisord_line_outside_section_is_reported(read: Read) -> None:
    with pytest.raises(InputError) as caught:
        read("s.conf", "nonsense\n[program:a]\ncommand=x\n")
    assert caught.value.faults[0].where == "s.conf:1:1"
