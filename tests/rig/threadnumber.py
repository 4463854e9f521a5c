"""A fleet in a pid namespace of its own, in which a thread of this process gets the number of a dead agent.

Run as the first process of the namespace, with a folder, a runtime folder and the verbs to try as arguments;
prints what each verb answered.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

from rig.fleet import Rig, is_alive

FLEET = """
fleet: toy
defaults: {run: speaker.py, ready: {probe: notify}}
agents: {A: {}, B: {}}
"""


def is_gone(pid: int) -> bool:
    """Return whether nobody has this number; a zombie that has fallen to this process does not keep it."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return not os.path.exists(f"/proc/{pid}")


def give_to_thread(number: int, until: threading.Event) -> None:
    """Start a thread that has this number and lives until the event."""
    for _ in range(200):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
        thread = threading.Thread(target=until.wait, daemon=True)
        thread.start()
        if thread.native_id == number:
            return
    sys.exit(f"no thread got the number {number}")


def main(folder: str, runtime: str, *verbs: str) -> None:
    """Have B die unseen, give its number to a thread, and ask what each verb says."""
    rig = Rig(Path(folder), Path(runtime))
    rig.write(FLEET)
    rig.json("up", "-d")
    before = {name: agent["pid"] for name, agent in rig.agents().items()}
    rig.kill_supervisor()
    os.kill(before["B"], signal.SIGKILL)
    rig.until(lambda: is_gone(before["B"]))
    over = threading.Event()
    give_to_thread(before["B"], over)
    answers = []
    for verb in verbs:
        done = rig.argosy(*verb.split(), "--json")
        answers.append(
            {"code": done.returncode, "said": json.loads(done.stdout or "null"), "beside": done.stderr}
        )
    print(
        json.dumps(
            {"before": before, "answers": answers, "left": [p for p in before.values() if is_alive(p)]}
        )
    )
    over.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
