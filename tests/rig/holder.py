"""Holds a network of machines until its input ends, then ends every process on it.

Runs in namespaces of its own, which the kernel removes with it and with what it ended. Killing by
namespace finds those too that have left their parents, or were just on their way in.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

NAMES = "/run/netns"


def prepare() -> None:
    """Make a place for the machines' names, and the bridge."""
    for words in (
        ["mount", "-t", "tmpfs", "tmpfs", "/run"],
        ["mkdir", NAMES],
        ["ip", "link", "add", "lan", "type", "bridge"],
        ["ip", "link", "set", "lan", "up"],
    ):
        subprocess.run(words, check=True)


def list_pids() -> list[int]:
    """Return the processes on the machines and beside the bridge, but this one."""
    networks = {os.stat("/proc/self/ns/net").st_ino}
    networks |= {os.stat(f"{NAMES}/{name}").st_ino for name in os.listdir(NAMES)}
    found = []
    for word in os.listdir("/proc"):
        if word.isdigit() and int(word) != os.getpid():
            try:
                if os.stat(f"/proc/{word}/ns/net").st_ino in networks:
                    found.append(int(word))
            except OSError:  # it has ended, or is none of ours to look at
                continue
    return found


def end_all() -> None:
    """Kill until nobody is left; a process may have forked while it was being killed."""
    while pids := list_pids():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.002)


if __name__ == "__main__":
    try:
        prepare()
    except subprocess.CalledProcessError as failed:
        sys.exit(f"`{' '.join(failed.cmd)}` failed")
    print("ready", flush=True)
    sys.stdin.read()
    end_all()
