"""`argosy graph --real`: connections of running agents are compared with the declared edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rig.fleet import free_ports

if TYPE_CHECKING:
    from ..conftest import Rig

FLEET = """
fleet: toy
defaults: {{ready: {{probe: notify}}}}
agents:
  Server: {{run: server.py, port: {port}}}
  Caller: {{run: caller.py, needs: [Server]}}
  Secret: {{run: caller.py, wants: []}}
  Idle: {{run: speaker.py, needs: [Server]}}
"""
TELL = """
import os, signal, socket
def tell(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
"""


def test_graph_real_reports_undeclared_and_unused_connections(rig: Rig) -> None:
    (port,) = free_ports(1)
    rig.write(FLEET.format(port=port))
    server = f"server = socket.create_server(('127.0.0.1', {port}))\ntell('READY=1')\nsignal.pause()\n"
    rig.write(TELL + server, "server.py")
    # Secret may start before the server: it dials until somebody is there.
    dial = (
        "import time\nwhile True:\n    try:\n"
        f"        held = socket.create_connection(('127.0.0.1', {port}))\n        break\n"
        "    except ConnectionRefusedError: time.sleep(0.01)\n"
        "tell('READY=1')\nsignal.pause()\n"
    )
    rig.write(TELL + dial, "caller.py")
    assert rig.json("graph", "--real", code=1)["errors"][0]["code"] == "not-running"
    rig.json("up", "-d")
    answer = rig.json("graph", "--real")
    assert {(each["from"], each["to"]): each["evidence"] for each in answer["real"]} == {
        ("Caller", "Server"): [f"tcp port {port}"],
        ("Secret", "Server"): [f"tcp port {port}"],
    }
    assert {(each["from"], each["to"]): each["code"] for each in answer["differences"]} == {
        ("Secret", "Server"): "D503",
        ("Idle", "Server"): "D504",
    }
    assert answer["sees_unix_sockets"] is True
    both = rig.argosy("graph", "--real", "--code").stdout
    assert "2 edges observed in processes" in both
    assert "no file that it loads names it or its port and it has no connection to it now" in both
