"""H201: which health loops are replaced by the standard health endpoint, and which are refused and why."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.fleet import load_fleet
from argosy.refit.codemods.file_pipeline import FileOutcome, rewrite_file, select_codemods
from argosy.refit.rewrite.tree_index import TreeIndex

HEAD = (
    "from argosy.agent.compat import BaseAgent\nimport logging\nimport threading\nimport time\nimport zmq\n\n"
)
LOOP = '''
    def _health_check_loop(self):
        """Answers."""
        logging.info("health loop")
        while self.running:
            try:
                if self.health_socket.poll(100, zmq.POLLIN):
                    _ = self.health_socket.recv()
                    found = self._get_health_status()
                    self.health_socket.send_json(found)
                time.sleep(0.1)
            except Exception as error:
                logging.error(f"health: {error}")
                time.sleep(1)
'''
START = '''
    def _begin(self):
        """Start it."""
        self.health_thread = threading.Thread(target=self._health_check_loop, daemon=True)
        self.health_thread.start()
        logging.info("started")
'''
PAYLOAD = """
    def _get_health_status(self):
        found = super()._get_health_status()
        found.update({"status": "HEALTHY", "jobs": len(self.jobs)})
        return found
"""
MADE = (
    "        self.health_socket = self.context.socket(zmq.REP)\n"
    "        self.health_socket.setsockopt(zmq.LINGER, 0)\n"
    '        self.health_socket.bind(f"tcp://*:{self.health_port}")\n'
    '        logging.info(f"health on {self.health_port}")\n'
)
INIT = """\
class A(BaseAgent):
    def __init__(self, port):
        self.jobs = []
        super().__init__("A", port)

        # Answer for health
{made}        # in a thread
        self._begin()

        # All is there
        logging.info("there")
"""
CLEANUP = """
    def cleanup(self):
        if self.health_thread.is_alive():
            self.health_thread.join(timeout=1)
        self.health_socket.close()
        super().cleanup()
"""


def refit(source: str, others: dict[str, str] | None = None, path: str = "agents/it.py") -> FileOutcome:
    files = {name: text.encode() for name, text in {path: source, **(others or {})}.items()}
    index = TreeIndex(files)
    outcome = rewrite_file(path, files[path], index, select_codemods(["H201"]))
    assert [reason for reason in outcome.checks.values() if reason] == []
    return outcome


def agent(made: str = MADE, *parts: str) -> str:
    return HEAD + INIT.replace("{made}", made) + "".join(parts or (START, LOOP, PAYLOAD, CLEANUP))


def left(text: str) -> str:
    """Return a program without what makes no difference."""
    return ast.unparse(ast.parse(text))


AFTER = """\
from argosy.agent.compat import BaseAgent
import logging

class A(BaseAgent):
    def __init__(self, port):
        self.jobs = []
        super().__init__("A", port)
        logging.info("there")

    def _get_health_status(self):
        found = super()._get_health_status()
        found.update({"status": "HEALTHY", "jobs": len(self.jobs)})
        return found

    def cleanup(self):
        super().cleanup()
