"""Runs the handler of each request: decoding, execution, and the reply to a failure."""

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
from argosy.wire.protocol import codec
from argosy.wire.pubsub.topic import TOPICS_PORT_METHOD
from argosy.wire.server.agent_status import AgentStatus
from argosy.wire.server.incoming_request import IncomingRequest, JsonRequest, MsgpackRequest
from argosy.wire.trace import trace_id

MAX_THREADS: Final = 8
MAX_ITEMS: Final = 100_000  # of a stream that is requested as one reply
METHODS_METHOD: Final = "argosy.methods"  # no handler can have a dot in its name

_log = logging.getLogger("argosy.agent")


class RequestDispatcher:
    """Runs the requests of one agent: tasks in the loop, plain functions in threads."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, read_health: Callable[[], Any], status: AgentStatus
    ) -> None:
        self._loop = loop
        self._status = status
        self._read_health = read_health
        self._base_context = contextvars.copy_context()  # has the current agent, and nothing of a request
        self._last_trace, self._trace_context = "", self._base_context.copy()
        self._trace_context.run(trace_id.set, "")
        self._handlers: dict[str, Handler] = {}
        self._runners: dict[Mode, Callable[[Handler, Any, IncomingRequest], None]] = {
            "task": self._start_task,
            "stream": self._start_stream,
            "thread": self._start_in_thread,
            "inline": self._run_inline,
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool: ThreadPoolExecutor | None = None
        self.in_threads = 0
        self.topics_port = 0

    def register(self, handlers: dict[str, Handler]) -> None:
        """Set the agent's handlers."""
        self._handlers = handlers

    def schema_hash(self) -> str:
        """Return a short hash of the agent's handlers; a different hash means a different contract."""
        signatures = "\n".join(sorted(handler.signature() for handler in self._handlers.values()))
        return f"{zlib.crc32(signatures.encode()):08x}"

    def dispatch(self, request: IncomingRequest) -> None:
        """Start the handler of a request; every failure becomes a reply."""
        handler = self._handlers.get(request.method)
        if handler is None:
            self._answer_built_in(request)
            return
        if refusal := self._status.refusal:
            request.refuse(refusal, f"it is {refusal}")
            return
        try:
            arguments = request.decode_arguments(handler)
        except codec.DECODE_ERRORS as error:
            request.refuse(codec.BAD_ARGUMENT, str(error))
            return
        self._runners[handler.mode](handler, arguments, request)

    def _answer_built_in(self, request: IncomingRequest) -> None:
        if request.method in HEALTH_ACTIONS:
            self.spawn(self._answer_health(request))
        elif request.method == METHODS_METHOD:
            request.reply([handler.signature() for handler in self._handlers.values()])
        elif request.method == TOPICS_PORT_METHOD:
            request.reply(self.topics_port)
        else:
            request.refuse(codec.UNKNOWN_METHOD, self._unknown_method_message(request.method))

    def _unknown_method_message(self, method: str) -> str:
        import difflib  # noqa: PLC0415 - only for the message of a mistake

        nearest = difflib.get_close_matches(method, self._handlers, 1)
        known = (
            f"did you mean `{nearest[0]}`?"
            if nearest
            else f"it has {', '.join(map('`{}`'.format, self._handlers)) or 'none'}"
        )
        return f"there is no method `{method}`; {known}"

    async def _answer_health(self, request: IncomingRequest) -> None:
        document = await self._read_health()
        if isinstance(request, JsonRequest):
            request.send_document(document)
        else:
            request.reply(document)

    # -- execution -----------------------------------------------------------------------------

    def _start_task(self, handler: Handler, arguments: Any, request: IncomingRequest) -> None:
        work = self._run_task(handler, arguments, request)
        request.on_cancel = self.spawn(work, self._request_context(request.trace)).cancel

    def _start_stream(self, handler: Handler, arguments: Any, request: IncomingRequest) -> None:
        work = self._run_stream(handler, arguments, request)
        request.on_cancel = self.spawn(work, self._request_context(request.trace)).cancel

    def spawn(self, coroutine: Any, context: contextvars.Context | None = None) -> asyncio.Task[None]:
        """Run a coroutine that `drain` will end, in the given context or a copy of the current one."""
        task = self._loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run_task(self, handler: Handler, arguments: Any, request: IncomingRequest) -> None:
        if _refuse_if_expired(request):
            return
        try:
            result = await handler.call(arguments)
        except asyncio.CancelledError:
            request.fail("cancelled", "the handler was cancelled")
            raise
        except Exception as error:
            _reply_failure(handler, request, error)
        else:
            request.reply(result)

    async def _run_stream(self, handler: Handler, arguments: Any, request: IncomingRequest) -> None:
        """Send a generator's items as the consumer takes them, or as one list if one reply is requested."""
        if _refuse_if_expired(request):
            return
        items = handler.call(arguments)
        try:
            if isinstance(request, MsgpackRequest) and request.wants_stream:
                async for item in items:
                    request.send_item(item)
                    await _wait_for_credit(request)
                request.end_stream()
            else:
                await _reply_with_list(items, request)
        except asyncio.CancelledError:
            request.fail("cancelled", "the handler was cancelled")
            raise
        except Exception as error:
            _reply_failure(handler, request, error)
        finally:
            await items.aclose()

    def _run_inline(self, handler: Handler, arguments: Any, request: IncomingRequest) -> None:
        if request.is_expired():
            request.refuse(codec.EXPIRED, _EXPIRED_MESSAGE)
            return
        try:
            result = self._request_context(request.trace).run(handler.call, arguments)
        except Exception as error:
            _reply_failure(handler, request, error)
        else:
            request.reply(result)

    def _start_in_thread(self, handler: Handler, arguments: Any, request: IncomingRequest) -> None:
        """Run a handler in the pool, unless its deadline passes or its client is gone before its turn."""
        self.in_threads += 1
        context = self._request_context(request.trace)

        def work() -> Any:
            if request.is_finished or request.is_expired():
                return _NOT_RUN
            return context.run(handler.call, arguments)

        def done(future: asyncio.Future[Any]) -> None:
            self.in_threads -= 1
            if future.cancelled():
                request.refuse(codec.STOPPING, "it is stopping")
            elif error := future.exception():
                _reply_failure(handler, request, error)
            elif future.result() is _NOT_RUN:
                request.refuse(codec.EXPIRED, _EXPIRED_MESSAGE)
            else:
                request.reply(future.result())

        self._loop.run_in_executor(self.pool, work).add_done_callback(done)

    def _request_context(self, trace: str) -> contextvars.Context:
        """Return a context for a handler; most requests carry the trace of the one before."""
        if trace != self._last_trace:
            self._last_trace, self._trace_context = trace, self._base_context.copy()
            self._trace_context.run(trace_id.set, trace)
        return self._trace_context.copy()

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The agent's threads, made when the first is needed."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_THREADS, "argosy")
        return self._pool

    async def drain(self, limit_s: float, in_flight: Callable[[], int]) -> None:
        """Wait for running handlers, within a limit; then cancel them."""
        deadline_s = self._loop.time() + limit_s
        while in_flight() and self._loop.time() < deadline_s:
            await asyncio.sleep(0.01)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=0.5)
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)


