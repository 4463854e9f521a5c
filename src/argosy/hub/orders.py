"""Orders over HTTP: `POST /api/actions/{restart,stop,quiet,loud}`, with the token (`gate.py`).

An order names agents, of other machines too where supervisors are linked; it is answered when it has been
carried out.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.engine.folder import folder_of
from argosy.fault import ArgosyError, Fault, InputError, MissingError
from argosy.fleet.spelling import suggestion
from argosy.hub.gate import GateError, admit, fault_response
from argosy.hub.keeper import FullError
from argosy.hub.quiet import Asked, word_of

if TYPE_CHECKING:
    from argosy.hub.hub import Hub

MOST_BYTES: Final = 64 * 1024
_CODES: Final[dict[type[ArgosyError], int]] = {
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    MissingError: HTTPStatus.SERVICE_UNAVAILABLE,
    FullError: HTTPStatus.INSUFFICIENT_STORAGE,
}


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an order. groups, machines, minutes: of `quiet` and `loud`, for which nothing named is
    all.
    """

    agents: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    groups: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    machines: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    minutes: Annotated[float, msgspec.Meta(gt=0, le=7 * 24 * 60)] = 10.0


class Orders:
    """Takes orders for one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._token = folder_of(Path(hub.options.fleet)).hub_token

    def routes(self) -> list[Route]:
        """Return what is served."""
        acts = {"restart": self._restart, "stop": self._stop, "quiet": self._quiet, "loud": self._loud}
        return [
            Route(f"/api/actions/{do}", self._endpoint(act), methods=["POST"], name=do)
            for do, act in acts.items()
        ] + [Route("/api/token", self._endpoint(self._nothing), methods=["POST"])]

    def _endpoint(
        self, act: Callable[[Order, str], Awaitable[dict[str, Any]]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            admit(request, self._token, self._hub.actions)
            order = await _order_in(request)
            by = request.client.host if request.client else ""
            try:
                done = await act(order, by)
            except ArgosyError as error:
                return fault_response(_CODES.get(type(error), HTTPStatus.CONFLICT), *error.faults)
            return Response(
                msgspec.json.encode({"argosy": "action/1", **done}), media_type="application/json"
            )

        return endpoint

    async def _nothing(self, order: Order, by: str) -> dict[str, Any]:
        """Only say that the token is the right one."""
        return {"token": "right"}

    async def _restart(self, order: Order, by: str) -> dict[str, Any]:
        return await self._hub.acts.restart(self._named(order), by)

    async def _stop(self, order: Order, by: str) -> dict[str, Any]:
        return await self._hub.acts.stop(self._named(order), by)

    async def _quiet(self, order: Order, by: str) -> dict[str, Any]:
        until_s = time.time() + 60 * order.minutes
        asked, _ = await self._say("quiet", order, by, until=until_s)
        return {**msgspec.to_builtins(asked), "until": until_s}

    async def _loud(self, order: Order, by: str) -> dict[str, Any]:
        asked, was_quiet = await self._say("loud", order, by)
        return {**msgspec.to_builtins(asked), "was_quiet": was_quiet}

    async def _say(self, do: str, order: Order, by: str, **more: float) -> tuple[Asked, bool]:
        """Keep a word on what is to be quiet, which tells the other hubs too, and go by it here."""
        asked = self._asked(order)
        covered = self._covered(asked)
        names = {"groups": asked.groups, "machines": asked.machines, "covered": covered}
        event = await self._hub.acts.note(do, asked.agents, by or "somebody", **names, key=asked.key, **more)
        word = word_of(event, "")
        assert word is not None, "it says so"
        return asked, self._hub.watch.hear_quiet(word)

    def _asked(self, order: Order) -> Asked:
        """Return what an order names, each once. Raises InputError: the fleet has no such thing."""
        groups = {spec.group for spec in self._hub.declared().values() if spec.group}
        faults = [
            *_unknown("agent", order.agents, self._hub.declared()),
            *_unknown("group", order.groups, groups),
            *_unknown("machine", order.machines, self._hub.machines()),
        ]
        if faults:
            raise InputError(*faults)
        return Asked(*(tuple(dict.fromkeys(each)) for each in (order.agents, order.groups, order.machines)))

    def _covered(self, asked: Asked) -> list[str] | None:
        """Return the agents that are meant, None for all."""
        if asked == Asked():
            return None
        machines = set(asked.machines)
        is_here = any(map(self._hub.is_here, machines))
        return [
            name
            for name, spec in self._hub.declared().items()
            if name in asked.agents
            or spec.group in asked.groups
            or spec.machine in machines
            or (spec.machine is None and is_here)
        ]

    def _named(self, order: Order) -> list[str]:
        """Return the agents of an order that needs some, each once. Raises InputError."""
        if order.groups or order.machines:
            message = "groups and machines are for `quiet` and `loud`"
            raise InputError(Fault("groups", "no-agents", message, "name the agents"))
        if not order.agents:
            hint = 'such as {"agents": ["Echo"]}'
            raise InputError(Fault("agents", "no-agents", "no agent is named", hint))
        return list(self._asked(order).agents)


async def _order_in(request: Request) -> Order:
    """Return what a request orders. Raises GateError: it is none."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            fault = Fault("body", "too-long", f"an order has at most {MOST_BYTES} bytes")
            raise GateError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, fault)
    try:
        return msgspec.json.decode(bytes(body), type=Order)
    except msgspec.DecodeError as error:
        fault = Fault("body", "bad-order", f"this is no order: {error}", 'such as {"agents": ["Echo"]}')
        raise GateError(HTTPStatus.BAD_REQUEST, fault) from error


def _unknown(what: str, names: Iterable[str], known: Iterable[str]) -> list[Fault]:
    there = set(known)
    return [
        Fault(
            f"{what}s",
            f"unknown-{what}",
            f"the fleet has no {what} `{name}`",
            suggestion(name, there, f"{what}s"),
        )
        for name in names
        if name not in there
    ]
