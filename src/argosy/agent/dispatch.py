"""From a request to its handler and back: decoding, the way it runs, and what its failure becomes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import zlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from argosy.agent.handlers import Handler, Mode
from argosy.agent.health import HEALTH_ACTIONS
from argosy.wire import codec
from argosy.wire.inquiry import ArgosyInquiry, Inquiry, JsonInquiry
from argosy.wire.topic import PORT_METHOD
from argosy.wire.trace import trace_id

THREADS: Final = 8
MOST_ITEMS: Final = 100_000  # of a stream that is asked for as one reply
METHODS: Final = "argosy.methods"  # no handler can have a dot in its name

_log = logging.getLogger("argosy.agent")


class Dispatcher:
    """Runs the requests of one agent: tasks in the loop, plain functions in threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, health: Callable[[], Any]) -> None:
        self._loop = loop
        self._health = health
        self._blank = contextvars.copy_context()  # whose agent it is, and nothing of a request
        self._last_trace, self._traced = "", self._blank.copy()
        self._traced.run(trace_id.set, "")
        self._handlers: dict[str, Handler] = {}
        self._ways: dict[Mode, Callable[[Handler, Any, Inquiry], None]] = {
            "task": self._start_task,
            "stream": self._start_stream,
            "thread": self._in_thread,
            "inline": self._inline,
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool: ThreadPoolExecutor | None = None
        self.in_threads = 0
        self.port_of_topics = 0
        self.state = "starting"

    def register(self, handlers: dict[str, Handler]) -> None:
        """Set the agent's handlers."""
        self._handlers = handlers

    def schema(self) -> str:
        """Return a short hash of what the agent can be asked; another one means another contract."""
        said = "\n".join(sorted(handler.signature() for handler in self._handlers.values()))
        return f"{zlib.crc32(said.encode()):08x}"

    def deliver(self, inquiry: Inquiry) -> None:
        """Start what a request asks for; every failure of it becomes an answer."""
        handler = self._handlers.get(inquiry.method)
        if handler is None:
            self._built_in(inquiry)
            return
        if self.state != "ok":
            inquiry.refuse(self.state, f"it is {self.state}")
            return
        try:
            arguments = inquiry.arguments(handler)
        except codec.UNREADABLE as error:
            inquiry.refuse(codec.BAD_ARGUMENT, str(error))
            return
        self._ways[handler.mode](handler, arguments, inquiry)

    def _built_in(self, inquiry: Inquiry) -> None:
        if inquiry.method in HEALTH_ACTIONS:
            self.spawn(self._answer_health(inquiry))
        elif inquiry.method == METHODS:
            inquiry.reply([handler.signature() for handler in self._handlers.values()])
        elif inquiry.method == PORT_METHOD:
            inquiry.reply(self.port_of_topics)
        else:
            inquiry.refuse(codec.UNKNOWN_METHOD, self._unknown(inquiry.method))

    def _unknown(self, method: str) -> str:
        import difflib  # noqa: PLC0415 - only for the message of a mistake

        near = difflib.get_close_matches(method, self._handlers, 1)
        known = (
            f"did you mean `{near[0]}`?"
            if near
            else f"it has {', '.join(map('`{}`'.format, self._handlers)) or 'none'}"
        )
        return f"there is no method `{method}`; {known}"

    async def _answer_health(self, inquiry: Inquiry) -> None:
        document = await self._health()
        if isinstance(inquiry, JsonInquiry):
            inquiry.answer(document)
        else:
            inquiry.reply(document)

    # -- the ways to run --------------------------------------------------------------------

    def _start_task(self, handler: Handler, arguments: Any, inquiry: Inquiry) -> None:
        work = self._as_task(handler, arguments, inquiry)
        inquiry.abort = self.spawn(work, self._context_of(inquiry.trace)).cancel

    def _start_stream(self, handler: Handler, arguments: Any, inquiry: Inquiry) -> None:
        work = self._as_stream(handler, arguments, inquiry)
        inquiry.abort = self.spawn(work, self._context_of(inquiry.trace)).cancel

    def spawn(self, coroutine: Any, context: contextvars.Context | None = None) -> asyncio.Task[None]:
        """Run a coroutine that `drain` will end, in the given context or a copy of the current one."""
        task = self._loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _as_task(self, handler: Handler, arguments: Any, inquiry: Inquiry) -> None:
        if _is_too_late(inquiry):
            return
        try:
            result = await handler.call(arguments)
        except asyncio.CancelledError:
            inquiry.fail("cancelled", "the handler was cancelled")
            raise
        except Exception as error:
            _failed(handler, inquiry, error)
        else:
            inquiry.reply(result)

    async def _as_stream(self, handler: Handler, arguments: Any, inquiry: Inquiry) -> None:
        """Send what a generator yields as its consumer takes it; as one list to who asked for one reply."""
        if _is_too_late(inquiry):
            return
        items = handler.call(arguments)
        try:
            if isinstance(inquiry, ArgosyInquiry) and inquiry.wants_stream:
                async for item in items:
                    inquiry.item(item)
                    await _credit(inquiry)
                inquiry.end()
            else:
                await _reply_with_all(items, inquiry)
        except asyncio.CancelledError:
            inquiry.fail("cancelled", "the handler was cancelled")
            raise
        except Exception as error:
            _failed(handler, inquiry, error)
        finally:
            await items.aclose()

    def _inline(self, handler: Handler, arguments: Any, inquiry: Inquiry) -> None:
        if inquiry.expired():
            inquiry.refuse(codec.EXPIRED, _TOO_LATE)
            return
        try:
            result = self._context_of(inquiry.trace).run(handler.call, arguments)
        except Exception as error:
            _failed(handler, inquiry, error)
        else:
            inquiry.reply(result)

    def _in_thread(self, handler: Handler, arguments: Any, inquiry: Inquiry) -> None:
        """Run in the pool; when its turn comes too late, or its caller has gone, it is not run."""
        self.in_threads += 1
        context = self._context_of(inquiry.trace)

        def work() -> Any:
            if inquiry.is_over or inquiry.expired():
                return _NOT_RUN
            return context.run(handler.call, arguments)

        def done(future: asyncio.Future[Any]) -> None:
            self.in_threads -= 1
            if future.cancelled():
                inquiry.refuse(codec.STOPPING, "it is stopping")
            elif error := future.exception():
                _failed(handler, inquiry, error)
            elif future.result() is _NOT_RUN:
                inquiry.refuse(codec.EXPIRED, _TOO_LATE)
            else:
                inquiry.reply(future.result())

        self._loop.run_in_executor(self.pool, work).add_done_callback(done)

    def _context_of(self, trace: str) -> contextvars.Context:
        """Return a context of its own for a handler; most requests carry the trace of the one before."""
        if trace != self._last_trace:
            self._last_trace, self._traced = trace, self._blank.copy()
            self._traced.run(trace_id.set, trace)
        return self._traced.copy()

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The agent's threads, made when the first is needed."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "argosy")
        return self._pool

    async def drain(self, limit_s: float, in_flight: Callable[[], int]) -> None:
        """Let what runs end, within a limit; then cancel it."""
        until = self._loop.time() + limit_s
        while in_flight() and self._loop.time() < until:
            await asyncio.sleep(0.01)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=0.5)
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)