"""


def test_h201_removes_health_loop_and_keeps_payload() -> None:
    outcome = refit(agent())
    assert outcome.refused == ()
    assert [(site.code, site.line) for site in outcome.migrated] == [
        ("H201", agent().splitlines().index("    def _health_check_loop(self):") + 1)
    ]
    assert outcome.after is not None
    assert left(outcome.after.decode()) == left(AFTER)
    assert [line.strip() for line in outcome.after.decode().splitlines() if "#" in line] == ["# All is there"]
    assert refit(outcome.after.decode()).after is None


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("indent", ["    ", "\t", "  "])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig"])
def test_h201_keeps_all_other_bytes(newline: str, indent: str, encoding: str) -> None:
    def written(text: str) -> bytes:
        head = "# -*- coding: latin-1 -*-\n" if encoding == "latin-1" else ""
        return f"{head}# größe\n{text}x = 'é'".replace("    ", indent).replace("\n", newline).encode(encoding)

    plain = refit(agent()).after
    assert plain is not None
    before = written(agent())
    made = rewrite_file("it.py", before, TreeIndex({"it.py": before}), select_codemods(["H201"]))
    assert made.after == written(plain.decode())


GIVEN = agent().replace(
    'super().__init__("A", port)', 'super().__init__("A", port, health_check_port=HEALTH)'
)


def payload(*lines: str, more: str = "", jobs: str = "[]") -> str:
    """Return an agent whose payload has these lines, and that says `said` under `more`."""
    body = "".join(f"        {line}\n" for line in lines)
    text = agent(MADE, START, LOOP, f"\n    def _get_health_status(self):\n{body}", CLEANUP)
    return text.replace("self.jobs = []", f"self.jobs = {jobs}") + more


MIGRATED = {
    "a payload that looks into what it knows": payload(
        "with self.lock:",
        "    found = {n: str(w).lower() for n, w in self.jobs.items()}",
        "found['first'] = self.jobs.get('a', 0)",
        "found['all'] = sorted(self.jobs, key=lambda name: len(name))",
        "found['words'] = ', '.join(map(str, self.jobs))",
        "found['since'[:1]] = self.begun.isoformat() if self.begun else None",
        "total = 0",
        "for each in self.jobs.values():",
        "    total += 1",
        "return {'total': total, 'queued': self.q.qsize(), 'jobs': found, 'pool': self._pool()}",
        jobs="{}\n        self.lock = threading.Lock()\n        self.begun = None\n"
        "        self.q = queue.Queue()",
        more="\n    def _pool(self):\n        return {'idle': self.idle}\n\n    @property\n"
        "    def idle(self):\n        return not self.jobs\n\n    def begin(self):\n"
        "        self.begun = datetime.now()\n",
    ).replace("import time\n", "import queue\nimport time\nfrom datetime import datetime\n"),
    "a payload of a package that may be absent": payload(
        "return {'load': psutil.cpu_percent() if psutil else None}"
    ).replace(
        "import time\n", "import time\ntry:\n    import psutil\nexcept ImportError:\n    psutil = None\n"
    ),
    "a payload that says what the standard says": payload(
        "up = time.time() - self.start_time",
        "return {'status': 'ok', 'name': self.name, 'uptime': up, 'pid': os.getpid(), 'reason': f'{up}',"
        " 'more': {'failed': 3}}",
    )
    .replace("import time\n", "import os\nimport time\n")
    .replace(
        'super().__init__("A", port)\n',
        'self.start_time = time.time()\n        super().__init__("A", port)\n        self.name = "A"\n',
    ),
    "the base's own socket, which stays to be closed": agent(""),
    "a port that is handed to the base, too": "HEALTH = 6000\n"
    + GIVEN.replace("{self.health_port}", "{HEALTH}"),
    "the port after the one that the base is given": agent(
        "        self.port = port\n        self.health_port = self.port + 1\n" + MADE
    ).replace('        logging.info(f"health on {self.health_port}")\n', ""),
    "the port after the one that the base is given, by another name": agent(
        "        self.port = chosen\n        self.health_port = self.port + 1\n" + MADE
    )
    .replace('        logging.info(f"health on {self.health_port}")\n', "")
    .replace('super().__init__("A", port)', 'chosen = port or 5\n        super().__init__("A", port=chosen)'),
    "the port after the one that the base keeps, set to what it is": agent(
        "        self.port = self.port if self.port else 5\n        self.port = self.port or 6\n"
        "        self.health_port = self.port + 1\n" + MADE
    ).replace('        logging.info(f"health on {self.health_port}")\n', ""),
    "the port after the one that the base keeps": agent(
        "        self.health_port = self.port + 1\n" + MADE
    ).replace('        logging.info(f"health on {self.health_port}")\n', ""),
    "a socket that a method binds": agent(
        MADE.replace(
            'self.health_socket.bind(f"tcp://*:{self.health_port}")',
            "self._bind(self.health_socket, self.health_port)",
        ),
        START,
        LOOP,
        PAYLOAD,
        CLEANUP,
        "\n    def _bind(self, socket, port):\n        for _ in range(3):\n            try:\n"
        "                socket.bind(f'tcp://*:{port}')\n                return True\n"
        "            except zmq.ZMQError as error:\n                logging.warning(error)\n"
        "                time.sleep(1)\n        return False\n",
    ),
    "a thread in a list": agent()
    .replace(
        "        self._begin()\n",
        "        found = [\n            threading.Thread(target=self.work),  # works\n"
        "            threading.Thread(target=self._health_check_loop, daemon=True),\n        ]\n"
        "        for each in found:\n            each.start()\n",
    )
    .replace(START, "\n    def work(self):\n        pass\n")
    .replace(
        "        if self.health_thread.is_alive():\n            self.health_thread.join(timeout=1)\n", ""
    ),
    "a thread that nobody keeps": agent("", LOOP, PAYLOAD).replace(
        "self._begin()", "threading.Thread(target=self._health_check_loop, daemon=True).start()"
    ),
    "a loop that the base begins": agent("", LOOP, PAYLOAD).replace("        self._begin()\n", ""),
    "a poller, and a method between": agent()
    .replace(
        "if self.health_socket.poll(100, zmq.POLLIN):", "if self.health_socket in dict(poller.poll(100)):"
    )
    .replace(
        '        logging.info("health loop")\n',
        "        poller = zmq.Poller()\n        poller.register(self.health_socket, zmq.POLLIN)\n",
    )
    .replace(
        "found = self._get_health_status()\n                    self.h",
        "found = self.ask()\n                    self.h",
    )
    + "\n    def ask(self):\n        return self._get_health_status()\n",
    "a port of its own, which the base is given": agent().replace(
        '        super().__init__("A", port)\n',
        '        health = int(os.environ.get("HEALTH_CHECK_PORT", str(port + 1)))\n'
        '        super().__init__("A", port)\n        self.health_port = health\n',
    ),
    "a port of its own that the constructor is given": agent()
    .replace("def __init__(self, port)", "def __init__(self, port, health_port=7000)")
    .replace("{self.health_port}", "{health_port}"),
    "a payload that says that the thread is alive": agent().replace(
        "len(self.jobs)", "self.health_thread.is_alive() if self.health_thread else False"
    ),
    "a clean-up that only tells of the thread": agent().replace(
        "            self.health_thread.join(timeout=1)\n",
        "            try:\n                logging.info('it ends')\n"
        "            except Exception as error:\n                logging.error(error)\n",
    ),
    "lists of what is to be ended": agent()
    .replace(
        "        if self.health_thread.is_alive():\n            self.health_thread.join(timeout=1)\n",
        "        threads = [self.other, self.health_thread]\n        for each in threads:\n"
        "            if each and each.is_alive():\n                each.join(timeout=2)\n",
    )
    .replace(
        "        self.health_socket.close()\n",
        "        for sock in [self.health_socket, self.socket]:\n"
        "            if sock and not sock.closed:\n                sock.close()\n",
    ),
    "a check that asks whether the base's socket is there": agent()
    + "\n    def check(self):\n        if not hasattr(self, 'health_socket') or not self.health_socket:\n"
    "            return False\n        return True\n",
    "a thread that is waited for once its loop is told to end": agent().replace(
        "    def cleanup(self):\n        if self.health_thread.is_alive():\n"
        "            self.health_thread.join(timeout=1)\n",
        "    def stop(self):\n        if self.running:\n            self.running = False\n"
        "            self.health_thread.join()\n\n    def cleanup(self):\n",
    ),
    "a thread that is waited for when an event ends its loop": agent()
    .replace("        self.jobs = []\n", "        self.jobs = []\n        self.over = threading.Event()\n")
    .replace("while self.running:", "while self.running and not self.over.is_set():")
    .replace(
        "        if self.health_thread.is_alive():\n            self.health_thread.join(timeout=1)\n",
        "        self.over.set()\n        try:\n            self.health_thread.join()\n"
        "        except RuntimeError:\n            pass\n",
    ),
    "a thread of a list that is kept under another name, and counted in the log": agent()
    .replace(
        "        self._begin()\n",
        "        found = [\n            threading.Thread(target=self.work),\n"
        "            threading.Thread(target=self._health_check_loop, daemon=True),\n        ]\n"
        "        for each in found:\n            each.daemon = True\n            each.start()\n"
        "        self.all = found\n        logging.info(f'{len(found)} threads')\n",
    )
    .replace(START, "\n    def work(self):\n        pass\n")
    .replace(
        "        if self.health_thread.is_alive():\n            self.health_thread.join(timeout=1)\n", ""
    ),
    "a thread of a list that is kept, and waited for in the end": agent()
    .replace(
        "        self._begin()\n",
        "        self.threads = [\n            threading.Thread(target=self.work),\n"
        "            threading.Thread(target=self._health_check_loop, daemon=True),\n        ]\n"
        "        for each in self.threads:\n            each.start()\n",
    )
    .replace(START, "\n    def work(self):\n        pass\n")
    .replace(
        "        if self.health_thread.is_alive():\n            self.health_thread.join(timeout=1)\n",
        "        for each in self.threads:\n            each.join(timeout=1)\n",
    ),
    "an error of its own that is reported": agent().replace(
        '                logging.error(f"health: {error}")\n',
        '                self.report_error("health", str(error))\n',
    ),
}


HELPER = """import zmq

