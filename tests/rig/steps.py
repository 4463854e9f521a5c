"""The steps of the engine's work in the words of its design, and where each is in the code."""

from __future__ import annotations

from rig.trial import Point

FORKER, ZYGOTE, CLIENT = ("forker",), ("zygote",), ("client",)


def orphan(kinds: tuple[str, ...], at: str, on: str = "call") -> Point:
    return Point(at, on, kinds, "orphan")


def dies(kinds: tuple[str, ...], at: str, on: str = "call") -> Point:
    return Point(at, on, kinds)


def pauses(kinds: tuple[str, ...], at: str, on: str = "call") -> Point:
    return Point(at, on, kinds, "pause")


# An agent has ended and is started again.
START = {
    "the lease is about to be looked at": Point("crew.Crew.adopt"),
    "the ports have been found free": Point("ports.obstacle", "return"),
    "the wish is written down, nothing is ordered": Point("unit.Unit._write_will", "return", nth=2),
    "the order is about to be sent": Point("forkerlink.ForkerLink.send"),
    "the order is sent": Point("forkerlink.ForkerLink.send", "return"),
    "the birth is told and not taken": Point("nursery.Nursery.on_birth"),
    "the birth is noted for the log": Point("logkeeper.LogKeeper.begin", "return"),
    "the birth is taken": Point("nursery.Nursery.on_birth", "return"),
}
FORK = {
    "the forker has the order": ("forker.Forker.bear", "call"),
    "the forker has forked": ("forker.Forker.report_birth", "call"),
    "the forker has told of the birth": ("forker.Forker._tell", "return"),
    "the forker has let the agent go": ("forker.Forker.report_birth", "return"),
}
AGENT = {
    "the agent is let go": ("bootstrap.settle", "call"),
    "the agent is about to lock its lease": ("bootstrap._take_lease", "call"),
    "the agent has its lease": ("lease.lock_within", "return"),
    "the agent has looked for a living one": ("lease.read_record_of", "return"),
    "the agent has written its record": ("lease.write_record", "return"),
    "the agent has read the generation": ("generation.read_generation", "return"),
    "the agent has all but its program": ("bootstrap.settle", "return"),
}
READY = {
    "it is heard": Point("signs.Signs._tell"),
    "it is ready, nobody knows": Point("unit.Unit._announce"),
    "its dependents are about to be told": Point("crew.Crew.is_rising"),
    "its dependents are told": Point("crew.Crew.is_rising", "return"),
    "its readiness is written down": Point("unit.Unit._announce", "return"),
}
TOLD = {
    "the forker has seen the end": orphan(FORKER, "process.kill_group_of_zombie"),
    "the forker has killed the group": orphan(FORKER, "process.kill_group_of_zombie", "return"),
    "the forker has told of the end": orphan(FORKER, "forker.Forker._tell", "return"),
    "the forker has reaped": orphan(FORKER, "forker.Forker._reap", "return"),
}
EXIT = {
    "the end is known": Point("unit.Unit.ended"),
    "what it left is about to be looked for": Point("departure.Departure.look"),
    "nothing is left of it": Point("unit.Unit._after_end"),
    "a restart is decided": Point("unit.Unit._back_off"),
    "the restart is written down": Point("unit.Unit._back_off", "return"),
}


STOP = {
    "it is asked to stop": Point("rollout.Rollout.stop"),
    "that it shall not run is about to be written down": Point("unit.Unit._write_will"),
    "that it shall not run is written down": Point("unit.Unit._write_will", "return"),
    "it is about to be told to end": Point("held.HeldProcess.terminate"),
    "it is told to end": Point("held.HeldProcess.terminate", "return"),
    "the end that was asked for is known": Point("unit.Unit.ended"),
    "its end is concluded": Point("crew.Crew.has_concluded", "return"),
    "the stop is about to be answered": Point("unit.Unit._after_end", "return"),
}
ADOPT = {
    "the supervisor's lock is about to be taken": Point("generation.hold"),
    "the supervisor's lock is taken": Point("generation.hold", "return"),
    "the generation is about to be raised": Point("generation.write_generation"),
    "the generation is raised": Point("generation.raise_generation", "return"),
    "orphans are ended": Point("orphans.end_orphans", "return"),
    "the new control socket is bound": Point("control.ControlServer.bind", "return"),
    "the first is about to be adopted": Point("crew.Crew.adopt"),
    "the first is adopted": Point("unit.Unit.adopt", "return"),
    "the second is adopted": Point("unit.Unit.adopt", "return", nth=2),
    "all are adopted": Point("supervisor.Supervisor.adopt", "return"),
    "the control socket has its name": Point("control.ControlServer.publish", "return"),
    "the client is told": Point("serve.main.<locals>.tell", "return"),
}
CONTROL = {
    "the client has said hello": Point("supervisor.Supervisor._answer"),
    "the fleet is planned": Point("difference.compare"),
    "the plan is about to be written down": Point("roster.draft_roster"),
    "the plan is drafted": Point("roster.draft_roster", "return"),
    "the book is written": Point("roster.write_book_of", "return"),
    "the plan is written down": Point("rollout.Rollout._write_down", "return"),
    "the difference is told": Point("difference.Change.told", "return"),
    "the account is closed": Point("account.close_account", "return"),
    "the account is told": Point("rollout.Rollout._note_account", "return"),
}
UP = {
    "it looks for a supervisor": dies(CLIENT, "client.connect"),
    "it may start one": dies(CLIENT, "client._start_supervisor"),
    "it has started one": dies(CLIENT, "subprocess.Popen._execute_child fork_exec", "c_return"),
    "the supervisor has told it": dies(CLIENT, "client._start_supervisor", "return"),
    "it is greeted": dies(CLIENT, "client.Client._greet", "return"),
    "it is about to ask": dies(CLIENT, "up._converse"),
    "it has asked": Point("client.Client.send", "return", CLIENT, nth=2),
    "it has the account": dies(CLIENT, "up._show_account"),
}

POINTS: dict[str, Point] = {**START, **READY, **TOLD, **EXIT, **STOP, **ADOPT, **CONTROL, **UP}
for doing in (orphan, dies, pauses):
    for words, (at, on) in {**FORK, **AGENT}.items():
        for kinds in (FORKER, ZYGOTE):
            POINTS[f"{words}: {doing.__name__} {kinds[0]}"] = doing(kinds, at, on)
