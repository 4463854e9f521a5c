"""Actions over HTTP: `POST /api/actions/{restart,stop,silence,unsilence}`, with the token.

An action names agents, also of other machines if supervisors are linked. The response follows when the action
is done.
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

from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import ArgosyError, Fault, InputError, MissingError
from argosy.fleet.suggestions import suggest
from argosy.hub.alerts.silences import SilenceTarget, silence_record
from argosy.hub.http.request_guard import RequestRefusedError, check_action, fault_response
from argosy.hub.store.store_writer import StoreFullError

if TYPE_CHECKING:
    from argosy.hub.http.hub_services import HubServices

MAX_BODY_BYTES: Final = 64 * 1024
_STATUS_CODES: Final[dict[type[ArgosyError], int]] = {
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    MissingError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreFullError: HTTPStatus.INSUFFICIENT_STORAGE,
}


class ActionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an action. groups, machines, minutes: only for silences, where no name means everything."""

    agents: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    groups: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    machines: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    minutes: Annotated[float, msgspec.Meta(gt=0, le=7 * 24 * 60)] = 10.0


class ActionApi:
    """The action routes of one hub."""

    def __init__(self, hub: HubServices) -> None:
        self._hub = hub
        self._token_file = locate_state_dir(Path(hub.options.fleet)).hub_token

    def routes(self) -> list[Route]:
        """Return the routes."""
        handlers = {
            "restart": self._restart,
            "stop": self._stop,
            "silence": self._silence,
            "unsilence": self._unsilence,
            "quiet": self._silence,  # the names in earlier versions
            "loud": self._unsilence,
        }
        return [
            Route(f"/api/actions/{action}", self._endpoint(handler), methods=["POST"], name=action)
            for action, handler in handlers.items()
        ] + [Route("/api/token", self._endpoint(self._check_token), methods=["POST"])]

    def _endpoint(
        self, handler: Callable[[ActionRequest, str], Awaitable[dict[str, Any]]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            check_action(request, self._token_file, self._hub.action_policy)
            action_request = await _read_request(request)
            requested_by = request.client.host if request.client else ""
            try:
                result = await handler(action_request, requested_by)
            except ArgosyError as error:
                return fault_response(_STATUS_CODES.get(type(error), HTTPStatus.CONFLICT), *error.faults)
            return Response(
                msgspec.json.encode({"argosy": "action/1", **result}), media_type="application/json"
            )

        return endpoint

    async def _check_token(self, action_request: ActionRequest, requested_by: str) -> dict[str, Any]:
        """Confirm that the token is valid."""
        return {"token": "valid"}

    async def _restart(self, action_request: ActionRequest, requested_by: str) -> dict[str, Any]:
        return await self._hub.action_executor.restart(self._named_agents(action_request), requested_by)

    async def _stop(self, action_request: ActionRequest, requested_by: str) -> dict[str, Any]:
        return await self._hub.action_executor.stop(self._named_agents(action_request), requested_by)

    async def _silence(self, action_request: ActionRequest, requested_by: str) -> dict[str, Any]:
        until_s = time.time() + 60 * action_request.minutes
        target, _ = await self._record_silence("silence", action_request, requested_by, until=until_s)
        return {**msgspec.to_builtins(target), "until": until_s}

    async def _unsilence(self, action_request: ActionRequest, requested_by: str) -> dict[str, Any]:
        target, was_silenced = await self._record_silence("unsilence", action_request, requested_by)
        return {**msgspec.to_builtins(target), "was_silenced": was_silenced}

    async def _record_silence(
        self, action: str, action_request: ActionRequest, requested_by: str, **fields: float
    ) -> tuple[SilenceTarget, bool]:
        """Record a silence request, which replicates it to the other hubs, and apply it here."""
        target = self._silence_target(action_request)
        silenced = self._silenced_agents(target)
        names = {"groups": target.groups, "machines": target.machines, "silenced_agents": silenced}
        event = await self._hub.action_executor.record(
            action, target.agents, requested_by or "somebody", **names, key=target.key, **fields
        )
        record = silence_record(event, "")
        assert record is not None, "the action is a silence request"
        return target, self._hub.alert_manager.apply_silence(record)

    def _silence_target(self, action_request: ActionRequest) -> SilenceTarget:
        """Return the requested names, each once. Raises InputError: a name is not in the fleet."""
        groups = {spec.group for spec in self._hub.declared_agents().values() if spec.group}
        faults = [
            *_unknown_names("agent", action_request.agents, self._hub.declared_agents()),
            *_unknown_names("group", action_request.groups, groups),
            *_unknown_names("machine", action_request.machines, self._hub.machines()),
        ]
        if faults:
            raise InputError(*faults)
        return SilenceTarget(
            *(
                tuple(dict.fromkeys(each))
                for each in (action_request.agents, action_request.groups, action_request.machines)
            )
        )

    def _silenced_agents(self, target: SilenceTarget) -> list[str] | None:
        """Return the agents that a target selects, None for all."""
        if target == SilenceTarget():
            return None
        machines = set(target.machines)
        is_here = any(map(self._hub.is_here, machines))
        return [
            name
            for name, spec in self._hub.declared_agents().items()
            if name in target.agents
            or spec.group in target.groups
            or spec.machine in machines
            or (spec.machine is None and is_here)
        ]

    def _named_agents(self, action_request: ActionRequest) -> list[str]:
        """Return the agents of a restart or stop, each once. Raises InputError."""
        if action_request.groups or action_request.machines:
            message = "groups and machines are only for `silence` and `unsilence`"
            raise InputError(Fault("groups", "no-agents", message, "name the agents"))
        if not action_request.agents:
            hint = 'such as {"agents": ["Echo"]}'
            raise InputError(Fault("agents", "no-agents", "no agent is named", hint))
        return list(self._silence_target(action_request).agents)


async def _read_request(request: Request) -> ActionRequest:
    """Return the action of a request. Raises RequestRefusedError: it is invalid."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            fault = Fault("body", "too-long", f"an action has at most {MAX_BODY_BYTES} bytes")
            raise RequestRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, fault)
    try:
        return msgspec.json.decode(bytes(body), type=ActionRequest)
    except msgspec.DecodeError as error:
        fault = Fault(
            "body", "bad-action-request", f"invalid action: {error}", 'such as {"agents": ["Echo"]}'
        )
        raise RequestRefusedError(HTTPStatus.BAD_REQUEST, fault) from error


def _unknown_names(what: str, names: Iterable[str], known: Iterable[str]) -> list[Fault]:
    known_names = set(known)
    return [
        Fault(
            f"{what}s",
            f"unknown-{what}",
            f"the fleet has no {what} `{name}`",
            suggest(name, known_names, f"{what}s"),
        )
        for name in names
        if name not in known_names
    ]