def create(context, kind, server=False):
    \"\"\"Make one.\"\"\"
    sock = context.socket(kind)
    sock.setsockopt(zmq.LINGER, 0)
    if server:
        sock.setsockopt(zmq.RCVTIMEO, 1000)
    return sock
"""
BY_HELPER = (
    agent()
    .replace("import zmq\n", "import zmq\nfrom helper import create\n")
    .replace(
        "        self.health_socket = self.context.socket(zmq.REP)\n",
        "        if SECURE:\n            self.health_socket = create(self.context, zmq.REP, server=True)\n"
        "        else:\n            self.health_socket = self.context.socket(zmq.REP)\n",
    )
)


@pytest.mark.parametrize(
    ("helper", "is_migrated"),
    [
        (HELPER, True),
        (HELPER.replace("    return", "    SOCKETS.append(sock)\n    return"), False),
        (HELPER.replace("context.socket", "zmq.Context().socket"), False),
        (HELPER.replace("return sock", "return sock.bind"), False),
    ],
)
def test_h201_follows_socket_created_by_helper_function(helper: str, is_migrated: bool) -> None:
    outcome = refit(BY_HELPER, {"lib/helper.py": helper})
    assert (outcome.after is not None) == is_migrated
    assert all("other uses in `__init__`" in item.reason for item in outcome.refused)


@pytest.mark.parametrize("source", MIGRATED.values(), ids=MIGRATED)
def test_h201_migrates_health_loop(source: str) -> None:
    outcome = refit(source)
    assert outcome.refused == ()
    assert outcome.after is not None
    text = outcome.after.decode()
    assert "_health_check_loop" not in text
    assert "health_thread" not in text
    assert "def _get_health_status" in text


LAST = "said = {}\n                    if said == b'shutdown':\n                        break"
RUN = "\n    def run(self):\n        print('up')\n        {}\n        print('down')\n"
WAITS = "`run` waits for its thread before the loop is told to end, which may keep the process alive"
# A class whose methods are called as those that only look, and do not.
OWN = """\
class Own:
    def __init__(self):
        self.count = 0

    def more(self, *given):
        self.count += 1
        return self.count

    get = wait = error = info = is_set = socket = more

