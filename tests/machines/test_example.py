"""The example of 84 agents on two machines: network cuts, a slow link, kills and a restart."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.duo import Duo, until
from rig.lan import NoLanError

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from two_machines.two_machine_fleet import TwoMachineFleet, write_two_machine_fleet  # noqa: E402

EXAMPLE = BENCH.parent / "examples/mainpc-pc2/fleet.yaml"
ONE, TWO = "mainpc", "pc2"
AGENT_COUNT = 84


@pytest.fixture
def linked(tmp_path: Path) -> TwoMachineFleet:
    """The example's shape with needs across; each agent notes its starts."""
    return write_two_machine_fleet(tmp_path, EXAMPLE, 12)


@pytest.fixture
def duo(linked: TwoMachineFleet) -> Iterator[Duo]:
    """The two machines of the example."""
    root = Path("/tmp") / f"argosy-x-{linked.path.parent.name[-20:]}"
    try:
        made = Duo(root, {ONE: "192.168.100.16", TWO: "192.168.100.17"})
    except NoLanError as reason:
        shutil.rmtree(root, ignore_errors=True)
        pytest.skip(str(reason))
    made.fleet = linked.path
    try:
        yield made
    finally:
        made.close()


def starts(linked: TwoMachineFleet) -> Counter[str]:
    return Counter({path.name: len(path.read_text().split()) for path in linked.log_dir.iterdir()})


def are_all_ready(duo: Duo) -> bool:
    return Counter(duo.agents(ONE, "state").values()) == {("ready",): AGENT_COUNT}


@pytest.mark.soak
def test_example_fleet_survives_cuts_kills_and_restart(duo: Duo, linked: TwoMachineFleet) -> None:
    duo.make_keys()
    for machine in (ONE, TWO):
        duo.serve(machine)
    duo.machines[TWO].slow(0.01, loss=0.01)
    account = duo.json(ONE, "up", "-d", "--no-hub")
    assert (account["declared"], len(account["ready"])) == (AGENT_COUNT, AGENT_COUNT)
    assert Counter(machine for (machine,) in duo.agents(TWO, "machine").values()) == {ONE: 58, TWO: 26}
    duo.machines[TWO].quicken()

    far = [name for name, machine in linked.machine_of.items() if machine == TWO][:4]
    book = next((duo.root / ONE / "state/argosy").glob("*/book.json"))
    client = duo.machines[ONE].popen(
        [sys.executable, str(BENCH / "two_machines/cross_machine_caller.py"), "1", *far],
        env={**duo.env(ONE), "ARGOSY_BOOK": str(book)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "calling\n"

    for _ in range(3):
        duo.machines[TWO].cut()
        for own, other in ((ONE, TWO), (TWO, ONE)):
            duo.until_seen(own, other, "blind")
        duo.machines[TWO].mend()
        for own, other in ((ONE, TWO), (TWO, ONE)):
            duo.until_seen(own, other, "linked")
    for machine, other in ((TWO, ONE), (ONE, TWO)):
        duo.kill_supervisor(machine)
        duo.until_seen(other, machine, "blind")
        duo.serve(machine)
        duo.until_seen(other, machine, "linked")
    until(lambda: are_all_ready(duo))
    assert len(duo.json(ONE, "up", "-d", "--no-hub")["adopted"]) == AGENT_COUNT
    assert starts(linked) == Counter(dict.fromkeys(linked.machine_of, 1))

    duo.machines[TWO].cut()
    duo.until_seen(ONE, TWO, "blind")
    duo.kill_machine(TWO)  # it restarts while nobody sees it
    duo.serve(TWO)
    duo.machines[TWO].mend()
    duo.until_seen(ONE, TWO, "linked")
    until(lambda: are_all_ready(duo))
    expected = {name: 1 + (machine == TWO) for name, machine in linked.machine_of.items()}
    assert starts(linked) == Counter(expected)

    out, _ = client.communicate("", timeout=30)
    requests = json.loads(out)
    assert requests["lost"] == 0, requests
    assert requests["answered"] > 0
    assert len(duo.json(TWO, "down")["stopped"]) == AGENT_COUNT
