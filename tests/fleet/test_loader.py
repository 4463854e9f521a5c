"""Fleet file loader: specs, defaults, and every fault with its place, code and hint."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fault import Fault, InputError
from argosy.fleet import Need, load_fleet, read_fleet

HARBOUR = """\
fleet: harbour
machines:
  mainpc: {gpu: "RTX 4090", gpu_memory: 24GiB}
  pc2:    {gpu: "RTX 3060", gpu_memory: 12GiB}
environments:
  development: {mainpc: 192.168.100.16, pc2: 192.168.100.17, redis: 192.168.100.16}
  production:  {mainpc: $MAINPC_IP, pc2: $PC2_IP, redis: $REDIS_HOST}
  container:   {mainpc: mainpc, pc2: pc2, redis: redis}
  testing:     {mainpc: 127.0.0.1, pc2: 127.0.0.1, redis: 127.0.0.1}
defaults: {start_timeout: 60s, restart: on-failure, env: {LOG_LEVEL: WARNING, TZ: UTC}}
agents:
  ServiceRegistry: {run: agents/service_registry.py, machine: mainpc, port: 7200}
  Memory: {run: agents/memory.py, machine: pc2, port: 7300}
  Translator:
    run: agents.translator:Translator
    machine: mainpc
    args: [--voice, en, 7, true]
    env: {LOG_LEVEL: INFO, RETRIES: 0o7}
    port: 5595
    needs: [ServiceRegistry]
    wants: [Memory]
    gpu_memory: 2GiB
    ready: {probe: zmq, port: 6595, send: {action: health}}
