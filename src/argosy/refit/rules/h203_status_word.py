"""A status word outside the standard

Health has five words: `starting`, `ok`, `degraded`, `failing`, `stopping`. Callers compare with them; an
agent that answers `HEALTHY`, `running` or `success` is down for one caller and fine for the next.

Reported are literal `status` words in what `_get_health_status` and `health_check` return, in what a health
loop sends, and in the answer to a request that was compared with `health` or `health_check`. The standard
translates known words in its answers and has the original under `status_word`; it reads unknown words as
`degraded`.

Instead: one of the five words, and everything else under keys of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.agent.health import Status, is_known_status_word, normalize_status
from argosy.refit.analysis.health.status_words import find_status_words
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile

_STANDARD_WORDS = frozenset(status.value for status in Status)


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each word that is not one of the five."""
    for word, scope in find_status_words(file):
        text = str(word.value)
        if text not in _STANDARD_WORDS:
            known = "" if is_known_status_word(text) else "unknown, and "
            message = f"`{text}` is not a status of the health standard"
            hint = f"it is {known}read as `{normalize_status(text)}`"
            yield file.make_finding(word, message, scope, hint=hint)


RULE = Rule(
    code="H203",
    title="status word outside the standard",
    action="review",
    required_words=(b"status",),
    check_file=check,
)

MUST = (
    RuleCase(
        "class A(Base):\n    def _get_health_status(self):\n"
        "        return {'status': 'HEALTHY', 'uptime': 1}  # <--\n"
    ),
    RuleCase(
        "class A(Base):\n    def health_check(self):\n        found = {'status': 'ok'}\n"
        "        if not self.up:\n"
        "            found['status'] = 'down'  # <--\n        return found\n"
    ),
    RuleCase(
        "class A(Base):\n    def _get_health_status(self):\n        base = super()._get_health_status()\n"
        "        base.update({'status': 'healthy' if self.up else 'failing'})  # <--\n        return base\n"
    ),
    RuleCase(
        "class A:\n    def handle(self, request):\n        if request.get('action') == 'health_check':\n"
        "            return {'status': 'running', 'agent': 'a'}  # <--\n"
    ),
    RuleCase(
        "import zmq\n\ndef serve(s):\n    while True:\n        s.recv()\n"
        "        s.send_json({'status': 'alive', 'uptime': 1})  # <--\n"
    ),
)
MUST_NOT = (
    RuleCase(
        "class A(Base):\n    def _get_health_status(self):\n"
        "        return {'status': 'ok', 'database': 'fine'}\n"
    ),
    RuleCase(
        "class A(Base):\n    def _get_health_status(self):\n"
        "        return {'status': 'ok', 'parts': {'db': {'status': 'connected'}}}\n"
    ),
    RuleCase(
        "class A:\n    def handle(self, request):\n        if request.get('action') == 'translate':\n"
        "            return {'status': 'success', 'text': 'x'}\n"
    ),
    RuleCase("def f(word):\n    return {'status': 'HEALTHY'}\n"),
    RuleCase("class A(Base):\n    def _get_health_status(self):\n        return {'status': self.word}\n"),
)
