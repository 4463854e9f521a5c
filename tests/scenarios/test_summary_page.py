"""Summary page of a full scenario run: it shows every figure and every agent."""

from __future__ import annotations

from typing import Any

from realfleet.summary_page import render_page

_SIDE = {
    "declared": 5,
    "parse": 4,
    "startable": 3,
    "ready": ["A", "B"],
    "degraded": {"B": ["without torch: what | needs it fails"]},
    "not_ready": {"C": "exited: OSError"},
    "main_port": ["A"],
    "no_main_port": {"B": "a PUB socket of its own is on port 7301"},
    "optional": {"A": ["whisper"]},
    "more_contexts": {"B": "refit left its own: it forks"},
    "apart": {"A": ["holds the main thread"], "B": ["holds the main thread", "reads the command line"]},
    "processes": 2,
    "contexts": 3,
    "most_contexts": 2,
    "threads": 8,
    "descriptors": 40,
    "pss_bytes": 50 * 2**20,
    "start_seconds": 4.5,
    "stop_seconds": 1.5,
    "written": {"new": 7, "changed": []},
    "rules_only": 1,
    "shared_only": 1,
    "decisions": 1,
    "fleet_files": 2,
    "addresses": {"main": "10.0.0.1", "second": "10.0.0.2"},
    "absent_programs": ["espeak-ng"],
    "made": {
        "refit": {"sites": {"A401": {"migrated": 0, "refused": 663}, "A402": {"migrated": 0, "refused": 7}}},
        "decisions": [
            {
                "file": "a.py",
                "kind": "restore",
                "added": 9,
                "removed": 0,
                "restored": 8,
                "why": "it is gone",
                "shared": True,
            }
        ],
    },
}


_AUDITS = {
    "all": {
        "before": {"unparseable": 194, "health": 36, "implementations": 30, "addresses": 498},
        "after": {"unparseable": 18, "health": 58, "implementations": 32, "addresses": 750},
    },
    "both": {
        "before": {"unparseable": 194, "health": 35, "implementations": 29, "addresses": 497},
        "after": {"unparseable": 18, "health": 24, "implementations": 22, "addresses": 493},
    },
}


def _result(before: dict[str, Any]) -> dict[str, Any]:
    sides = {"before": before, "after": _SIDE, "audits": _AUDITS}
    return {**sides, "ablation": {"bind-arbiter": 0}, "seconds": 61.5}


def test_summary_page_shows_every_figure() -> None:
    page = render_page(_result(_SIDE))
    for row in (
        "| **ready** | **2** | **2** |",
        "| complete | 1 | 1 |",
        "| PSS (MiB) | 50 | 50 |",
        "| ZeroMQ contexts, all and most in a process | 3, 2 | 3, 2 |",
        "| `a.py` | restore | 9 (8 from another file of the tree) | 0 | it is gone |",
        "| bind-arbiter | 0 |",
        "| C | exited: OSError |",
        "| B | without torch: what \\| needs it fails |",
        "| B | a PUB socket of its own is on port 7301 |",
        "| A | whisper |",
        "| B | refit left its own: it forks |",
        "| holds the main thread | 2 |",
        "| B | holds the main thread, reads the command line |",
        "194 files do not parse as found, 18 made over",
        "| loops of their own that answer for health (H201) | 36 | 58 |",
        "| addresses written out (A401, A402) | 498 | 750 |",
        "| addresses written out (A401, A402), files of both | 497 | 493 |",
        "`fleet.files` names the 2 that are taken",
        "Addresses that are written out stay as they are",
        "(670 sites refused)",
        "With the 1 shared decisions: **1**",
        "The whole run took 61.5 s.",
    ):
        assert row in page


def test_summary_page_says_that_old_start_time_is_unknown() -> None:
    sentence = "none comes up the old\nway, so there is no start time of old"
    assert sentence not in render_page(_result(_SIDE))
    assert sentence in render_page(_result({**_SIDE, "ready": []}))


def test_summary_page_counts_migrated_addresses() -> None:
    sites = {"A401": {"migrated": 5, "refused": 1}}
    after = {**_SIDE, "made": {"decisions": [], "refit": {"sites": sites}}}
    page = render_page({**_result(_SIDE), "after": after})
    assert "5 became the fleet's, and 1 were refused" in page
    assert "stay as they are" not in page
