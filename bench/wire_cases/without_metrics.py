"""An echo agent that can switch off its automatic metrics, to measure their cost.

`python -m wire_cases.without_metrics`. Argosy has no such switch, so this module replaces the heartbeat, and
removes the counting statements from the source of the method that has them. One process does both, since two
processes would differ by more than the metrics, for example by their memory layout.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, Final

from argosy.agent import request, run
from argosy.agent.agent_runtime import AgentRuntime
from argosy.wire.server import rpc_server
from wire_cases.echo_agent import Echo


class _CountRemover(ast.NodeTransformer):
    """Removes `self._outcome_counts[…] += …` and counts how often."""

    taken = 0

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        if not ast.unparse(node.target).startswith("self._outcome_counts["):
            return node
        self.taken += 1
        return ast.copy_location(ast.Pass(), node)


def send_reply_without_counts() -> Callable[..., Any]:
    """Return `RpcServer.send_reply` without counting; raises AttributeError if it does not count."""
    without = _CountRemover()
    tree = without.visit(ast.parse(textwrap.dedent(inspect.getsource(rpc_server.RpcServer.send_reply))))
    if not without.taken:
        raise AttributeError("RpcServer.send_reply counts nothing: requests are counted elsewhere")
    source = "from __future__ import annotations\n" + ast.unparse(tree)
    made: dict[str, Any] = {}
    exec(compile(source, rpc_server.__file__, "exec"), vars(rpc_server), made)
    answer: Callable[..., Any] = made["send_reply"]
    return answer


def idle_heartbeat(runtime: Any) -> None:
    """Keep the heartbeat timer running without measuring or sending anything."""
    runtime._heartbeat_timer = runtime._loop.call_later(runtime._notifier.heartbeat_s, runtime._on_heartbeat)


# The methods with metrics (True) and without. The replaced names are private and must exist.
SEND_REPLY: Final = {True: rpc_server.RpcServer.send_reply, False: send_reply_without_counts()}
ON_HEARTBEAT: Final = {True: getattr(AgentRuntime, "_on_heartbeat"), False: idle_heartbeat}  # noqa: B009


class MetricsSwitch(Echo):
    """An echo agent that keeps metrics until `keep_metrics` turns them off."""

    @request(short=True)
    def keep_metrics(self, kept: bool) -> None:
        setattr(rpc_server.RpcServer, "send_reply", SEND_REPLY[kept])  # noqa: B010
        setattr(AgentRuntime, "_on_heartbeat", ON_HEARTBEAT[kept])  # noqa: B010


if __name__ == "__main__":
    run(MetricsSwitch)
