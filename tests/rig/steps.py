"""The steps of the engine's work, by description, and where each is in the code."""

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
    "the lease is about to be looked at": Point("process_backend.OwnProcess.adopt_survivor"),
    "the ports have been found free": Point("port_owners.PortOwners.port_conflict", "return"),
    "the wish is written down, nothing is ordered": Point("unit.Unit.save_state", "return", nth=2),
    "the order is about to be sent": Point("forker_client.ForkerClient.send"),
    "the order is sent": Point("forker_client.ForkerClient.send", "return"),
    "the birth is told and not taken": Point("launcher.ProcessLauncher.on_spawned"),
    "the birth is noted for the log": Point("log_keeper.LogKeeper.expect_process_output", "return"),
    "the birth is taken": Point("launcher.ProcessLauncher.on_spawned", "return"),
}
FORK = {
    "the forker has the order": ("forker.Forker.fork_child", "call"),
    "the forker has forked": ("forker.Forker.report_spawned", "call"),
    "the forker has told of the birth": ("forker.Forker._send_event", "return"),
    "the forker has let the agent go": ("forker.Forker.report_spawned", "return"),
}
AGENT = {
    "the agent is let go": ("child_setup.setup_child", "call"),
    "the agent is about to lock its lease": ("child_setup._take_lease", "call"),
    "the agent has its lease": ("lease.try_lock_within", "return"),
    "the agent has looked for a living one": ("lease.read_record_of", "return"),
    "the agent has written its record": ("lease.write_record", "return"),
    "the agent has read the generation": ("generation.read_generation", "return"),
    "the agent has all but its program": ("child_setup.setup_child", "return"),
}
READY = {
    "it is heard": Point("agent_monitor.AgentMonitor._report_ready"),
    "it is ready, nobody knows": Point("unit.Unit._announce_ready"),
    "its dependents are about to be told": Point("dependents.Dependents.on_ready"),
    "its dependents are told": Point("dependents.Dependents.on_ready", "return"),
    "its readiness is written down": Point("unit.Unit._announce_ready", "return"),
}
EXIT_REPORTED = {
    "the forker has seen the end": orphan(FORKER, "os_process.kill_group_of_zombie"),
    "the forker has killed the group": orphan(FORKER, "os_process.kill_group_of_zombie", "return"),
    "the forker has told of the end": orphan(FORKER, "forker.Forker._send_event", "return"),
    "the forker has reaped": orphan(FORKER, "forker.Forker._reap", "return"),
}
EXIT = {
    "the end is known": Point("exit_sequence.ExitSequence.begin"),
    "what it left is about to be looked for": Point("process_cleanup.ProcessCleanup.poll"),
    "nothing is left of it": Point("exit_sequence.ExitSequence.decide"),
    "a restart is decided": Point("exit_sequence.ExitSequence.schedule_restart"),
    "the restart is written down": Point("exit_sequence.ExitSequence.schedule_restart", "return"),
}


STOP = {
    "it is asked to stop": Point("rollout.Rollout.stop"),
    "that it shall not run is about to be written down": Point("unit.Unit.save_state"),
    "that it shall not run is written down": Point("unit.Unit.save_state", "return"),
    "it is about to be told to end": Point("pidfd_process.PidfdProcess.terminate"),
    "it is told to end": Point("pidfd_process.PidfdProcess.terminate", "return"),
    "the end that was asked for is known": Point("exit_sequence.ExitSequence.begin"),
    "its end is concluded": Point("dependents.Dependents.on_final", "return"),
    "the stop is about to be answered": Point("exit_sequence.ExitSequence.decide", "return"),
}
ADOPT = {
    "the supervisor's lock is about to be taken": Point("generation.acquire_lock"),
    "the supervisor's lock is taken": Point("generation.acquire_lock", "return"),
    "the generation is about to be raised": Point("generation.write_generation"),
    "the generation is raised": Point("generation.raise_generation", "return"),
    "orphans are ended": Point("forker_client.kill_stale_forkers", "return"),
    "the new control socket is bound": Point("control_server.ControlServer.bind", "return"),
    "the first is about to be adopted": Point("process_backend.OwnProcess.adopt_survivor"),
    "the first is adopted": Point("unit.Unit.adopt", "return"),
    "the second is adopted": Point("unit.Unit.adopt", "return", nth=2),
    "all are adopted": Point("supervisor.Supervisor.adopt", "return"),
    "the control socket has its name": Point("control_server.ControlServer.publish", "return"),
    "the client is told": Point("entrypoint.main.<locals>.report_to_client", "return"),
}
CONTROL = {
    "the client has said hello": Point("supervisor.Supervisor._dispatch"),
    "the fleet is planned": Point("plan_diff.diff_plan"),
    "the plan is about to be written down": Point("applied_plan.stage_applied_plan"),
    "the plan is drafted": Point("applied_plan.stage_applied_plan", "return"),
    "the book is written": Point("applied_plan.write_fleet_address_book", "return"),
    "the plan is written down": Point("rollout.Rollout._persist", "return"),
    "the difference is told": Point("plan_diff.PlanDiff.to_preview", "return"),
    "the account is closed": Point("apply_summary.summarize_apply", "return"),
    "the account is told": Point("rollout.Rollout._log_summary", "return"),
}
UP = {
    "it looks for a supervisor": dies(CLIENT, "control_client.connect"),
    "it may start one": dies(CLIENT, "control_client._start_supervisor"),
    "it has started one": dies(CLIENT, "subprocess.Popen._execute_child fork_exec", "c_return"),
    "the supervisor has told it": dies(CLIENT, "control_client._start_supervisor", "return"),
    "it is greeted": dies(CLIENT, "control_client.ControlClient._handshake", "return"),
    "it is about to ask": dies(CLIENT, "up._apply_and_follow"),
    "it has asked": Point("control_client.ControlClient.send", "return", CLIENT, nth=2),
    "it has the account": dies(CLIENT, "up._show_summary"),
}

POINTS: dict[str, Point] = {**START, **READY, **EXIT_REPORTED, **EXIT, **STOP, **ADOPT, **CONTROL, **UP}
for doing in (orphan, dies, pauses):
    for words, (at, on) in {**FORK, **AGENT}.items():
        for kinds in (FORKER, ZYGOTE):
            POINTS[f"{words}: {doing.__name__} {kinds[0]}"] = doing(kinds, at, on)
