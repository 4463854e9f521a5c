"""The control protocol: what clients ask of the supervisor, and what it answers.

JSON lines over a stream socket (0600, the peer's uid checked); each line is one of these structs,
told apart by `type`. The client speaks first, with Hello.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from argosy.engine.unit.state_machine import State
from argosy.fault import Fault
from argosy.fleet.fleet_spec import Fleet

PROTOCOL = 1
# What a new supervisor writes to the descriptor its starter gave; else a line with Refused.
READY = b"ready"
# The code of the fault of one that found another ruling.
SUPERVISOR_ALREADY_RUNNING = "held"


class ControlMessage(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, kw_only=True):
    """Base of all messages; the tag is the class name in lower case."""


# ---- requests


class ClientHello(ControlMessage, frozen=True):
    """Who is there; answered by Welcome, or Refused when the protocol differs."""

    protocol: int
    client: str


class Apply(ControlMessage, frozen=True):
    """Bring the fleet up; answered by Difference, Changed..., Account.

    fleet: as the caller has loaded it, without a fault.
    environ: the caller's environment, the base of every agent started for this; values as bytes, since
    they need not be text.
    only: names to start, with their needs; None for all. skip: names that are left out, with the reason.
    hub: whether the machine's hub is to run as well, once agents are ready. origin: the machine that
    hands it on, empty when it comes from a client; its `path` and `environ` are then not of this machine.
    order: its name among the machines, given by the one that the client has asked. file_digest: of the
    fleet file as it was loaded.
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
    """Stop these agents (None: all) in reverse order; answered by Stopped.

    is_kill: without grace or order. origin: the machine that hands it on. beside: agents that are
    stopped on other machines meanwhile.
    """

    names: list[str] | None = None
    force: bool = False
    origin: str = ""
    stopping_elsewhere: list[str] = []


class Restart(ControlMessage, frozen=True):
    """Restart these agents in place; answered by Restarted. origin: the machine that hands it on."""

    names: list[str]
    origin: str = ""


class GetStatus(ControlMessage, frozen=True):
    """What is; answered by Report."""


class Subscribe(ControlMessage, frozen=True):
    """Send Changed for every transition from now on."""


class RelayCommand(ControlMessage, frozen=True):
    """Run `argosy WORDS` for this fleet on a machine; answered by Output, the last of them empty.

    words: begin with a verb that only reads.
    """

    machine: str
    args: list[str]


class MarkMachineFailed(ControlMessage, frozen=True):
    """Somebody who knows says that a machine is gone: what is needed of it will not come.

    Holds while it is not seen; one that comes back is what it says itself.
    """

    machine: str
    reason: str


class InjectFault(ControlMessage, frozen=True):
    """Kill or freeze the process of a ready agent of this machine; answered by Disrupted, or Refused.

    An end that comes of it counts towards no restart limit. within_s: a frozen process goes on after so
    long at the latest, at Thaw, and as soon as the client is gone.
    """

    agent: str
    kind: Literal["kill", "freeze"]
    max_duration_s: float


class ResumeProcess(ControlMessage, frozen=True):
    """Let the process go on that was frozen for this client."""


class Shutdown(ControlMessage, frozen=True):
    """End the supervisor; the agents are left as they are."""


# ---- answers and events


class ServerHello(ControlMessage, frozen=True):
    """The supervisor that answers. held: which limits its control groups hold: `memory`, `cpu`.

    stays: it does not end when nothing runs.
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
    """What an apply will change, said before it does. machine: where, empty for the one that was asked."""

    start: list[str]
    restart: list[str]
    stop: list[str]
    adopted: list[str]
    declared: int
    machine: str = ""


class MachineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of the fleet. state: here, linked or blind. since_s: epoch seconds of it.

    version: of the tree that it has, empty where none is noted.
    """

    state: str
    since_s: float
    reason: str = ""
    version: str = ""


class MachineStatusChanged(ControlMessage, frozen=True):
    """Another machine is linked, or blind, or was waited for in vain."""

    machine: str
    status: MachineStatus


class CommandOutput(ControlMessage, frozen=True):
    """Some of what a verb that runs elsewhere has printed; nothing when it has ended."""

    data: bytes


class AgentStateChanged(ControlMessage, frozen=True):
    """One agent's transition. at_s: wall clock, epoch seconds. last_lines: of one that is given up.

    is_silent: it has beaten no more for a while.
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
    """The closed account of an apply: ready + not_ready + left_out = declared; degraded is part of ready.

    optional: those of `not_ready` that are not required. last_lines: what those that were given up
    printed last, by name. blocked_by: whom those that are blocked wait for in the end. hub: why the hub
    that is to run does not.
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

    unreached: machines that could not be told, with the reason; what runs there runs on. left: agents that
    not even a kill has ended, with the reason.
    """

    stopped: list[str]
    killed: list[str]
    seconds: float
    unreachable: dict[str, str] = {}
    still_running: dict[str, str] = {}


class Restarted(ControlMessage, frozen=True):
    """How a restart ended: the agents that are ready again, and the others with the reason.

    mates: by cell, the agents that were restarted because they share it with one that was to be.
    """

    restarted: list[str]
    not_ready: dict[str, str]
    reconnected: list[str]
    seconds: float
    restarted_with_cell: dict[str, list[str]] = {}


class LastExit(msgspec.Struct, frozen=True):
    """How the last process of an agent that was not to end ended; kept when the next is ready. at_s: when."""

    reason: str
    at_s: float


class FaultInjected(ControlMessage, frozen=True):
    """The signal was sent. at_s: wall clock, epoch seconds. pid: of the process that got it."""

    agent: str
    pid: int
    at_s: float


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One agent now.

    cell: whose process it shares; its proportional memory is then an equal share. since_s: epoch
    seconds of its state. Memory is sampled; sampled_s is the age of the sample.
    last_lines: what it printed last, of one that was given up. version: of the tree when its process
    was started, empty where none was noted. order: of the Apply that began it last. has_failed: it has
    exited by an error, and is still wanted. silent_s: how long it has not beaten, None of one that is not
    missed; what it said of its health before counts no more.
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
    """The supervisor ends on purpose; so many agents run on without it."""

    running: int


class FleetStatus(ControlMessage, frozen=True):
    """The fleet now. hub: why the hub that is to run does not."""

    fleet: str
    environment: str
    pid: int
    started_s: float
    machines: dict[str, MachineStatus]
    agents: dict[str, AgentStatus]
    hub: str = ""

    def running(self) -> list[str]:
        """Return the agents that have a process; of one that went with its machine the pid is the last."""
        return [
            name
            for name, agent in self.agents.items()
            if agent.pid is not None and agent.state is not State.EXITED
        ]

    def describe_readiness(self) -> str:
        """Return how many are ready, and how many of those are degraded."""
        states = [agent.state for agent in self.agents.values()]
        degraded = states.count(State.DEGRADED)
        ready = f"{states.count(State.READY) + degraded} of {len(states)} ready"
        return f"{ready} ({degraded} degraded)" if degraded else ready

    def local_agents(self) -> dict[str, AgentStatus]:
        """Return the agents of this machine: a pid of another one's is nobody here, or somebody else."""
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

    Raises msgspec.DecodeError: it is none.
    """
    return _request_decoder.decode(line)


def decode_reply(line: bytes) -> ControlReply:
    """Return the answer in a line.

    Raises msgspec.DecodeError: it is none.
    """
    return _reply_decoder.decode(line)
