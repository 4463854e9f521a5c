"""Background tasks: an unexpected error is reported, and the task is restarted."""

from __future__ import annotations

import asyncio
import logging

import pytest

from argosy.hub.background_tasks import FAILURE_SHOWN_S, BackgroundTasks

PATIENCE_S = 30.0


class Work:
    """Fails as often as it is told to, then goes on until it is cancelled."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.goes_on = asyncio.Event()
        self.is_cancelled = False

    async def run(self) -> None:
        await asyncio.sleep(0)
        if self.left:
            self.left -= 1
            raise KeyError("odd")
        self.goes_on.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


def test_background_tasks_report_failure_and_restart_failed_task(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        tasks, work = BackgroundTasks(first_backoff_s=0.001), Work(2)
        tasks.start("the work", work.run)
        assert tasks.failure() == ""
        async with asyncio.timeout(PATIENCE_S):
            await work.goes_on.wait()
        assert tasks.failure() == "the work ended by KeyError: 'odd'"
        await tasks.cancel()
        assert work.is_cancelled

    with caplog.at_level(logging.ERROR, "argosy.hub"):
        asyncio.run(go())
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


def test_background_tasks_clear_failure_after_one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        tasks, work = BackgroundTasks(first_backoff_s=0.001), Work(1)
        tasks.start("the work", work.run)
        async with asyncio.timeout(PATIENCE_S):
            await work.goes_on.wait()
        assert tasks.failure()
        now_s = asyncio.get_running_loop().time()
        with monkeypatch.context() as later:
            later.setattr("argosy.hub.background_tasks.time.monotonic", lambda: now_s + FAILURE_SHOWN_S + 1)
            assert tasks.failure() == ""
        await tasks.cancel()

    asyncio.run(go())


def test_background_tasks_do_not_restart_finished_task() -> None:
    async def go() -> list[str]:
        tasks, ran = BackgroundTasks(first_backoff_s=0.001), []

        async def once() -> None:
            ran.append("once")

        async with asyncio.timeout(PATIENCE_S):
            await tasks.start("the end", once)
        await tasks.cancel()
        return ran

    assert asyncio.run(go()) == ["once"]
