"""What a client asks of the whole fleet, asked of the other machines too, and the answers as one.

Each part is asked for on its own; a machine that goes out of sight is waited for and asked again, which
is safe: what runs there already is taken over and not started.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from argosy.engine.linklost import LinkLostError
from argosy.engine.messages import (
    Account,
    Apply,
    Difference,
    Output,
    Refused,
    Relay,
    Restart,
    Restarted,
    Stop,
    Stopped,
)
from argosy.fault import Fault, InputError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from argosy.engine.control import Asker
    from argosy.engine.linkdial import LinkDial
    from argosy.engine.links import Links

# Of the time of a whole start, left to a machine to end its late ones and to say so.
_CLOSING_S: Final = 1.0
_FOUND_WITHIN_S: Final = 10.0


class Part:
    """What the other machines made of an apply. refused: machine to why it did not take part."""

    def __init__(self, machines: Iterable[str]) -> None:
        self.machines = list(machines)
        self.adopted: list[str] = []
        self.refused: dict[str, str] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def cancel(self) -> None:
        """Wait for them no more."""
        for task in self.tasks:
            task.cancel()


class Federation:
    """Asks the machines that `links` sees."""

    def __init__(self, links: Links) -> None:
        self._links = links

    # ---- up

    def apply(
        self,
        request: Apply,
        abroad: Iterable[str],
        session: Asker,
        answered: Callable[[str], None],
    ) -> Part:
        """Have the machines of the agents `abroad` bring them up; `answered` is called for each machine."""
        names = list(abroad)
        self._links.await_agents(names, request.order)
        if request.origin or self._links.plan is None:
            return Part(())
        machines = dict.fromkeys(self._links.distants[name].spec.machine for name in names)
        part = Part(machines)
        for machine in part.machines:
            # Before the time of the whole start is over, so that what needs them is told why.
            self._links.dials[machine].want(min(_FOUND_WITHIN_S, request.timeout_s / 2))
            task = asyncio.ensure_future(self._apply_at(machine, request, session, part))
            part.tasks.append(task)

            def done(_: object, machine: str = machine) -> None:
                answered(machine)

            task.add_done_callback(done)
        return part

    async def _apply_at(self, machine: str, request: Apply, session: Asker, part: Part) -> None:
        plan = self._links.plan
        assert plan is not None, "there are links"
        its_own = msgspec.structs.replace(
            request,
            machine=machine,
            origin=plan.machine,
            environ={},
            timeout_s=max(request.timeout_s - _CLOSING_S, request.timeout_s / 2),
        )
        dial = self._links.dials[machine]
        while await dial.found():
            with contextlib.suppress(LinkLostError):
                async for answer in dial.ask(its_own):
                    if isinstance(answer, Difference):
                        session.send(msgspec.structs.replace(answer, machine=machine))
                    elif isinstance(answer, Account):
                        part.adopted += answer.adopted
                    elif isinstance(answer, Refused):
                        part.refused[machine] = "; ".join(map(str, answer.faults))
                return
        part.refused[machine] = dial.words

    def conclude(self, account: Account, part: Part) -> Account:
        """Return the account with what the other machines had to say themselves."""
        self._links.await_no_more()
        not_ready = dict(account.not_ready)
        for name in not_ready:
            distant = self._links.distants.get(name)
            if distant is not None and (why := part.refused.get(distant.spec.machine)):
                not_ready[name] = why
        adopted = [*account.adopted, *(name for name in part.adopted if name in account.ready)]
        return msgspec.structs.replace(account, not_ready=not_ready, adopted=adopted)

    # ---- down, restart

    async def stop(self, request: Stop, own: Sequence[str]) -> list[Stopped]:
        """Have the machines stop their part. own: agents that are stopped here meanwhile."""
        plan = self._links.plan
        if request.origin or plan is None:
            return []
        parts = self._parts(request.names)
        every = [*own, *(name for names in parts.values() for name in names)]

        async def stop_at(machine: str, names: list[str]) -> Stopped:
            beside = [name for name in every if name not in names]
            its_own = msgspec.structs.replace(
                request,
                names=None if request.names is None else names,
                origin=plan.machine,
                beside=beside,
            )
            dial = self._links.dials[machine]
            try:
                answer = await _outcome(dial, its_own)
                assert isinstance(answer, Stopped), "a stop is answered by what was stopped"
            except RefusedError as error:
                return Stopped(stopped=[], killed=[], seconds=0.0, unreached={machine: _said(error.faults)})
            return answer

        return await asyncio.gather(*(stop_at(*part) for part in parts.items()))

    async def restart(self, request: Restart) -> list[Restarted]:
        """Have the machines restart their part."""
        plan = self._links.plan
        if request.origin or plan is None:
            return []

        async def restart_at(machine: str, names: list[str]) -> Restarted:
            its_own = msgspec.structs.replace(request, names=names, origin=plan.machine)
            try:
                answer = await _outcome(self._links.dials[machine], its_own)
                assert isinstance(answer, Restarted), "a restart is answered by its outcome"
            except RefusedError as error:
                why = _said(error.faults)
                return Restarted(
                    restarted=[], not_ready=dict.fromkeys(names, why), reconnected=[], seconds=0.0
                )
            return answer

        parts = self._parts(request.names)
        return await asyncio.gather(
            *(restart_at(machine, names) for machine, names in parts.items() if names)
        )

    def _parts(self, names: Iterable[str] | None) -> dict[str, list[str]]:
        """Return which of these each machine runs; None for all, of every machine."""
        links = self._links
        if names is None:
            return {machine: [each.name for each in links.of_machine(machine)] for machine in links.dials}
        parts: dict[str, list[str]] = {}
        for name in names:
            if name in links.distants:
                parts.setdefault(links.distants[name].spec.machine, []).append(name)
        return parts

    # ---- verbs that only read

    async def relay(self, request: Relay, session: Asker) -> None:
        """Hand on what a verb prints on another machine.

        Raises InputError: there is no such machine; LinkLostError: it cannot be seen.
        """
        dial = self._links.dials.get(request.machine)
        if dial is None:
            message = f"this supervisor is not linked to a machine `{request.machine}`"
            raise InputError(Fault(request.machine, "unknown-machine", message, "`argosy status` lists them"))
        async for answer in dial.ask(request):
            if isinstance(answer, Output | Refused):
                session.send(answer)


async def _outcome(dial: LinkDial, request: Stop | Restart) -> object:
    """Return the last answer to a request.

    Raises RefusedError: the machine is not seen, or refuses.
    """
    if not dial.is_linked:
        raise RefusedError(Fault(dial.machine, "blind", dial.words))
    last: object = None
    async for answer in dial.ask(request):
        last = answer
    if isinstance(last, Refused):
        raise RefusedError(*last.faults)
    return last


def _said(faults: Iterable[Fault]) -> str:
    return "; ".join(fault.message for fault in faults)
