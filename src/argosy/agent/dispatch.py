"""From a request to its handler and back: decoding, the way it runs, and what its failure becomes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from argosy.agent.handlers import Handler
from argosy.agent.health import HEALTH_ACTIONS
from argosy.wire import codec
from argosy.wire.callee import JsonRequest, Request
from argosy.wire.trace import trace_id

THREADS: Final = 8
METHODS: Final = "argosy.methods"  # no handler can have a dot in its name

_log = logging.getLogger("argosy.agent")


class Dispatcher:
    """Runs the requests of one agent: tasks in the loop, plain functions in threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, health: Callable[[], Any]) -> None:
        self._loop = loop
        self._health = health
        self._handlers: dict[str, Handler] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool: ThreadPoolExecutor | None = None
        self.in_threads = 0
        self.state = "starting"

    def register(self, handlers: dict[str, Handler]) -> None:
        """Set the agent's handlers."""
        self._handlers = handlers

    def deliver(self, request: Request) -> None:
        """Start what a request asks for; every failure of it becomes an answer."""
        handler = self._handlers.get(request.method)
        if handler is None:
            self._built_in(request)
            return
        if self.state != "ok":
            request.refuse(self.state, f"it is {self.state}")
            return
        try:
            arguments = request.arguments(handler)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            request.refuse(codec.BAD_ARGUMENT, str(error))
            return
        self._run(handler, arguments, request)

    def _built_in(self, request: Request) -> None:
        if request.method in HEALTH_ACTIONS:
            self.spawn(self._answer_health(request))
        elif request.method == METHODS:
            request.reply([handler.signature() for handler in self._handlers.values()])
        else:
            request.refuse(codec.UNKNOWN_METHOD, self._unknown(request.method))

    def _unknown(self, method: str) -> str:
        import difflib  # noqa: PLC0415 - only for the message of a mistake

        near = difflib.get_close_matches(method, self._handlers, 1)
        known = (
            f"did you mean `{near[0]}`?"
            if near
            else f"it has {', '.join(map('`{}`'.format, self._handlers)) or 'none'}"
        )
        return f"there is no method `{method}`; {known}"

    async def _answer_health(self, request: Request) -> None:
        document = await self._health()
        if isinstance(request, JsonRequest):
            request.answer(document)
        else:
            request.reply(document)

    # -- the ways to run --------------------------------------------------------------------

    def _run(self, handler: Handler, arguments: Any, request: Request) -> None:
        if handler.mode == "task":
            task = self.spawn(self._as_task(handler, arguments, request))
            request.abort = task.cancel
        elif handler.mode == "thread":
            self._in_thread(handler, arguments, request)
        else:
            self._inline(handler, arguments, request)

    def spawn(self, coroutine: Any) -> asyncio.Task[None]:
        """Run a coroutine that `drain` will end."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _as_task(self, handler: Handler, arguments: Any, request: Request) -> None:
        trace_id.set(request.trace)
        try:
            result = await handler.call(arguments)
        except asyncio.CancelledError:
            request.fail("cancelled", "the handler was cancelled")
            raise
        except Exception as error:
            _failed(handler, request, error)
        else:
            request.reply(result)

    def _inline(self, handler: Handler, arguments: Any, request: Request) -> None:
        context = contextvars.copy_context()
        try:
            result = context.run(_traced, handler, arguments, request.trace)
        except Exception as error:
            _failed(handler, request, error)
        else:
            request.reply(result)

    def _in_thread(self, handler: Handler, arguments: Any, request: Request) -> None:
        """Run in the pool; when its turn comes too late, or its caller has gone, it is not run."""
        self.in_threads += 1

        def work() -> Any:
            if request.is_over or request.expired():
                return _NOT_RUN
            return contextvars.Context().run(_traced, handler, arguments, request.trace)

        def done(future: asyncio.Future[Any]) -> None:
            self.in_threads -= 1
            if future.cancelled():
                request.refuse(codec.STOPPING, "it is stopping")
            elif error := future.exception():
                _failed(handler, request, error)
            elif future.result() is _NOT_RUN:
                request.refuse(codec.EXPIRED, "its turn came after its deadline")
            else:
                request.reply(future.result())

        self._loop.run_in_executor(self.pool, work).add_done_callback(done)

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


_NOT_RUN: Final = object()


def _traced(handler: Handler, arguments: Any, trace: str) -> Any:
    trace_id.set(trace)
    return handler.call(arguments)


def _failed(handler: Handler, request: Request, error: BaseException) -> None:
    """Answer with the error; one that carries no `code` of its own was not meant, and is logged."""
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        code = type(error).__name__
        _log.error("`%s` failed (trace %s)", handler.name, request.trace or "none", exc_info=error)
    request.fail(code, str(error))
