"""Orders over HTTP: `POST /api/actions/{restart,stop,quiet,loud}`, with the token (`gate.py`).

An order names agents, of other machines too where supervisors are linked; it is answered when it has been
carried out.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
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

if TYPE_CHECKING:
    from argosy.hub.hub import Hub

MOST_BYTES: Final = 64 * 1024
_CODES: Final[dict[type[ArgosyError], int]] = {
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    MissingError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an order. agents: for `quiet` and `loud` none is all; minutes: of `quiet`."""

    agents: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
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
        return await self._hub.acts.restart(self._known(order, all_=False), by)

    async def _stop(self, order: Order, by: str) -> dict[str, Any]:
        return await self._hub.acts.stop(self._known(order, all_=False), by)

    async def _quiet(self, order: Order, by: str) -> dict[str, Any]:
        agents = self._known(order, all_=True)
        self._check_here(agents)
        alerting = self._hub.watch.alerting
        key = _key_of(agents)
        until_s = time.time() + 60 * order.minutes
        await self._hub.acts.note("quiet", agents, by or "somebody", key=key, until=until_s)
        alerting.open_quiet(key, agents or None, until_s, by or "somebody")
        return {"agents": agents, "until": until_s}

    async def _loud(self, order: Order, by: str) -> dict[str, Any]:
        agents = self._known(order, all_=True)
        self._check_here(agents)
        key = _key_of(agents)
        was_quiet = self._hub.watch.alerting.quiet.close(key)
        await self._hub.acts.note("loud", agents, by or "somebody", key=key)
        return {"agents": agents, "was_quiet": was_quiet}

    def _known(self, order: Order, *, all_: bool) -> list[str]:
        """Return the agents of an order, each once. Raises InputError: the fleet has no such agent."""
        if not order.agents and not all_:
            raise InputError(
                Fault("agents", "no-agents", "no agent is named", 'such as {"agents": ["Echo"]}')
            )
        names = list(dict.fromkeys(order.agents))
        if faults := [fault for name in names if (fault := self._fault_of(name))]:
            raise InputError(*faults)
        return names

    def _check_here(self, agents: list[str]) -> None:
        """Raise InputError where an agent's alerts are raised by another machine's hub."""
        declared = self._hub.declared()
        hint = "ask the hub of that machine"
        faults = [
            Fault("agents", "elsewhere", f"alerts about `{name}` are raised on `{machine}`", hint)
            for name in agents
            if not self._hub.is_here(machine := declared[name].machine)
        ]
        if faults:
            raise InputError(*faults)

    def _fault_of(self, name: str) -> Fault | None:
        declared = self._hub.declared()
        if name in declared:
            return None
        hint = suggestion(name, declared, "agents")
        return Fault("agents", "unknown-agent", f"the fleet has no agent `{name}`", hint)


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


def _key_of(agents: list[str]) -> str:
    return "quiet " + (", ".join(sorted(agents)) or "all")
