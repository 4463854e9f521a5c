"""Stream types with the type of their items, for the stubs that `argosy stub` writes."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

T = TypeVar("T", covariant=True)


class ItemStream(Protocol[T]):
    """What `Peer.stream` returns; leave it early through `async with`."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> T: ...

    async def aclose(self) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


class SyncItemStream(Protocol[T]):
    """What `SyncPeer.stream` returns; leave it early through `with`."""

    def __iter__(self) -> Self: ...

    def __next__(self) -> T: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
