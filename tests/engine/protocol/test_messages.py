"""Control protocol: every message survives encoding, and no line crashes a decoder."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.protocol.messages import (
    AgentStateChanged,
    Apply,
    ControlMessage,
    ControlReply,
    ControlRequest,
    GetStatus,
    decode_reply,
    decode_request,
    encode_line,
)
from argosy.engine.protocol.state_machine import State
from argosy.fleet.loader import load_fleet

TEXT = st.text(st.characters(codec="utf-8"))
FLEETS = [
    "fleet: f\nagents: {A: {run: a.py}}",
    """
fleet: f
machines: {m: {gpu: RTX 4090, gpu_memory: 24GiB}}
environments: {testing: {m: 127.0.0.1}}
defaults: {env: {KEY: "1"}, backoff: {first: 1s}}
agents:
  A: {run: "m:A", machine: m, port: 7000, liveness: {watchdog: 3s}}
  B:
    run: [sleep, 1]
    machine: m
    needs: [{agent: A, on_death: degrade}]
    ready: {probe: zmq, port: 1, send: {a: [1]}}
""",
]


@given(
    st.builds(
        Apply,
        fleet=st.builds(load_fleet, st.just("/f/fleet.yaml"), st.sampled_from(FLEETS)),
        environment=TEXT,
        machine=st.none() | TEXT,
        environ=st.dictionaries(TEXT, st.binary()),
        only=st.none() | st.lists(TEXT),
        skip=st.dictionaries(TEXT, TEXT),
        timeout_s=st.floats(0, 1e6),
    )
)
def test_apply_message_survives_encoding_with_any_environment(message: Apply) -> None:
    line = encode_line(message)
    assert line.count(b"\n") == 1
    assert decode_request(line) == message


@given(TEXT, st.sampled_from(State), TEXT, st.none() | st.integers(1, 2**31), st.lists(TEXT))
def test_agent_state_change_survives_encoding(
    agent: str, state: State, reason: str, pid: int | None, waiting: list[str]
) -> None:
    message = AgentStateChanged(
        agent=agent, state=state, at_s=1.5, reason=reason, pid=pid, waiting_on=waiting
    )
    assert decode_reply(encode_line(message)) == message


@given(st.binary(max_size=200))
def test_control_decoders_raise_decode_error_for_garbage(line: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with pytest.raises(msgspec.DecodeError):
            decode(line)


@given(st.dictionaries(st.sampled_from(["type", "names", "protocol", "x"]), st.none() | st.integers() | TEXT))
def test_request_decoder_raises_decode_error_for_other_json(value: dict[str, object]) -> None:
    line = msgspec.json.encode(value)
    try:
        decode_request(line)
    except msgspec.DecodeError:
        return
    assert value["type"] in {kind.__struct_config__.tag for kind in get_args(ControlRequest)}


def test_each_message_has_unique_tag() -> None:
    kinds: list[type[ControlMessage]] = [*get_args(ControlRequest), *get_args(ControlReply)]
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(tags)) == len(tags)
    assert decode_request(b'{"type":"getstatus"}') == GetStatus()
