"""The control protocol: the requests of clients and the answers of the supervisor.

JSON lines over a stream socket (mode 0600, the peer's uid is checked); each line is one of these
structs, distinguished by `type`. The client speaks first, with ClientHello.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from argosy.engine.protocol.state_machine import State
from argosy.fault import Fault
from argosy.fleet.fleet_spec import Fleet

PROTOCOL = 2
# Written by a new supervisor to the descriptor it was started with; on failure a Refused line instead.
READY = b"ready"
# The fault code of a supervisor that found another one running.
SUPERVISOR_ALREADY_RUNNING = "already-running"


class ControlMessage(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, kw_only=True):
    """Base of all messages; the tag is the class name in lower case."""


# ---- requests


class ClientHello(ControlMessage, frozen=True, tag="hello"):
    """Opens a session; answered by ServerHello, or by Refused when the protocol differs.

    The tag is the same in every protocol version.
    """

    protocol: int
    client: str


class Apply(ControlMessage, frozen=True):
    """Bring the fleet up; answered by ApplyPreview, AgentStateChanged..., ApplySummary.

    fleet: as the caller has loaded it, without faults.
    environ: the caller's environment, the base of every agent started by this apply; the values are bytes,
    since they need not be text.
    only: names to start, with their needs; None for all. skip: names that are left out, with the reason.
    hub: start the machine's hub once agents are ready. origin: the machine that forwards the apply, empty
    for a client; its `path` and `environ` then do not apply to this machine.
    apply_id: identifies the apply on all machines, assigned by the supervisor that the client asked.
    file_digest: of the fleet file as it was loaded.
    """

    fleet: Fleet
    environment: str
    machine: str | None
    environ: dict[str, bytes]
    only: list[str] | None = None
    skip: dict[str, str] = {}
    timeout_s: float = 300.0
    hub: bool = False
    origin: str = ""
    apply_id: str = ""
    file_digest: str = ""


class Stop(ControlMessage, frozen=True):
    """Stop these agents (None: all) in reverse dependency order; answered by Stopped.

    force: kill at once, without grace or order. origin: the machine that forwards the request.
    stopping_elsewhere: agents that other machines are stopping at the same time.
    """

    names: list[str] | None = None
    force: bool = False
    origin: str = ""
    stopping_elsewhere: list[str] = []


class Restart(ControlMessage, frozen=True):
    """Restart these agents in place; answered by Restarted. origin: the machine that forwards it."""

    names: list[str]
    origin: str = ""


class GetStatus(ControlMessage, frozen=True):
    """Ask for the state of the fleet; answered by FleetStatus."""


class Subscribe(ControlMessage, frozen=True):
    """Send AgentStateChanged for every transition from now on."""


class RelayCommand(ControlMessage, frozen=True):
    """Run `argosy ARGS` for this fleet on a machine; answered by CommandOutput, the last one empty.

    args: start with a read-only command.
    """

    machine: str
    args: list[str]


class MarkMachineFailed(ControlMessage, frozen=True):
    """Report that a machine has failed: its agents that others need will not become ready.

    Holds while the machine is unreachable; when it connects again, its own state counts.
    """

    machine: str
    reason: str


class InjectFault(ControlMessage, frozen=True):
    """Kill or freeze the process of a ready agent of this machine; answered by FaultInjected or Refused.

    The resulting exit counts towards no restart limit. max_duration_s: a frozen process is resumed after
    this time at the latest, at ResumeProcess, and as soon as the client disconnects.
    """

    agent: str
    kind: Literal["kill", "freeze"]
    max_duration_s: float


class ResumeProcess(ControlMessage, frozen=True):
    """Resume the process that was frozen for this client."""


class Shutdown(ControlMessage, frozen=True):
    """Exit the supervisor; the agents keep running."""


# ---- replies and events


class ServerHello(ControlMessage, frozen=True, tag="welcome"):
    """The supervisor that answers. The tag is the same in every protocol version.

    enforced_limits: the limits its control groups enforce: `memory`, `cpu`. is_persistent: it stays up
    when no agent runs.
    """

    protocol: int
    pid: int
    started_s: float
    enforced_limits: list[str] = []
    is_persistent: bool = False


class Refused(ControlMessage, frozen=True):
    """The request was not carried out."""

    faults: list[Fault]
    exit_code: int = 1


class ApplyPreview(ControlMessage, frozen=True):
    """What an apply will change, sent before it does. machine: empty for the one that was asked."""

    start: list[str]
    restart: list[str]
    stop: list[str]
    adopted: list[str]
    declared: int
    machine: str = ""


class MachineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of the fleet. state: here, linked or blind. since_s: epoch seconds of that state.

    version: of its source tree, empty when none is recorded.
    """

    state: str
    since_s: float
    reason: str = ""
    version: str = ""


class MachineStatusChanged(ControlMessage, frozen=True):
    """Another machine became connected or unreachable, or did not connect in time."""

    machine: str
    status: MachineStatus


class CommandOutput(ControlMessage, frozen=True):
    """A part of the output of a relayed command; empty when the command has ended."""

    data: bytes


class AgentStateChanged(ControlMessage, frozen=True):
    """A transition of one agent. at_s: epoch seconds. last_lines: its last log lines, when given up.

    is_silent: its heartbeats have stopped.
    """

    agent: str
    state: State
    at_s: float
    reason: str = ""
    pid: int | None = None
    waiting_on: list[str] = []
    last_lines: list[str] = []
    is_silent: bool = False


