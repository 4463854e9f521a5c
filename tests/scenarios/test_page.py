"""The page of a full run: every figure and every agent of the account is on it."""

from __future__ import annotations

from realfleet.page import as_page

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
    "made": {
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
        ]
    },
}


def test_the_page_has_all_of_the_account() -> None:
    told = {"before": _SIDE, "after": _SIDE, "ablation": {"bind-arbiter": 0}, "seconds": 61.5}
    page = as_page(told)
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
        "With the 1 shared decisions: **1**",
        "The whole run took 61.5 s.",
    ):
        assert row in page
