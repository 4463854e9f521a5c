"""Peer protocol: each frame survives encoding, and garbage raises one kind of error."""

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
client_frames = st.one_of(
    st.builds(SubscribeAgents, protocol=numbers, fleet=texts, environment=texts),
    st.just(PeerHeartbeat()),
    st.builds(PeerRequest, request_id=numbers, line=st.binary(max_size=50)),
    st.builds(CancelPeerRequest, request_id=numbers),
)
server_frames = st.one_of(
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


@given(client_frames)
def test_client_frames_survive_encoding(frame: PeerFrame) -> None:
    assert decode_client_frame(encode_frame(frame)) == frame


@given(server_frames)
def test_server_frames_survive_encoding(frame: PeerFrame) -> None:
    assert decode_server_frame(memoryview(encode_frame(frame))) == frame


@given(st.binary(max_size=60))
def test_peer_decoders_raise_only_decode_error_for_garbage(data: bytes) -> None:
    for decode in (decode_client_frame, decode_server_frame):
        with contextlib.suppress(msgspec.DecodeError):
            decode(data)


@pytest.mark.parametrize("frame", [PeeringRejected(reason="no"), PeerGoodbye(running_agents=1)])
def test_client_decoder_rejects_server_frames(frame: PeerFrame) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_client_frame(encode_frame(frame))
