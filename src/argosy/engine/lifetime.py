"""The process of a unit, from the order to fork it until nothing of it is left.

What the process is to the fleet (ready, failing, restarted) is the unit's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.engine.departure import Departure
from argosy.engine.held import HeldProcess
from argosy.engine.lease import is_free, new_incarnation

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.engine.order import Birth
    from argosy.engine.process import Identity
    from argosy.engine.surroundings import Surroundings


class Lifetime:
    """One agent's process after another; at most one at a time.

    pid: of the process, until nothing of that is left. incarnation: its number, a new one with
    each order. is_unborn: ordered, and nothing heard of it yet. is_adopted: an earlier supervisor
    started it.
    on_end(wait status): called when it has ended, perhaps twice. on_left(text): told when something
    that it left had to be killed.
    """

    def __init__(
        self,
        name: str,
        crew: Surroundings,
        on_end: Callable[[int | None], None],
        on_left: Callable[[str], None],
    ) -> None:
        self.pid: int | None = None
        self.incarnation = 0
        self.is_unborn = self.is_adopted = False
        self._name = name
        self._crew = crew
        self._on_end, self._on_left = on_end, on_left
        self._identity: Identity | None = None
        self._held: HeldProcess | None = None
        self._departure: Departure | None = None

    @property
    def is_held(self) -> bool:
        """Whether it lives, as far as one has heard, and takes signals from here."""
        return self._held is not None

    @property
    def is_absent(self) -> bool:
        """Whether there is none, none is to come, and nothing is left of the last."""
        return self.pid is None and not self.is_unborn

    @property
    def identity(self) -> Identity | None:
        """The process, until nothing of that is left; of one that has ended it is that of no process.

        Found out when it is asked for first: nobody asks in a start, and the number stays its own meanwhile.
        """
        if self._identity is None and self._held is not None:
            self._identity = self._held.identify()
        return self._identity

    @property
    def is_departing(self) -> bool:
        """Whether something of it is left although it has ended."""
        return self._departure is not None and not self._departure.is_over

    # ---- how one comes

    def order(self) -> None:
        """One is about to be ordered: give it a number."""
        self.incarnation = new_incarnation()
        self.is_unborn = True

    def born(self, birth: Birth, pidfd: int) -> None:
        """Watch the process that was forked; takes over the descriptor."""
        self.is_unborn = self.is_adopted = False
        self._identity = None
        self._hold(birth.pid, pidfd)

    def adopt(self, identity: Identity, pidfd: int, incarnation: int) -> None:
        """Watch a process that an earlier supervisor started; takes over the descriptor."""
        self._identity, self.incarnation = identity, incarnation
        self.is_adopted = True
        self._hold(identity.pid, pidfd)

    def adopt_remains(self, pid: int) -> None:
        """Be over but for what an earlier process has left: `pid`; to be followed by `depart`."""
        self.pid, self.is_adopted = pid, True

    def share(self, other: Lifetime) -> None:
        """Be in the process of another, who watches it."""
        self.pid, self._identity, self.incarnation = other.pid, other.identity, other.incarnation

    def _hold(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._held = HeldProcess(pid, pidfd, self._crew.loop)
        self._held.watch(self._on_end)

    # ---- how it goes

    def signal(self, number: int) -> None:
        """Send it, and it alone, a signal."""
        if self._held is not None:
            self._held.signal(number)

    def terminate(self) -> None:
        """Ask it to end."""
        if self._held is not None:
            self._held.terminate()

    def kill(self) -> None:
        """Kill its process group."""
        if self._held is not None:
            self._held.kill()

    def let_go(self) -> None:
        """Watch it no more."""
        if self._held is not None:
            self._identity = self.identity
            self._held.close()
            self._held = None

    def depart(self, then: Callable[[], None]) -> None:
        """Call `then()` once nothing is left of it; at once where that is so."""
        if self._departure is not None:
            self._departure.cancel()
        crew = self._crew
        if not crew.had_process(self._name) and self._is_lease_free():
            self._departure = None  # none of this supervisor's children was left by one that it never had
            then()
            return
        self._departure = Departure(
            crew.folder, self._name, crew.loop, then, self._on_left, crew.forkers, is_adopted=self.is_adopted
        )
        self._departure.look()

    def _is_lease_free(self) -> bool:
        try:
            return is_free(self._crew.folder.lease(self._name))
        except OSError:
            return False  # it cannot be seen now, so it is looked at again

    def finish(self) -> None:
        """Nothing is left of it."""
        if self._departure is not None:
            self._departure.cancel()
        self.pid = self._identity = None

    def close(self) -> None:
        """Let go of it; it runs on."""
        if self._departure is not None:
            self._departure.cancel()
        self.let_go()
