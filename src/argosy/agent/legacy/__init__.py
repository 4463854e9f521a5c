"""Implementation of `BaseAgent`, the base class of agents written before argosy, and its service discovery.

One responder for the process answers health on the declared ports, hands requests to the work loop in
the main thread, and reports where that thread is. Agents import `argosy.agent.compat`;
docs/reference/compat.md.

From outside: `base_agent`, `service_discovery`.
"""