"""
JOBS = "        self.jobs = []\n"
MINE = f"{JOBS}        self.own = Own()\n"
REFUSED = {
    "1: it works, too": (
        agent().replace('logging.info("health loop")', "self.turns = 0"),
        "it does more than answer: `self.turns = 0`",
    ),
    "1: it works for a dict": (
        agent().replace("                time.sleep(0.1)\n", "                turn = {'x': self.work()}\n"),
        "it does more than answer: `turn = {'x': self.work()}`",
    ),
    "1: two answers": (
        agent().replace(
            '                logging.error(f"health: {error}")\n',
            '                self.health_socket.send_json({"status": "error"})\n',
        ),
        "it answers in 2 places, and the health endpoint has one answer",
    ),
    "1: it sends out": (
        agent().replace("zmq.REP", "zmq.PUB").replace("_ = self.health_socket.recv()", "pass"),
        "it publishes health, and its subscribers are not known",
    ),
    "2: the payload writes": (
        agent().replace("        found.update(", "        self.asked = 1\n        found.update("),
        "its payload has side effects: it sets `self.asked`",
    ),
    "2: the payload asks others": (
        agent().replace("len(self.jobs)", "self.peer.ask()"),
        "its payload has side effects: it calls `self.peer.ask`",
    ),
    "1: it ends when it is told to": (
        agent().replace("_ = self.health_socket.recv()", LAST.format("self.health_socket.recv()")),
        "it does more than answer: `if self.health_socket.poll(100, zmq.POLLIN):`",
    ),
    "1: it answers once": (
        agent().replace("                time.sleep(0.1)\n", "                break\n"),
        "its loop ends after its first iteration",
    ),
    "1: its condition is about a request": (
        agent()
        .replace("while self.running:", "while said != b'shutdown':")
        .replace("_ = self.health_socket.recv()", "said = self.health_socket.recv()")
        .replace('        logging.info("health loop")\n', "        said = b''\n"),
        "it does more than answer: `while said != b'shutdown':`",
    ),
    "1: it takes from a queue": (
        agent().replace("                time.sleep(0.1)\n", "                job = self.q.get()\n"),
        "it does more than answer: `job = self.q.get()`",
    ),
    "1: it polls something else": (
        agent().replace("                time.sleep(0.1)\n", "                got = self.consumer.poll(1)\n"),
        "it does more than answer: `got = self.consumer.poll(1)`",
    ),
    "1: it writes into a log of its own making": (
        OWN + agent().replace("logging.error(", "self.own.error(").replace(JOBS, MINE),
        "it does more than answer: `self.own.error(f'health: {error}')`",
    ),
    "1: it sleeps in a way of its own": (
        "from mine import sleep\n" + agent().replace("time.sleep(0.1)", "sleep(0.1)"),
        "it does more than answer: `sleep(0.1)`",
    ),
    "1: what it prints by is its own": (
        "def print(text):\n    TOLD.append(text)\n\nTOLD = []\n"
        + agent().replace('logging.info("health loop")', 'print("health loop")'),
        "it does more than answer: `print('health loop')`",
    ),
    "1: an event of its own making ends it": (
        OWN + agent().replace("while self.running:", "while not self.own.is_set():").replace(JOBS, MINE),
        "it does more than answer: `while not self.own.is_set():`",
    ),
    "3: another payload": (
        agent().replace("found = self._get_health_status()\n", 'found = {"status": "ok", "uptime": 1}\n'),
        "it answers with a payload built in the loop, and the health endpoint calls `_get_health_status`",
    ),
    "4: the socket is used elsewhere": (
        agent() + "\n    def more(self):\n        return self.health_socket.fd\n",
        "`self.health_socket` has other uses in `more`",
    ),
    "4: whether another socket is there is asked": (
        agent().replace("self.health_socket", "self.answers")
        + "\n    def check(self):\n        return bool(not self.answers)\n",
        "`self.answers` has other uses in `check`",
    ),
    "4: what makes the socket is of its own making": (
        OWN + agent().replace("self.context.socket", "self.own.socket").replace(JOBS, MINE),
        "`self.health_socket` has other uses in `__init__`",
    ),
    "6: whether it is waited for is asked of something else": (
        OWN + agent().replace("if self.health_thread.is_alive()", "if self.own.get()").replace(JOBS, MINE),
        "a block of its class would be empty",
    ),
    "6: it is begun where something else says so": (
        OWN
        + agent()
        .replace(
            "        self.health_thread.start()\n",
            "        if self.own.wait():\n            self.health_thread.start()\n",
        )
        .replace(JOBS, MINE),
        "a block of its class would be empty",
    ),
    "5: a loop that ends it asks something else": (
        OWN
        + agent()
        .replace(
            "        if self.health_thread.is_alive():\n            self.health_thread.join(timeout=1)\n",
            "        for each in [self.other, self.health_thread]:\n            if self.own.get():\n"
            "                each.join(timeout=2)\n",
        )
        .replace(JOBS, MINE),
        "`self.health_thread` has other uses in `cleanup`",
    ),
    "5: what ends its loop is a property": (
        agent().replace(
            "    def cleanup(self):\n        if self.health_thread.is_alive():\n"
            "            self.health_thread.join(timeout=1)\n",
            "    def stop(self):\n        self.running = False\n        self.health_thread.join()\n\n"
            "    def cleanup(self):\n",
        )
        + "\n    @property\n    def running(self):\n        return True\n",
        "`stop` waits for its thread before the loop is told to end, which may keep the process alive",
    ),
    "4: another port": (
        agent().replace("{self.health_port}", "{self.other}"),
        "its port `self.other` is not certainly its base's health port",
    ),
    "4: not the port that the base is given": (
        "HEALTH = 6000\n" + GIVEN.replace("{self.health_port}", "{HEALTH + 1}"),
        "its port `HEALTH + 1` is not the one that its base is given",
    ),
    "4: the port is set anew": (
        agent().replace("        self.jobs = []\n", "        self.jobs = []\n        self.health_port = 9\n"),
        "its port `self.health_port` is not certainly its base's health port",
    ),
    "4: a port that is known too late": (
        agent(f"        health = port + 2\n        self.health_port = health\n{MADE}"),
        "its port `self.health_port` is not certainly its base's health port",
    ),
    "4: a port of one's own that is set again": (
        agent("        self.mine = port\n" + MADE.replace("self.health_port", "self.mine"))
        + "\n    def move(self):\n        self.mine = 9\n",
        "its port `self.mine` is not certainly its base's health port",
    ),
    "4: a base that is given all its keywords": (
        agent("        self.mine = port\n" + MADE.replace("self.health_port", "self.mine"))
        .replace('"A", port)', '"A", port, **more)')
        .replace("port):", "port, **more):"),
        "its port `self.mine` is not certainly its base's health port",
    ),
    "4: a port after another one": (
        agent("        self.port = 5\n        self.health_port = self.port + 1\n" + MADE),
        "its port `self.health_port` is not certainly its base's health port",
    ),
    "4: another parameter of the same name": (
        agent("        self._make(6)\n")
        .replace("port):\n        self.jobs", "port, health=5):\n        self.jobs")
        .replace('"A", port)', '"A", port, health_port=health)')
        + "\n    def _make(self, health):\n"
        + MADE.replace("{self.health_port}", "{health}"),
        "its port `health` is not the one that its base is given",
    ),
    "5: two threads": (
        agent()
        + "\n    def again(self):\n        threading.Thread(target=self._health_check_loop).start()\n",
        "2 threads run it",
    ),
    "5: no daemon": (
        agent().replace(", daemon=True", ""),
        "its thread is not a daemon, and may keep the process alive",
    ),
    "5: no daemon, and another thread of that name is one": (
        agent("", LOOP, PAYLOAD).replace(
            "        self._begin()\n",
            "        t = threading.Thread(target=self._health_check_loop)\n        t.start()\n",
        )
        + "\n    def more(self):\n        t = threading.Thread(target=self.more)\n        t.daemon = True\n",
        "its thread is not a daemon, and may keep the process alive",
    ),
    "5: no daemon after all": (
        agent().replace(
            "        self.health_thread.start()\n",
            "        self.health_thread.daemon = False\n        self.health_thread.start()\n",
        ),
        "its thread is not a daemon, and may keep the process alive",
    ),
    "5: the main thread waits for it": (agent() + RUN.format("self.health_thread.join()"), WAITS),
    "5: the main thread waits for it a while": (
        agent() + RUN.format("self.health_thread.join(timeout=3600)"),
        WAITS,
    ),
    "5: the main thread begins it and waits for it": (
        agent().replace("        self.health_thread.start()\n", "")
        + RUN.format("self.health_thread.start()\n        self.health_thread.join()"),
        WAITS,
    ),
    "5: the main thread waits for it, after a clean-up that is told to": (
        agent()
        + RUN.format(
            "if self.jobs:\n            self.running = False\n        self.health_thread.join()",
        ),
        WAITS,
    ),
    "5: the main thread waits for it, and it is told to begin last": (
        agent()
        + RUN.format("self.running = False\n        self.running = True\n        self.health_thread.join()"),
        WAITS,
    ),
    "5: a clean-up that waits for it for ever": (
        agent().replace("join(timeout=1)", "join(timeout=None)"),
        WAITS.replace("run", "cleanup"),
    ),
    "5: a method that waits for it": (
        agent() + RUN.format("self._hold()") + "\n    def _hold(self):\n        self.health_thread.join()\n",
        WAITS.replace("run", "_hold"),
    ),
    "5: the main thread waits for all": (
        agent() + RUN.format("for each in [self.other, self.health_thread]:\n            each.join()"),
        "`self.health_thread` has other uses in `run`",
    ),
    "5: the main thread waits for all that it began": (
        agent("", LOOP, PAYLOAD).replace(
            "        self._begin()\n",
            "        found = [\n            threading.Thread(target=self.work),\n"
            "            threading.Thread(target=self._health_check_loop, daemon=True),\n        ]\n"
            "        for each in found:\n            each.start()\n"
            "        for each in found:\n            each.join()\n",
        ),
        "its thread is in a list that is not only iterated over to start and end its elements",
    ),
    "5: threads that are kept and counted": (
        agent("", LOOP, PAYLOAD).replace(
            "        self._begin()\n",
            "        self.all = [threading.Thread(target=self.work),\n"
            "            threading.Thread(target=self._health_check_loop, daemon=True)]\n"
            "        for each in self.all:\n            each.start()\n",
        )
        + RUN.format("self.jobs.append(len(self.all))"),
        "its thread is in a list that is not only iterated over to start and end its elements",
    ),
    "5: the main thread runs the loop": (
        agent() + RUN.format("self._health_check_loop()"),
        "`run` calls it directly, which may keep the process alive",
    ),
    "5: the payload tells of the thread": (
        agent().replace("len(self.jobs)", "self.health_thread.name"),
        "`self.health_thread` has other uses in `_get_health_status`",
    ),
    "5: another method asks whether it is alive": (
        agent() + "\n    def look(self):\n        return self.health_thread.is_alive()\n",
        "`self.health_thread` has other uses in `look`",
    ),
    "5: a list whose elements are counted": (
        agent().replace(
            "        if self.health_thread.is_alive():\n            self.health_thread.join(timeout=1)\n",
            "        threads = [self.other, self.health_thread]\n        for each in threads:\n"
            "            each.join(timeout=2)\n        self.ended = len(threads)\n",
        ),
        "`self.health_thread` has other uses in `cleanup`",
    ),
    "5: a list of what is started": (
        agent().replace(
            "        if self.health_thread.is_alive():\n            self.health_thread.join(timeout=1)\n",
            "        for each in [self.other, self.health_thread]:\n            self.keep(each)\n",
        ),
        "`self.health_thread` has other uses in `cleanup`",
    ),
    "6: by name": (
        agent() + "\n    def find(self):\n        return getattr(self, '_health_check_loop')\n",
        "`_health_check_loop` has other uses in `find`",
    ),
    "7: no base": (
        agent().replace("(BaseAgent)", "").replace('super().__init__("A", port)', "self.port = port"),
        "`A` derives from no classes, not from one base",
    ),
    "7: a base that is not known": (
        agent().replace("argosy.agent.compat", "somewhere"),
        "its base `somewhere.BaseAgent` does not answer health requests",
    ),
    "7: the base may not be reached": (
        agent().replace(
            "        super().__init__", "        if port:\n            return\n        super().__init__"
        ),
        "its constructor may return before it calls its base's",
    ),
    "7: a key of the standard's own": (
        agent().replace('"jobs"', '"failed"'),
        "its payload has the key `failed`, which the health endpoint sets itself",
    ),
}


def test_h201_keeps_calls_on_object_of_own_class() -> None:
    source = OWN + agent().replace('logging.info("started")', 'self.own.info("health thread started")')
    source = source.replace(JOBS, f"{MINE}        self.tries = self.own.get()\n")
    source = source.replace("time.sleep(0.1)", "time.sleep(0.1 if self.tries else 0.2)")
    outcome = refit(source)
    assert outcome.refused == ()
    made = outcome.after.decode() if outcome.after is not None else ""
    assert "_health_check_loop" not in made
    assert '        self.own.info("health thread started")\n' in made
    assert "        self.tries = self.own.get()\n" in made


@pytest.mark.parametrize(
    ("name", "source", "reason"), [(name, *case) for name, case in REFUSED.items()], ids=REFUSED
)
def test_h201_refuses_health_loop_with_reason(name: str, source: str, reason: str) -> None:
    outcome = refit(source)
    assert outcome.after is None
    assert [item.reason for item in outcome.refused] == [f"condition {name[0]}: {reason}"]


LISTED = MIGRATED["a thread of a list that is kept under another name, and counted in the log"]
OTHERS = {
    "a class that derives from it": (
        "from it import A\nclass B(A):\n    def go(self):\n        self._health_check_loop()\n",
        "`agents/b.py`, which defines a related class, names `_health_check_loop`",
    ),
    "a test that patches it": (
        "from unittest import mock\nimport it\nwith mock.patch('it.A._health_check_loop'):\n    it.A(1)\n",
        "`agents/b.py` names `_health_check_loop` of `A`",
    ),
    "one that finds it by its text": (
        "import importlib\na = getattr(importlib.import_module('it'), 'A')(1)\na.health_thread.join()\n",
        "`agents/b.py` names `health_thread` of `A`",
    ),
    "one that waits for all its threads": (
        "from it import A\na = A(1)\nfor each in a.all:\n    each.join()\n",
        "`agents/b.py` names `all` of `A`",
    ),
    "one that ends its thread": (
        "from it import A\na = A(1)\na.health_thread.join()\n",
        "`agents/b.py` names `health_thread` of `A`",
    ),
}


def test_h201_ignores_file_that_only_mentions_class() -> None:
    other = "# asks the A\nprint('A is up')\nfound = {'health_thread': True}\n"
    assert refit(agent(), {"agents/b.py": other}).refused == ()
    assert refit(agent(), {"agents/b.py": f"{other}x = (\n"}).refused != ()


@pytest.mark.parametrize(("other", "reason"), OTHERS.values(), ids=OTHERS)
def test_h201_refuses_loop_used_by_other_files(other: str, reason: str) -> None:
    source = LISTED if "`all`" in reason else agent()
    outcome = refit(source, {"agents/b.py": other})
    assert [item.reason for item in outcome.refused] == [f"condition 6: {reason}"]


OWN_BASE = textwrap.dedent('''
    import threading, time, zmq

    class Core:
        """A base of the tree's own."""
        def __init__(self, name, port, health_port=None):
            self.running = True
            self.context = zmq.Context()
            self.health_port = health_port or port + 1
            self.health_socket = self.context.socket(zmq.REP)
            self.health_socket.bind(f"tcp://127.0.0.1:{self.health_port}")
            threading.Thread(target=self.answer, daemon=True).start()

        def answer(self):
            while self.running:
                if self.health_socket.poll(100):
                    try:
                        self.health_socket.recv()
                        self.health_socket.send_json(self._get_health_status())
                    except Exception as error:
                        self.health_socket.send_json({"status": "error", "error": str(error)})

        def _get_health_status(self):
            return {"status": "ok"}
