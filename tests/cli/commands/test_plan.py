"""`argosy plan`: estimates before the first start, and measured times after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..conftest import Rig

CHAIN = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  C: {run: speaker.py, needs: [B, A]}
  B: {run: speaker.py, needs: [A]}
  A: {run: speaker.py}
"""


def test_plan_before_first_start_marks_all_times_as_estimates(rig: Rig) -> None:
    rig.write(CHAIN)
    plan = rig.json("plan")
    assert (plan["argosy"], plan["seconds"], plan["starts_at_once"]) == ("plan/1", 3.0, None)
    assert plan["levels"] == [["A"], ["B"], ["C"]]
    assert [step["agent"] for step in plan["critical_path"]] == ["A", "B", "C"]
    assert {edge["from"] + edge["to"]: edge["fleet_seconds"] for edge in plan["edges"]} == {
        "CB": 1.0,
        "BA": 1.0,
        "CA": 0.0,
    }
    assert plan["cuts"] == [
        {
            "from": "C",
            "to": "A",
            "where": "fleet.yaml:5:35",
            "why": "redundant",
            "proof": ["C", "B", "A"],
            "fleet_seconds": 0.0,
        },
        *(
            {
                "from": agent,
                "to": need,
                "where": f"fleet.yaml:{place}",
                "why": "unused",
                "proof": [],
                "fleet_seconds": cost_s,
            }
            for agent, need, place, cost_s in [
                ("C", "B", "5:32", 1.0),
                ("B", "A", "6:32", 1.0),
                ("C", "A", "5:35", 0.0),
            ]
        ),
    ]
    text = rig.argosy("plan").stdout
    assert "0 of 3 measured in earlier starts, the others estimated at 1.000 s each" in text
    assert "C needs A  fleet.yaml:5:35: C -> B -> A" in text
    assert "needs that the code does not use: 3, the costliest first" in text
    assert not (rig.folder / "state").exists(), "a plan makes nothing"


def test_plan_after_start_uses_measured_times(rig: Rig) -> None:
    assert "unknown before the first start" in _text_before_a_start(rig)
    rig.write(CHAIN + '  D: {run: [sleep, "1000"], ready: {probe: alive, seconds: 0.05}}\n')
    rig.json("up", "-d")
    spent = {name: agent["spent"] for name, agent in rig.json("timeline")["agents"].items()}
    plan = rig.json("plan", "--simulate")
    for name, agent in plan["agents"].items():
        assert agent["measured"] == 1
        assert abs(agent["takes"] - spent[name]["start"]) < 0.001
    assert plan["starts_at_once"] >= 2
    assert plan["spawned"]["D"]
    assert f"spawned  D: {plan['spawned']['D']}" in rig.argosy("plan").stdout
    assert plan["agents"]["C"]["started"] >= plan["agents"]["B"]["ready"]


def _text_before_a_start(rig: Rig) -> str:
    rig.write(CHAIN)
    return rig.argosy("plan").stdout


def test_plan_start_slots_follow_file_or_machine_count(rig: Rig) -> None:
    rig.write(CHAIN)
    one = rig.json("plan", "--simulate")["starts_at_once"]
    assert rig.json("plan", "--machines", "3")["starts_at_once"] == 3 * one
    rig.write("max_starting: 1\n" + CHAIN)
    assert rig.json("plan", "--machines", "3")["starts_at_once"] == 1
    for wrong in ("0", "x", "-1"):
        error = rig.json("plan", f"--machines={wrong}", code=2)["errors"][0]
        assert f"found `{wrong}`" in error["message"]


def test_plan_proposes_no_cut_of_used_need(rig: Rig) -> None:
    rig.write(CHAIN.replace("B: {run: speaker.py", "B: {run: asker.py"))
    rig.write("connect('A')\n", "asker.py")
    cuts = {(cut["from"], cut["to"]) for cut in rig.json("plan")["cuts"] if cut["why"] == "unused"}
    assert cuts == {("C", "B"), ("C", "A")}


def test_plan_exits_2_for_cycle(rig: Rig) -> None:
    rig.write(CHAIN.replace("[A]", "[C]"))
    assert rig.json("plan", code=2)["errors"][0]["code"] == "cycle"
