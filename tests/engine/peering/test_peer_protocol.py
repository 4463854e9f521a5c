"""What goes over a link: each frame comes out as it went in, and garbage is one kind of error."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.peering.peer_protocol import (
    AgentsSnapshot,
    CancelPeerRequest,
    MemoryReport,
    PeerFrame,
    PeerGoodbye,
    PeerHeartbeat,
    PeeringRejected,
    PeerReply,
    PeerRequest,
    StatusUpdate,
    SubscribeAgents,
    decode_client_frame,
    decode_server_frame,
    encode_frame,
)
from argosy.engine.protocol.messages import AgentStatus
from argosy.engine.protocol.state_machine import State

texts = st.text(max_size=20)
numbers = st.integers(0, 2**62)
statuses = st.builds(
    AgentStatus,
    state=st.sampled_from(State),
    health=st.none() | texts,
    pid=st.none() | numbers,
    machine=st.none() | texts,
    group=st.none() | texts,
    port=st.none() | st.integers(1, 65535),
    restarts=numbers,
    since_s=st.floats(0, 2e9),
    waiting_on=st.lists(texts, max_size=3),
    reason=texts,
    rss_bytes=st.none() | numbers,
    pss_bytes=st.none() | numbers,
    sampled_s=st.none() | st.floats(0, 1e6),
)
from_dialler = st.one_of(
    st.builds(SubscribeAgents, protocol=numbers, fleet=texts, environment=texts),
    st.just(PeerHeartbeat()),
    st.builds(PeerRequest, request_id=numbers, line=st.binary(max_size=50)),
    st.builds(CancelPeerRequest, request_id=numbers),
)
from_door = st.one_of(
    st.just(PeerHeartbeat()),
    st.builds(
        AgentsSnapshot, epoch=numbers, sequence=numbers, agents=st.dictionaries(texts, statuses, max_size=3)
    ),
    st.builds(StatusUpdate, epoch=numbers, sequence=numbers, agent=texts, status=statuses),
    st.builds(
        MemoryReport,
        agents=st.dictionaries(texts, st.tuples(numbers, numbers, st.floats(0, 100)), max_size=3),
    ),
    st.builds(PeeringRejected, reason=texts),
    st.builds(PeerGoodbye, running_agents=numbers),
    st.builds(PeerReply, request_id=numbers, line=st.binary(max_size=50)),
)


@given(from_dialler)
def test_what_a_dialler_says_comes_out_as_it_went_in(frame: PeerFrame) -> None:
    assert decode_client_frame(encode_frame(frame)) == frame


@given(from_door)
def test_what_a_door_says_comes_out_as_it_went_in(frame: PeerFrame) -> None:
    assert decode_server_frame(memoryview(encode_frame(frame))) == frame


@given(st.binary(max_size=60))
def test_garbage_is_one_kind_of_error(data: bytes) -> None:
    for decode in (decode_client_frame, decode_server_frame):
        with contextlib.suppress(msgspec.DecodeError):
            decode(data)


@pytest.mark.parametrize("frame", [PeeringRejected(reason="no"), PeerGoodbye(running_agents=1)])
def test_a_dialler_cannot_say_what_only_a_door_says(frame: PeerFrame) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_client_frame(encode_frame(frame))
