"""The protocol between two supervisors: msgpack, one of these structs per message.

The client sends `SubscribeAgents` first. The server replies with an `AgentsSnapshot`, followed by
`StatusUpdate`s in the order of their sequence numbers. `PeerRequest` carries a request of the control
protocol, and `PeerReply` each reply to it.
"""

from __future__ import annotations

import msgspec

from argosy.engine.protocol.messages import AgentStatus
from argosy.fault import Fault, RefusedError

PEER_PROTOCOL = 2


class PeerFrame(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, kw_only=True):
    """Base of all frames; the tag is the class name in lower case."""


class SubscribeAgents(PeerFrame, frozen=True, tag="watch"):
    """Subscribe to the receiver's agents; answered by AgentsSnapshot or PeeringRejected.

    The tag is the same in all versions, so that the receiver can compare the protocols.
    """

    protocol: int
    fleet: str
    environment: str


class PeerHeartbeat(PeerFrame, frozen=True):
    """The sender is alive."""


class AgentsSnapshot(PeerFrame, frozen=True):
    """All agents of the sender after the transition `sequence` of its `epoch`. version: of its tree."""

    epoch: int
    sequence: int
    agents: dict[str, AgentStatus]
    version: str = ""


class StatusUpdate(PeerFrame, frozen=True):
    """One agent of the sender has changed; the sequence numbers of an epoch have no gaps."""

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


class PeeringRejected(PeerFrame, frozen=True, tag="denied"):
    """The sender rejects the receiver, for this reason. The tag is the same in all versions."""

    reason: str


class PeerGoodbye(PeerFrame, frozen=True):
    """The sender's supervisor was stopped; `running_agents` keep running without it."""

    running_agents: int


class PeerRequest(PeerFrame, frozen=True):
    """A request of the control protocol, as its line. request_id: assigned by the sender."""

    request_id: int
    line: bytes


class PeerReply(PeerFrame, frozen=True):
    """A reply to the request `request_id`, as its line; an empty line ends the replies."""

    request_id: int
    line: bytes


class CancelPeerRequest(PeerFrame, frozen=True):
    """The sender of the request `request_id` does not wait for replies any more."""

    request_id: int


PeerClientFrame = SubscribeAgents | PeerHeartbeat | PeerRequest | CancelPeerRequest
PeerServerFrame = (
    PeerHeartbeat | AgentsSnapshot | StatusUpdate | MemoryReport | PeeringRejected | PeerGoodbye | PeerReply
)

_encoder = msgspec.msgpack.Encoder()
_client_frame_decoder: msgspec.msgpack.Decoder[PeerClientFrame] = msgspec.msgpack.Decoder(PeerClientFrame)
_server_frame_decoder: msgspec.msgpack.Decoder[PeerServerFrame] = msgspec.msgpack.Decoder(PeerServerFrame)


def encode_frame(frame: PeerFrame) -> bytes:
    """Encode a frame."""
    return _encoder.encode(frame)


def decode_client_frame(data: bytes | memoryview) -> PeerClientFrame:
    """Decode a frame of a client; raises msgspec.DecodeError if it is invalid."""
    return _client_frame_decoder.decode(data)


def decode_server_frame(data: bytes | memoryview) -> PeerServerFrame:
    """Decode a frame of a server; raises msgspec.DecodeError if it is invalid."""
    return _server_frame_decoder.decode(data)


class PeerUnreachableError(RefusedError):
    """The connection was lost during a request; whether the request was carried out is unknown."""

    def __init__(self, machine: str, reason: str) -> None:
        message = f"machine `{machine}` became unreachable during a request: {reason}"
        hint = f"its agents keep running; `argosy status` shows when `{machine}` is linked again"
        super().__init__(Fault(machine, "peer-unreachable", message, hint))