class CriticalPathStep(msgspec.Struct, frozen=True):
    """An agent on the critical path: seconds from the apply to its start and its readiness."""

    agent: str
    started: float
    ready: float


class ApplySummary(ControlMessage, frozen=True):
    """The result of an apply: ready + not_ready + left_out = declared; degraded is part of ready.

    optional: those of `not_ready` that are not required. last_lines: the last log lines of agents that were
    given up, by name. blocked_by: for each blocked agent, the agent at the root of the block. hub: why the
    requested hub does not run.
    """

    declared: int
    ready: list[str]
    degraded: list[str]
    not_ready: dict[str, str]
    optional: list[str]
    left_out: dict[str, str]
    adopted: list[str]
    seconds: float
    critical_path: list[CriticalPathStep]
    critical_path_seconds: float
    interrupted: bool = False
    last_lines: dict[str, list[str]] = {}
    blocked_by: dict[str, str] = {}
    hub: str = ""


class Stopped(ControlMessage, frozen=True):
    """Which agents were stopped, and which had to be killed.

    unreachable: machines that could not be asked, with the reason; their agents keep running.
    still_running: agents that survived a kill, with the reason.
    """

    stopped: list[str]
    killed: list[str]
    seconds: float
    unreachable: dict[str, str] = {}
    still_running: dict[str, str] = {}


class Restarted(ControlMessage, frozen=True):
    """The result of a restart: the agents that are ready again, and the others with the reason.

    restarted_with_cell: by cell, the agents restarted because they share its process with a named one.
    """

    restarted: list[str]
    not_ready: dict[str, str]
    reconnected: list[str]
    seconds: float
    restarted_with_cell: dict[str, list[str]] = {}


class LastExit(msgspec.Struct, frozen=True):
    """The last unwanted exit of an agent; kept when its next process is ready. at_s: epoch seconds."""

    reason: str
    at_s: float


class FaultInjected(ControlMessage, frozen=True):
    """The signal was sent. at_s: epoch seconds. pid: the process that received it."""

    agent: str
    pid: int
    at_s: float


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One agent now.

    cell: the cell whose process it shares; its proportional memory is then an equal share. since_s: epoch
    seconds of its state. Memory is sampled; sampled_s is the age of the sample.
    last_lines: its last log lines, when given up. version: of the tree when its process was started, empty
    when none was recorded. apply_id: of the Apply that last started it. has_failed: it exited with an
    error, and is still wanted. silent_s: how long it has sent no heartbeat, None when none is missing; the
    health that it reported before is outdated then.
    """

    state: State
    health: str | None
    pid: int | None
    machine: str | None
    group: str | None
    port: int | None
    restarts: int
    since_s: float
    waiting_on: list[str]
    reason: str
    rss_bytes: int | None
    pss_bytes: int | None
    sampled_s: float | None
    last_lines: list[str] = []
    cell: str | None = None
    version: str = ""
    apply_id: str = ""
    last_exit: LastExit | None = None
    required: bool = True
    has_failed: bool = False
    silent_s: float | None = None


class ShuttingDown(ControlMessage, frozen=True):
    """The supervisor exits on purpose. running: the number of agents that keep running."""

    running: int


class FleetStatus(ControlMessage, frozen=True):
    """The fleet now. hub: why the requested hub does not run."""

    fleet: str
    environment: str
    pid: int
    started_s: float
    machines: dict[str, MachineStatus]
    agents: dict[str, AgentStatus]
    hub: str = ""

    def running(self) -> list[str]:
        """Return the agents that have a process; of an unreachable machine, by the last known pid."""
        return [
            name
            for name, agent in self.agents.items()
            if agent.pid is not None and agent.state is not State.EXITED
        ]

    def describe_readiness(self) -> str:
        """Return how many agents are ready, and how many of those are degraded."""
        states = [agent.state for agent in self.agents.values()]
        degraded = states.count(State.DEGRADED)
        ready = f"{states.count(State.READY) + degraded} of {len(states)} ready"
        return f"{ready} ({degraded} degraded)" if degraded else ready

    def local_agents(self) -> dict[str, AgentStatus]:
        """Return the agents of this machine; the pids of other machines mean nothing here."""
        remote_machines = {name for name, machine in self.machines.items() if machine.state != "here"}
        return {name: agent for name, agent in self.agents.items() if agent.machine not in remote_machines}


ControlRequest = (
    ClientHello
    | Apply
    | Stop
    | Restart
    | GetStatus
    | Subscribe
    | RelayCommand
    | MarkMachineFailed
    | InjectFault
    | ResumeProcess
    | Shutdown
)
ControlReply = (
    ServerHello
    | Refused
    | ApplyPreview
    | AgentStateChanged
    | MachineStatusChanged
    | ApplySummary
    | Stopped
    | Restarted
    | FaultInjected
    | CommandOutput
    | ShuttingDown
    | FleetStatus
)

_encoder = msgspec.json.Encoder()
_request_decoder: msgspec.json.Decoder[ControlRequest] = msgspec.json.Decoder(ControlRequest)
_reply_decoder: msgspec.json.Decoder[ControlReply] = msgspec.json.Decoder(ControlReply)


def encode_line(message: ControlMessage) -> bytes:
    """Return a message as one line."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> ControlRequest:
    """Return the request in a line.

    Raises msgspec.DecodeError: it is not a request.
    """
    return _request_decoder.decode(line)


def decode_reply(line: bytes) -> ControlReply:
    """Return the reply in a line.

    Raises msgspec.DecodeError: it is not a reply.
    """
    return _reply_decoder.decode(line)
