"""What goes over a link between two supervisors: msgpack, one of these structs a message.

The dialler speaks first, with Watch. It is answered by a Snapshot, after which News follow in the
order of their numbers; Ask carries a request of the control protocol, Told each answer to it.
"""

from __future__ import annotations

import msgspec

from argosy.engine.messages import AgentStatus

LINK_PROTOCOL = 1


class Frame(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, kw_only=True):
    """Base of all frames; the tag is the class name in lower case."""


class Watch(Frame, frozen=True):
    """Tell me of your agents from now on; answered by Snapshot or Denied."""

    protocol: int
    fleet: str
    environment: str


class Beat(Frame, frozen=True):
    """I am here."""


class Snapshot(Frame, frozen=True):
    """All agents of the sender after the transition `number` of its `epoch`; version: of its tree."""

    epoch: int
    number: int
    agents: dict[str, AgentStatus]
    version: str = ""


class News(Frame, frozen=True):
    """One agent of the sender has changed; the numbers of an epoch have no holes."""

    epoch: int
    number: int
    agent: str
    status: AgentStatus


class Figures(Frame, frozen=True):
    """The memory of the sender's agents: resident and proportional bytes, age of the sample in seconds.

    version: of its tree.
    """

    agents: dict[str, tuple[int, int, float]]
    version: str = ""


class Denied(Frame, frozen=True):
    """The sender does not link with the receiver, for this reason."""

    reason: str


class Leaving(Frame, frozen=True):
    """The sender's supervisor ends on purpose; so many agents run on without it."""

    running: int


class Ask(Frame, frozen=True):
    """A request of the control protocol, as its line; `number` is the asker's."""

    number: int
    line: bytes


class Told(Frame, frozen=True):
    """An answer to the request `number`, as its line; an empty line ends the answers."""

    number: int
    line: bytes


class Forget(Frame, frozen=True):
    """The asker of the request `number` has gone."""

    number: int


FromDialler = Watch | Beat | Ask | Forget
FromDoor = Beat | Snapshot | News | Figures | Denied | Leaving | Told

_encoder = msgspec.msgpack.Encoder()
_from_dialler: msgspec.msgpack.Decoder[FromDialler] = msgspec.msgpack.Decoder(FromDialler)
_from_door: msgspec.msgpack.Decoder[FromDoor] = msgspec.msgpack.Decoder(FromDoor)


def encode_frame(frame: Frame) -> bytes:
    """Return a frame as bytes."""
    return _encoder.encode(frame)


def decode_from_dialler(data: bytes | memoryview) -> FromDialler:
    """Return what a dialler says; raises msgspec.DecodeError when it is nothing of that."""
    return _from_dialler.decode(data)


def decode_from_door(data: bytes | memoryview) -> FromDoor:
    """Return what a door says; raises msgspec.DecodeError when it is nothing of that."""
    return _from_door.decode(data)