async def _reply_with_list(items: AsyncGenerator[Any, None], request: IncomingRequest) -> None:
    """Reply with a list, within a limit; a source that never waits does not block the loop."""
    collected: list[Any] = []
    async for item in items:
        if len(collected) == MAX_ITEMS:
            request.refuse(codec.TOO_LARGE, f"it yields more than {MAX_ITEMS} items: ask for a stream")
            return
        collected.append(item)
        if len(collected) % 64 == 0:
            await asyncio.sleep(0)
    request.reply(collected)


async def _wait_for_credit(request: MsgpackRequest) -> None:
    """Wait until the consumer of a stream has granted credit."""
    while request.credit <= 0:
        credit_received = asyncio.get_running_loop().create_future()
        request.on_credit = lambda given=credit_received: given.done() or given.set_result(None)
        await credit_received


_NOT_RUN: Final = object()
_EXPIRED_MESSAGE: Final = "its turn came after its deadline"


def _refuse_if_expired(request: IncomingRequest) -> bool:
    """Return whether a request has expired, and refuse it then.

    A task's first step comes a tick after its delivery, and a process may be paused in between.
    """
    if not (request.is_finished or request.is_expired()):
        return False
    request.refuse(codec.EXPIRED, _EXPIRED_MESSAGE)
    return True


def _reply_failure(handler: Handler, request: IncomingRequest, error: BaseException) -> None:
    """Reply with the error; one without a `code` of its own is unexpected, and is logged."""
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        code = type(error).__name__
        _log.error("`%s` failed (trace %s)", handler.name, request.trace or "none", exc_info=error)
    request.fail(code, str(error))