"""


def faults_of(text: str) -> list[Fault]:
    return read_fleet("/fleets/f.yaml", text)[1]


def agents(*lines: str) -> str:
    return "\n".join(["fleet: f", "agents:", *(f"  {line}" for line in lines)]) + "\n"


def hub(keys: str) -> str:
    return agents("A: {run: a.py}") + f"hub: {{{keys}}}\n"


def fault_places(text: str) -> list[str]:
    return [f"{fault.where.removeprefix('/fleets/f.yaml:')} {fault.code}" for fault in faults_of(text)]


def test_loader_reads_complete_fleet_file() -> None:
    fleet = load_fleet("/fleets/fleet.yaml", HARBOUR)
    translator = fleet.agents["Translator"]
    assert (fleet.name, fleet.path) == ("harbour", "/fleets/fleet.yaml")
    assert fleet.machines["mainpc"].gpu == "RTX 4090"
    assert translator.kind == "class"
    assert translator.args == ("--voice", "en", "7", "true")
    assert translator.env == {"LOG_LEVEL": "INFO", "RETRIES": "0o7", "TZ": "UTC"}
    assert translator.needs == (Need("ServiceRegistry", "wait"),)
    assert translator.wants == ("Memory",)
    assert translator.gpu_memory_bytes == 2 * 2**30
    assert (translator.ready.probe, translator.ready.port) == ("zmq", 6595)
    assert translator.ready.send == {"action": "health"}
    assert (translator.start_timeout_s, translator.stop_timeout_s) == (60.0, 10.0)
    assert translator.where == "/fleets/fleet.yaml:14:3"
    assert fleet.locations["agents.Translator.needs.0"] == "/fleets/fleet.yaml:20:13"
    registry = fleet.agents["ServiceRegistry"]
    assert (registry.kind, registry.ready.probe, registry.ready.seconds) == ("script", "alive", 1.0)


def test_default_readiness_follows_kind_of_run() -> None:
    fleet = load_fleet(
        "/f.yaml",
        agents(
            "A: {run: pkg.mod:Class}",
            "B: {run: [python, -m, thing, 5]}",
            "C: {run: c.py, port: 5000, health_port: 6000, ready: {probe: zmq}}",
            "D: {run: d.py, port: 5001, ready: {probe: http}}",
            "E: {run: 'C:/x.py', ready: {seconds: 3}}",
            "F: {run: pkg.mod:Class, ready: {notify: all}}",
        ),
    )
    ready = {name: spec.ready for name, spec in fleet.agents.items()}
    assert [spec.kind for spec in fleet.agents.values()] == [
        "class", "command", "script", "script", "script", "class"
    ]  # fmt: skip
    assert fleet.agents["B"].run == ("python", "-m", "thing", "5")
    assert ready["A"].probe == "notify"
    assert (ready["C"].port, ready["C"].send) == (6000, {"action": "health"})
    assert (ready["D"].port, ready["D"].path) == (5001, "/health")
    assert (ready["E"].probe, ready["E"].seconds) == ("alive", 3)
    assert (ready["F"].probe, ready["F"].notify) == ("notify", "all")


def test_agents_default_to_only_machine() -> None:
    fleet = load_fleet("/f.yaml", "machines: {pc: }\n" + agents("A: {run: a.py}"))
    assert fleet.agents["A"].machine == "pc"


def test_defaults_apply_to_every_agent_and_can_be_overridden() -> None:
    text = (
        "fleet: f\ndefaults: {restart: always, restart_limit: {times: 2, within: 1m}, cpus: 2}\n"
        "agents:\n  A: {run: a.py}\n  B: {run: b.py, restart: never, cpus: 0.5}\n"
    )
    a, b = load_fleet("/f.yaml", text).agents.values()
    assert (a.restart, a.restart_times, a.restart_within_s, a.cpus) == ("always", 2, 60.0, 2)
    assert (b.restart, b.restart_times, b.cpus) == ("never", 2, 0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fleet: f\n", ["1:1 missing-key"]),
        ("agents: {A: {run: a.py}}\n", ["1:1 missing-key"]),
        ("fleet: f\nagents: {}\n", ["2:1 no-agents"]),
        ("fleet: f\nagents:\n", ["2:8 wrong-value"]),
        ("- a\n", ["1:1 wrong-type"]),
        ("fleet: my fleet\nagents: {A: {run: a.py}}\n", ["1:8 wrong-value"]),
        (agents("A:"), ["3:5 wrong-value"]),
        (agents("A: {}"), ["3:3 missing-key"]),
        (agents("A: {run: ''}"), ["3:7 missing-key"]),
        (agents("1st: {run: a.py}"), ["3:3 wrong-value"]),
        (agents("A: {run: a.py, port: 70000}"), ["3:24 wrong-value"]),
        (agents("A: {run: a.py, port: '5000'}"), ["3:24 wrong-value"]),
        (agents("A: {run: a.py, port: true}"), ["3:24 wrong-value"]),
        (agents("A: {run: a.py, required: yes}"), ["3:28 wrong-value"]),
        (agents("A: {run: a.py, start_timeout: 60}"), ["3:33 wrong-value"]),
        (agents("A: {run: a.py, cpus: 0}"), ["3:24 wrong-value"]),
        (agents("A: {run: a.py, cpus: .inf}"), ["3:24 wrong-value"]),
        (agents("A: {run: a.py, needs: B}", "B: {run: b.py}"), ["3:25 wrong-value"]),
        (
            agents("A: {run: a.py, needs: [{agnt: B}]}", "B: {run: b.py}"),
            ["3:26 missing-key", "3:27 unknown-key"],
        ),
        (agents("A: {run: a.py, needs: }"), ["3:25 wrong-value"]),
        (agents("A: {run: a.py, prot: 1}"), ["3:18 unknown-key"]),
        (agents("A: {run: a.py, restart: allways}"), ["3:27 wrong-value"]),
        (agents("A: {run: a.py, needs: [A]}"), ["3:26 self-edge"]),
        (agents("A: {run: a.py, wants: [Bee]}", "Be: {run: b.py}"), ["3:26 unknown-agent"]),
        (agents("A: {run: a.py, needs: [B, B]}", "B: {run: b.py}"), ["3:29 duplicate-edge"]),
        (agents("A: {run: a.py, needs: [B], wants: [B]}", "B: {run: b.py}"), ["3:38 needs-and-wants"]),
        (agents("A: {run: a.py, machine: pc}"), ["3:18 unknown-machine"]),
        (agents("A: {run: a.py, cell: c}"), ["3:18 cell"]),
        (agents("A: {run: a.py, ready: {probe: zmq}}"), ["3:18 probe"]),
        (agents("A: {run: a.py, ready: {probe: log}}"), ["3:18 probe"]),
        (agents("A: {run: a.py, ready: {probe: log, pattern: '('}}"), ["3:38 probe"]),
        (agents("A: {run: a.py, ready: {probe: exec}}"), ["3:18 probe"]),
        (agents("A: {run: a.py, ready: {pattern: up}}"), ["3:26 probe"]),
        (agents("A: {run: a.py, liveness: {every: 5s}}"), ["3:18 liveness"]),
        (agents("A: {run: a.py, liveness: {watchdog: 5s, probe: tcp}}"), ["3:18 liveness"]),
        (
            agents("A: {run: a.py, port: 5, health_port: 6}", "B: {run: b.py, port: 6}"),
            ["4:18 port-used-twice"],
        ),
        (agents("A: {run: a.py, port: x, ready: {probe: zmq}}"), ["3:24 wrong-value"]),
        (agents("A: {run: a.py, env: {X: [1]}}"), ["3:27 wrong-type"]),
        (agents("A: {run: a.py, machine: pc}") + "machines: {pc: {gpu_memory: 1GiB}, p2: }\n", []),
        (agents("A: {run: a.py}") + "machines: {pc: , p2: }\n", ["3:3 no-machine"]),
        (
            agents("A: {run: a.py, gpu_memory: 2GiB}") + "machines: {pc: {gpu_memory: 1GiB}}\n",
            ["3:18 gpu-memory"],
        ),
        (agents("A: {run: a.py}") + "environments: {testing: {r: 'tcp://x:1'}}\n", ["4:26 address"]),
        (agents("A: {run: a.py}") + "environments: {testing: {r: 0.0.0.0}}\n", ["4:26 address"]),
        (agents("A: {run: a.py}") + "environments: {testing: {r: 'h:99999'}}\n", ["4:26 address"]),
        (hub("recovery: [{do: reboot}]"), ["4:23 wrong-value"]),
        (hub("recovery: [{agents: [A]}]"), ["4:18 missing-key"]),
        (hub("recovery: [{do: restart, agents: [B]}]"), ["4:41 unknown-agent"]),
        (hub("recovery: [{do: restart, times: 0}]"), ["4:39 wrong-value"]),
        (hub("recovery: [{do: run}]"), ["4:19 recovery"]),
        (hub("recovery: [{do: restart, run: [x]}]"), ["4:32 recovery"]),
        (hub("recovery: [{do: restart, figure: lag}]"), ["4:32 recovery"]),
        (hub("alerts: {thresholds: [{figure: lag}]}"), ["4:29 threshold"]),
        (hub("alerts: {thresholds: [{figure: lag, above: 1, below: 2}]}"), ["4:29 threshold"]),
        (hub("alerts: {thresholds: [{figure: lag, above: 1, agents: [B]}]}"), ["4:62 unknown-agent"]),
        (hub("actions: nowhere"), ["4:16 wrong-value"]),
    ],
)
def test_each_fault_has_code_and_place(text: str, expected: list[str]) -> None:
    assert fault_places(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (agents("A: {run: a.py, prot: 1}"), "did you mean `port`?"),
        (agents("A: {run: a.py, depends_on: [B]}"), "did you mean `needs`?"),
        (agents("A: {script: a.py}"), "did you mean `run`?"),
        (agents("A: {run: a.py, needs: [regisry]}", "Registry: {run: b.py}"), "did you mean `Registry`?"),
        (agents("A: {run: a.py, restart: allways}"), "did you mean `always`?"),
        (agents("A: {run: a.py, start_timeout: 60}"), "such as `start_timeout: 60s`"),
        (agents("A: {run: a.py, memory: 512}"), "such as `memory: 512MiB`"),
        (agents("A: {run: a.py, required: yes}"), "`required: true`"),
        (agents("A: {run: a.py, needs: B}", "B: {run: b.py}"), "`needs: [B]`"),
        (agents("A: {run: a.py, port: '5000'}"), "without quotes"),
        (agents("A: {run: a.py, group: 12}"), 'in quotes it is a text: `"12"`'),
        (agents("A: {run: a.py, machine: pc}") + "machines: {pc1: , b: }\n", "did you mean `pc1`?"),
        (hub("recovery: [{do: restart, agents: [a]}]"), "did you mean `A`?"),
        (hub("recovery: [{do: run}]"), "such as `run: [./free-gpu.sh]`"),
    ],
)
def test_fault_hints_suggest_valid_text(text: str, words: str) -> None:
    assert any(words in fault.hint for fault in faults_of(text)), faults_of(text)


@pytest.mark.parametrize("value", ["-1", "true", ".inf", "1e400"])
def test_hint_never_suggests_invalid_value(value: str) -> None:
    """`memory: -1` was to be written `-1MiB`."""
    (fault,) = faults_of(agents(f"A: {{run: a.py, memory: {value}}}"))
    assert "MiB`" not in fault.hint
    assert "expected a size such as 512MiB" in fault.message


def test_loader_reports_all_faults_in_file_order() -> None:
    text = agents(
        "A: {run: a.py, needs: [Nobody], port: 0}",
        "B: {run: b.py, prot: 1}",
        "C: {run: c.py, needs: [D], port: 5000}",
        "D: {run: d.py, needs: [C], health_port: 5000}",
        "E: {}",
    )
    with pytest.raises(InputError) as caught:
        load_fleet("/fleets/f.yaml", text)
    assert [fault.where.split(":", 1)[1] for fault in caught.value.faults] == [
        "3:26", "3:41", "4:18", "5:26", "6:30", "7:3"
    ]  # fmt: skip


def test_cycle_fault_names_its_path_and_edge_to_change() -> None:
    text = agents(
        "A: {run: a.py, needs: [B]}",
        "B: {run: b.py, needs: [C]}",
        "C: {run: c.py, needs: [A]}",
    )
    (fault,) = faults_of(text)
    assert fault.message == (
        "`A` waits for itself through a cycle of 3 agents\n  A -> B -> C -> A   (/fleets/f.yaml:3:26, :4, :5)"
    )
    assert fault.hint == "turn one `needs` into `wants`, for example `A` of `C` in line 5"


def test_loader_returns_fleet_with_cycle_but_not_with_wrong_value() -> None:
    cycle = agents("A: {run: a.py, needs: [B]}", "B: {run: b.py, needs: [A]}")
    fleet, faults = read_fleet("/f.yaml", cycle)
    assert fleet is not None
    assert [fault.code for fault in faults] == ["cycle"]
    assert read_fleet("/f.yaml", agents("A: {run: a.py, port: x}"))[0] is None


def test_ports_may_repeat_only_on_different_machines() -> None:
    machines = "machines: {m: , n: }\n"
    same = agents("A: {run: a.py, port: 1, machine: m}", "B: {run: b.py, port: 1, machine: m}")
    other = agents("A: {run: a.py, port: 1, machine: m}", "B: {run: b.py, port: 1, machine: n}")
    assert fault_places(machines + same) == ["5:18 port-used-twice"]
    assert fault_places(machines + other) == []


def test_need_of_faulty_agent_is_no_fault() -> None:
    assert fault_places(agents("A: {run: a.py, needs: [B]}", "B: {run: b.py, port: x}")) == [
        "4:24 wrong-value"
    ]


def test_cell_members_with_different_python_are_a_fault() -> None:
    text = agents(
        "A: {run: 'm:A', cell: c}",
        "B: {run: 'm:B', cell: c}",
        "C: {run: 'm:C', cell: c, python: /opt/python}",
    )
    assert fault_places(text) == ["5:28 cell"]


def test_loader_reports_missing_and_non_utf8_files_and_accepts_bom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    missing = tmp_path / "none.yaml"
    assert [(f.where, f.code) for f in read_fleet(missing)[1]] == [("none.yaml:1:1", "unreadable")]
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"fleet: f\ngroup: caf\xe9\n")
    assert [(f.where, f.code) for f in read_fleet(latin)[1]] == [("latin.yaml:2:11", "not-utf-8")]
    marked = tmp_path / "bom.yaml"
    marked.write_bytes(b"\xef\xbb\xbf" + agents("A: {run: a.py}").encode())
    assert load_fleet(marked).agents["A"].where == "bom.yaml:3:3"


KEYS = (
    *("fleet", "agents", "machines", "environments", "defaults", "A", "B", "run", "needs", "port"),
    *("ready", "probe", "env", "hub", "testing", "cell", "agent", "liveness", "x"),
)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
def test_loader_loads_or_reports_any_json_value(value: object) -> None:
    fleet, faults = read_fleet("/f.yaml", json.dumps(value))
    assert (fleet is not None) or faults


def test_loader_rejects_pipe_device_and_huge_file(tmp_path: Path) -> None:
    pipe, zero, huge = tmp_path / "pipe.yaml", tmp_path / "zero.yaml", tmp_path / "huge.yaml"
    os.mkfifo(pipe)
    zero.symlink_to("/dev/zero")
    with huge.open("wb") as file:
        file.truncate(17 * 2**20)
    fault_places = [read_fleet(each)[1][0] for each in (pipe, zero, huge)]
    assert [each.code for each in fault_places] == ["unreadable"] * 3
    assert [each.message.partition("read: ")[2] for each in fault_places] == [
        "it is a pipe, expected a regular file",
        "it is a device, expected a regular file",
        "it has more than 16 MiB",
    ]
