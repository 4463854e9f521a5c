"""Readiness and liveness probes on real processes, also with a stale process on the port."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ..conftest import is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

# Serves HTTP on its port; the word in the file `answer` is the status.
WEB = """
import http.server, os, pathlib, signal, sys
answer = pathlib.Path("answer")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(answer.read_text()) if self.path == "/up?deep=1" else 404
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A port that is free now, and that nobody else here is given meanwhile."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def stale_process(port: int) -> Iterator[None]:
    """A listener that is not the agent's and answers everybody like a healthy one."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                with taken:
                    taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def restarted(rig: Rig, agent: str, before: int) -> bool:
    found = rig.agents()[agent]
    return found["state"] == "ready" and found["pid"] not in (before, None)


def test_http_probe_reports_ready_at_2xx_only(rig: Rig, port: int) -> None:
    rig.write(WEB, "web.py")
    rig.write("503", "answer")
    rig.write(f"""
        fleet: toy
        agents:
          A: {{run: web.py, args: [{port}], ready: {{probe: http, port: {port}, path: "up?deep=1"}}}}
        """)
    up = rig.start("up", "-d")
    rig.until(lambda: "503" in rig.argosy("logs", "A").stdout)
    assert rig.agents()["A"]["state"] == "starting"
    rig.write("204", "answer")
    up.communicate(timeout=20)
    assert up.returncode == 0
    assert rig.agents()["A"]["state"] == "ready"


def test_http_probe_failure_reports_status(rig: Rig, port: int) -> None:
    rig.write(WEB, "web.py")
    rig.write("503", "answer")
    rig.write(f"""
        fleet: toy
        agents:
          A: {{run: web.py, args: [{port}], ready: {{probe: http, port: {port}}}, start_timeout: 1500ms}}
        """)
    reason = rig.json("up", "-d", code=1)["not_ready"]["A"]
    assert f"port {port} answers GET /health with status 404" in reason


def test_log_probe_matches_lines_of_current_process_only(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A:
            run: [sh, -c, "test -e go && echo 'model loaded: 7B'; echo not the model; exec sleep 1000"]
            ready: {probe: log, pattern: "^model loaded: \\\\d+B$"}
            start_timeout: 700ms
            restart: never
        """)
    (rig.folder / "go").touch()
    rig.json("up", "-d")
    rig.json("down")
    (rig.folder / "go").unlink()
    reason = rig.json("up", "-d", code=1)["not_ready"]["A"]
    assert "no line of its output matched `^model loaded: \\d+B$`" in reason, "the line before was another's"
    assert "last line: not the model" in reason


def test_log_probe_continues_under_next_supervisor(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [sh, -c, "echo loaded; exec sleep 1000"], ready: {probe: log, pattern: loaded}}
          B:
            run: [sh, -c, "until test -e go; do sleep 0.01; done; echo loaded; exec sleep 1000"]
            ready: {probe: log, pattern: loaded}
        """)
    rig.start("up", "-d")
    rig.until(lambda: [rig.agents().get(name, {}).get("state") for name in "AB"] == ["ready", "starting"])
    before = {name: rig.pid(name) for name in "AB"}
    rig.kill_supervisor()
    (rig.folder / "go").touch()
    up = rig.json("up", "-d")
    assert sorted(up["adopted"]) == ["A", "B"]
    assert {name: rig.pid(name) for name in "AB"} == before


def test_exec_probe_runs_in_agent_environment_without_notify_socket(rig: Rig) -> None:
    script = "env > seen; pwd >> seen; test -e go || { echo not loaded yet >&2; exit 3; }"
    rig.write(f"""
        fleet: toy
        agents:
          A:
            run: [sleep, "1000"]
            env: {{WHO: me}}
            ready: {{probe: exec, command: [sh, -c, {script!r}]}}
            start_timeout: 1s
            restart: never
        """)
    reason = rig.json("up", "-d", code=1)["not_ready"]["A"]
    assert "exited with code 3: not loaded yet" in reason
    seen = (rig.folder / "seen").read_text().splitlines()
    assert "WHO=me" in seen
    assert "ARGOSY_AGENT=A" in seen
    assert str(rig.folder) in seen
    assert not [line for line in seen if line.startswith("NOTIFY_SOCKET=")]
    (rig.folder / "go").touch()
    rig.json("up", "-d")
    assert rig.agents()["A"]["state"] == "ready"


def test_up_and_check_report_missing_exec_probe_command(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [sleep, "1000"], ready: {probe: exec, command: [no-such-probe]}, start_timeout: 500ms}
        """)
    assert "`no-such-probe` was not found" in rig.json("up", "-d", code=1)["not_ready"]["A"]
    assert "no-such-probe" in rig.argosy("check").stdout