''')
OF_OWN = agent("").replace("from argosy.agent.compat import BaseAgent", "from core import Core as BaseAgent")


def test_h201_accepts_base_class_of_tree_that_answers_health() -> None:
    outcome = refit(OF_OWN, {"core.py": OWN_BASE})
    assert outcome.refused == ()
    assert outcome.after is not None
    assert refit(OF_OWN, {"core.py": OWN_BASE.replace("self.answer, ", "self.other, ")}).refused
    made = refit(
        OF_OWN.replace(
            "        self._begin()\n", MADE.replace("health_port}", "x}") + "        self._begin()\n"
        ),
        {"core.py": OWN_BASE},
    )
    assert [item.reason for item in made.refused] == [
        "condition 4: its port `self.x` is not certainly the one that its base binds"
    ]


def test_h201_refuses_if_removed_method_overrides_base_method() -> None:
    base = OWN_BASE + "\n    def _begin(self):\n        self.running = 2\n"
    made = refit(OF_OWN, {"core.py": base})
    assert [item.reason for item in made.refused] == [
        "condition 6: `_begin` overrides its base's method, which would be called instead"
    ]


def test_h201_refuses_port_other_than_in_fleet_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "fleet: f\nagents:\n  A: {run: agents/it.py, port: 5000, health_port: 6001}\n"
        "  B: {run: agents/b.py, port: 1}\n"
    )
    fleet = load_fleet(path)
    source = "HEALTH = 6000\n" + GIVEN.replace("{self.health_port}", "{HEALTH}")
    files = {"agents/it.py": source.encode()}
    outcome = rewrite_file(
        "agents/it.py", files["agents/it.py"], TreeIndex(files, fleet), select_codemods(["H201"])
    )
    assert [item.reason for item in outcome.refused] == [
        "condition 4: its port 6000 is not the health port 6001 of `A`"
    ]
    outcome = rewrite_file(
        "agents/b.py",
        source.encode(),
        TreeIndex({"agents/b.py": source.encode()}, fleet),
        select_codemods(["H201"]),
    )
    assert [item.reason for item in outcome.refused] == [
        "condition 4: the fleet file declares no health port for `B`"
    ]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_h201_migrates_mutated_agent_completely_or_not_at_all(data: st.DataObject) -> None:
    """What goes leaves a program that parses, knows its names and is done: the gates are asked each time."""
    source = data.draw(
        st.sampled_from([agent(), *MIGRATED.values(), *(text for text, _ in REFUSED.values())])
    )
    lines = source.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at : at + 1] = data.draw(
            st.sampled_from([[], [lines[at]] * 2, [lines[at].replace("health", "x")]])
        )
    text = "".join(lines)
    outcome = refit(text)
    if outcome.after is not None:
        after = outcome.after.decode()
        assert "_health_check_loop" not in after
        assert refit(after).after is None