async def _reply_with_all(items: AsyncGenerator[Any, None], inquiry: Inquiry) -> None:
    """Answer with a list, within a bound; a source that never waits does not hold the loop."""
    taken: list[Any] = []
    async for item in items:
        if len(taken) == MOST_ITEMS:
            inquiry.refuse(codec.TOO_LARGE, f"it yields more than {MOST_ITEMS} items: ask for a stream")
            return
        taken.append(item)
        if len(taken) % 64 == 0:
            await asyncio.sleep(0)
    inquiry.reply(taken)


async def _credit(inquiry: ArgosyInquiry) -> None:
    """Wait until the consumer of a stream has room for one more item."""
    while inquiry.credit <= 0:
        given = asyncio.get_running_loop().create_future()
        inquiry.on_credit = lambda given=given: given.done() or given.set_result(None)
        await given


_NOT_RUN: Final = object()
_TOO_LATE: Final = "its turn came after its deadline"


def _is_too_late(inquiry: Inquiry) -> bool:
    """Tell whether nobody waits for a request any more, and refuse it then.

    A task's first step comes a tick after its delivery, and a process may be paused in between.
    """
    if not (inquiry.is_over or inquiry.expired()):
        return False
    inquiry.refuse(codec.EXPIRED, _TOO_LATE)
    return True


def _failed(handler: Handler, inquiry: Inquiry, error: BaseException) -> None:
    """Answer with the error; one that carries no `code` of its own was not meant, and is logged."""
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        code = type(error).__name__
        _log.error("`%s` failed (trace %s)", handler.name, inquiry.trace or "none", exc_info=error)
    inquiry.fail(code, str(error))
