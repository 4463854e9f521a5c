"""The supervisor process and its control protocol.

For use outside of the engine: `control_client`, `messages`, `daemonize`, `entrypoint`, `hub_process`,
`plan_diff`, `responsiveness` and `agent_protocol`; the other modules run in the supervisor.
"""
