"""What goes over a link between two supervisors: msgpack, one of these structs a message.

The dialler speaks first, with Watch. It is answered by a Snapshot, after which News follow in the
order of their numbers; Ask carries a request of the control protocol, Told each answer to it.
"""

from __future__ import annotations

import msgspec

from argosy.engine.supervisor.messages import AgentStatus

PEER_PROTOCOL = 1


class PeerFrame(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, kw_only=True):
    """Base of all frames; the tag is the class name in lower case."""


class SubscribeAgents(PeerFrame, frozen=True):
    """Tell me of your agents from now on; answered by Snapshot or Denied."""

    protocol: int
    fleet: str
    environment: str


class PeerHeartbeat(PeerFrame, frozen=True):
    """I am here."""


class AgentsSnapshot(PeerFrame, frozen=True):
    """All agents of the sender after the transition `number` of its `epoch`; version: of its tree."""

    epoch: int
    sequence: int
    agents: dict[str, AgentStatus]
    version: str = ""


class StatusUpdate(PeerFrame, frozen=True):
    """One agent of the sender has changed; the numbers of an epoch have no holes."""

    epoch: int
    sequence: int
    agent: str
    status: AgentStatus


class MemoryReport(PeerFrame, frozen=True):
    """The memory of the sender's agents: resident and proportional bytes, age of the sample in seconds.

    version: of its tree.
    """

    agents: dict[str, tuple[int, int, float]]
    version: str = ""


class PeeringRejected(PeerFrame, frozen=True):
    """The sender does not link with the receiver, for this reason."""

    reason: str


class PeerGoodbye(PeerFrame, frozen=True):
    """The sender's supervisor ends on purpose; so many agents run on without it."""

    running_agents: int


class PeerRequest(PeerFrame, frozen=True):
    """A request of the control protocol, as its line; `number` is the asker's."""

    request_id: int
    line: bytes


class PeerReply(PeerFrame, frozen=True):
    """An answer to the request `number`, as its line; an empty line ends the answers."""

    request_id: int
    line: bytes


class CancelPeerRequest(PeerFrame, frozen=True):
    """The asker of the request `number` has gone."""

    request_id: int


PeerClientFrame = SubscribeAgents | PeerHeartbeat | PeerRequest | CancelPeerRequest
PeerServerFrame = (
    PeerHeartbeat | AgentsSnapshot | StatusUpdate | MemoryReport | PeeringRejected | PeerGoodbye | PeerReply
)

_encoder = msgspec.msgpack.Encoder()
_client_frame_decoder: msgspec.msgpack.Decoder[PeerClientFrame] = msgspec.msgpack.Decoder(PeerClientFrame)
_server_frame_decoder: msgspec.msgpack.Decoder[PeerServerFrame] = msgspec.msgpack.Decoder(PeerServerFrame)


def encode_frame(frame: PeerFrame) -> bytes:
    """Return a frame as bytes."""
    return _encoder.encode(frame)


def decode_client_frame(data: bytes | memoryview) -> PeerClientFrame:
    """Return what a dialler says; raises msgspec.DecodeError when it is nothing of that."""
    return _client_frame_decoder.decode(data)


def decode_server_frame(data: bytes | memoryview) -> PeerServerFrame:
    """Return what a door says; raises msgspec.DecodeError when it is nothing of that."""
    return _server_frame_decoder.decode(data)
