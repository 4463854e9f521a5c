"""H201: side effects of a health payload, and keys that the health endpoint sets itself."""

from __future__ import annotations

import pytest

from refit.rules.h201_health_loop.test_codemod import agent, payload, refit

BUMP = "\n    def bump(self, job=None):\n        self.n += 1\n        return self.n\n"
IDLE = "\n    @property\n    def idle(self):\n        self.n += 1\n        return self.n\n"
UNKNOWN = "`, whose type is unknown"


def importing(statement: str, source: str) -> str:
    return source.replace("import time\n", f"import time\n{statement}\n")


IMPURE = {
    "it takes from a queue": (
        importing(
            "import queue", payload("return {'n': self.q.get()}", jobs="[]\n        self.q = queue.Queue()")
        ),
        "it calls `self.q.get`, and the type of `self.q` is unknown",
    ),
    "it asks what is not known": (
        payload("return {'n': self.jobs.get('x')}", jobs="port"),
        "it calls `self.jobs.get`, and the type of `self.jobs` is unknown",
    ),
    "it has a method called": (
        payload("return {'n': list(map(self.bump, self.jobs))}", more=BUMP),
        "it sets `self.n`",
    ),
    "it has a method called by a key": (
        payload("return {'n': sorted(self.jobs, key=self.bump)}", more=BUMP),
        "it sets `self.n`",
    ),
    "it has something else called": (
        payload("return {'n': max(self.jobs, key=self.weigh)}"),
        "it passes `self.weigh` on to be called",
    ),
    "it has what makes json of the rest called": (
        importing("import json", payload("return {'n': json.dumps(self.jobs, default=weigh)}")),
        "it passes `weigh` on to be called",
    ),
    "it asks for a method by its name": (
        payload("return {'n': getattr(self, 'idle')}", more=IDLE),
        "it sets `self.n`",
    ),
    "a property does": (payload("return {'n': self.idle}", more=IDLE), "it sets `self.n`"),
    "a lambda does": (
        payload("return {'n': sorted(self.jobs, key=lambda x: self.seen.append(x))}"),
        "it calls `self.seen.append`",
    ),
    "a comprehension does": (
        payload("d = {}", "return {'n': [d.update(x=1) for d in self.jobs]}"),
        "it calls `d.update`",
    ),
    "a name is another's on one way": (
        payload("stats = self.stats", "if self.jobs:", "    stats = {}", "stats['n'] = 1", "return stats"),
        "it sets `stats['n']`",
    ),
    "a name is another's, and is added to": (
        payload("jobs = self.jobs", "jobs += [1]", "return {'n': jobs}"),
        "it adds to `jobs`, which may be shared",
    ),
    "it asks a dict that makes what it has not": (
        importing(
            "from collections import defaultdict",
            payload("return {'n': self.jobs['x']}", jobs="defaultdict(int)"),
        ),
        "`self.jobs` creates missing keys",
    ),
    "it uses up what it goes through": (
        payload("return {'n': sum(self.jobs)}", jobs="map(int, [1])"),
        f"it iterates over `self.jobs{UNKNOWN}",
    ),
    "it goes through what is not known": (
        payload("return {'n': [str(each) for each in self.jobs]}", jobs="port"),
        f"it iterates over `self.jobs{UNKNOWN}",
    ),
    "it enters something": (payload("with self.jobs:", "    return {}"), "it enters `self.jobs`"),
    "it imports a module": (payload("import agents", "return {}"), "it imports `agents`"),
    "it has a function of its own": (
        payload("def look():", "    return 1", "return {'n': look()}"),
        "`functiondef`",
    ),
    "a builtin is another function here": (
        "def sum(jobs):\n    jobs.clear()\n\n" + payload("return {'n': sum(self.jobs)}"),
        "it calls `sum`",
    ),
    "a module is another object here": (
        payload("time = self.jobs", "return {'n': time.time()}"),
        "it calls `time.time`, and the type of `time` is unknown",
    ),
    "an object of the file counts who asks it": (
        payload(
            "return {'n': str(self.jobs)}",
            jobs="Jobs()",
            more="\nclass Jobs:\n    def __str__(self):\n        self.n += 1\n        return ''\n",
        ),
        "it sets `self.n`",
    ),
}


@pytest.mark.parametrize(("source", "reason"), IMPURE.values(), ids=IMPURE)
def test_h201_refuses_payload_with_side_effects(source: str, reason: str) -> None:
    outcome = refit(source)
    assert outcome.after is None
    assert [item.reason for item in outcome.refused] == [
        f"condition 2: its payload has side effects: {reason}"
    ]


OWN = "its payload has the key `{}`, which the health endpoint sets itself".format
UNSEEN = "the keys of its payload are not all visible, and the health endpoint reserves some"
RESERVED = {
    "another name": (("return {'name': 'Other'}",), OWN("name")),
    "another time": (("return {'uptime': 5}",), OWN("uptime")),
    "a time in whole seconds": (("return {'uptime': int(time.time() - self.start_time)}",), OWN("uptime")),
    "another process": (("return {'pid': self.child}",), OWN("pid")),
    "a reason that is no text": (("return {'reason': None}",), OWN("reason")),
    "a key that comes later": (("found = {}", "found.update(since=1)", "return found"), OWN("since")),
    "a key that comes last": (("found = {}", "found['payload_age'] = 1", "return found"), OWN("payload_age")),
    "keys of something else": (("return {**self.stats}",), UNSEEN),
    "keys that are worked out": (("return {str(n): 1 for n in self.jobs}",), UNSEEN),
    "something else": (("return self.stats",), UNSEEN),
}


@pytest.mark.parametrize(("lines", "reason"), RESERVED.values(), ids=RESERVED)
def test_h201_refuses_payload_with_reserved_keys(lines: tuple[str, ...], reason: str) -> None:
    outcome = refit(payload(*lines))
    assert outcome.after is None
    assert [item.reason for item in outcome.refused] == [f"condition 7: {reason}"]


@pytest.mark.parametrize(
    "again",
    [
        "\n    def reset(self):\n        self.start_time = time.time()\n",
        "\n    def rename(self):\n        self.name = 'B'\n",
    ],
)
def test_h201_refuses_reserved_key_whose_value_may_change(again: str) -> None:
    said = payload("return {'name': self.name, 'uptime': time.time() - self.start_time}").replace(
        'super().__init__("A", port)\n',
        'super().__init__("A", port)\n        self.start_time = time.time()\n',
    )
    assert refit(said).refused == ()
    assert refit(said + again).after is None


def test_h201_checks_payload_of_derived_class() -> None:
    other = "from it import A\nclass B(A):\n    def _get_health_status(self):\n        {}\n"
    assert refit(agent(), {"agents/b.py": other.format("return super()._get_health_status()")}).refused == ()
    outcome = refit(agent(), {"agents/b.py": other.format("self.n = 1")})
    assert [item.reason for item in outcome.refused] == [
        "condition 2: in `B`, which derives from it, its payload has side effects: it sets `self.n`"
    ]