KEYS = {
    "tcp": "ready: {{probe: tcp, port: {port}}}",
    "http": "ready: {{probe: http, port: {port}}}",
    "zmq": "ready: {{probe: zmq, port: {port}}}",
    "log": "port: {port}, ready: {{probe: log, pattern: up}}",
    "exec": 'port: {port}, ready: {{probe: exec, command: ["true"]}}',
    "alive": "port: {port}, ready: {{probe: alive, seconds: 0}}",
    "notify": "port: {port}, ready: {{probe: notify}}",
}


@pytest.mark.parametrize("kind", KEYS)
def test_up_names_stale_process_on_port_for_every_probe_kind(rig: Rig, port: int, kind: str) -> None:
    keys = KEYS[kind].format(port=port)
    rig.write(f"""
        fleet: toy
        defaults: {{backoff: {{first: 10ms, most: 10ms}}, restart_limit: {{times: 2, within: 60s}}}}
        agents:
          A: {{run: speaker.py, {keys}}}
        """)
    with stale_process(port):
        up = rig.json("up", "-d", code=1)
    assert up["ready"] == []
    assert f"port {port} held by pid {os.getpid()}" in up["not_ready"]["A"]


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_probe_rejects_foreign_listener_that_appears_during_start(rig: Rig, port: int, kind: str) -> None:
    rig.write(f"""
        fleet: toy
        agents:
          A: {{run: [sleep, "1000"], ready: {{probe: {kind}, port: {port}}}, start_timeout: 2s}}
        """)
    up = rig.start("up", "-d", "--json")
    rig.until(lambda: rig.agents().get("A", {}).get("pid") is not None)
    with stale_process(port):
        out, _ = up.communicate(timeout=20)
    assert up.returncode == 1
    assert f"port {port} held by pid {os.getpid()}".encode() in out
    assert b"not by this agent" in out


# ---- liveness


def test_supervisor_restarts_agent_after_liveness_probe_failures(rig: Rig, port: int) -> None:
    rig.write(WEB, "web.py")
    rig.write("200", "answer")
    rig.write(f"""
        fleet: toy
        agents:
          A:
            run: web.py
            args: [{port}]
            ready: {{probe: tcp, port: {port}}}
            liveness: {{probe: http, port: {port}, path: "/up?deep=1", every: 50ms, failures: 2}}
        """)
    rig.json("up", "-d")
    before = rig.pid("A")
    rig.until(lambda: rig.argosy("logs", "A").stdout.count('" 200') >= 3)
    assert rig.pid("A") == before
    rig.write("500", "answer")
    rig.until(lambda: not is_alive(before))
    rig.write("200", "answer")
    rig.until(lambda: restarted(rig, "A", before))
    assert rig.agents()["A"]["restarts"] >= 1
    event_log = next((rig.folder / "state" / "argosy").glob("*/event-log")).read_text()
    assert f"failed its liveness probe 2 times in a row: port {port} answers GET" in event_log


def test_agent_given_up_after_liveness_failures_shows_last_log_lines(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A:
            run: [sh, -c, "echo so far; echo so good; exec sleep 1000"]
            liveness: {probe: exec, command: [sh, -c, "test ! -e down"], every: 30ms, failures: 1}
            restart_limit: {times: 0, within: 60s}
          B: {run: speaker.py, ready: {probe: notify}}
        """)
    rig.json("up", "-d")
    (rig.folder / "down").touch()
    rig.until(lambda: rig.agents()["A"]["state"] == "given-up")
    found = rig.agents()["A"]
    assert "failed its liveness probe once" in found["reason"]
    assert found["last_lines"] == ["so far", "so good"]
    assert "  | so good" in rig.argosy("status").stdout
    rig.kill_supervisor()
    left = rig.agents()["A"]
    assert (left["state"], left["last_lines"]) == ("given-up", ["so far", "so good"]), (
        "also without a supervisor"
    )


def test_exec_probe_process_group_is_killed_when_agent_stops(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A:
            run: [sleep, "1000"]
            ready: {probe: exec, command: [sh, -c, "sleep 2000 & sleep 3000"]}
            start_timeout: 1s
        """)
    rig.start("up", "-d")
    rig.until(lambda: sum("sleep 2000" in line or "sleep 3000" in line for line in rig.leftovers()) >= 2)
    rig.until(lambda: not [line for line in rig.leftovers() if "000" in line])


def test_up_and_event_log_show_last_lines_of_given_up_agent(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        defaults: {backoff: {first: 10ms, most: 20ms}, restart_limit: {times: 1, within: 60s}}
        agents:
          A: {run: [sh, -c, "echo try; echo no luck $API_TOKEN; exit 3"], env: {API_TOKEN: hush-hush}}
        """)
    up = rig.json("up", "-d", code=1)
    assert up["last_lines"] == {"A": ["try", "no luck ***"]}, "of the last process alone"
    assert "given up after 1 restart:" in up["not_ready"]["A"]
    event_log = next((rig.folder / "state" / "argosy").glob("*/event-log")).read_text()
    assert '"lines":["try","no luck ***"]' in event_log
    assert "  | no luck" in rig.argosy("up", "-d").stdout
