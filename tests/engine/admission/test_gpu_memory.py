"""GPU memory: recorded answers of nvidia-smi on machines of several kinds are parsed."""

from __future__ import annotations

import asyncio

import pytest

from argosy.engine.admission.gpu_memory import GpuMemoryWatch, parse_free_bytes
from argosy.engine.process.helper_process import HelperResult

MIB = 1 << 20
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
    "NVIDIA driver is installed and running.\n"
)


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("23012\n", 23012 * MIB),
        ("23012\n10533\n", 33545 * MIB),  # two GPUs
        ("23012\r\n10533\r\n", 33545 * MIB),  # by nvidia-smi.exe, as WSL has it on its PATH
        ("0\n", 0),
        ("40203\n", 40203 * MIB),  # in MIG mode the whole GPU is told of, once
        ("[N/A]\n", None),  # a GPU that shares the machine's memory
        ("[Not Supported]\n", None),
        ("[Insufficient Permissions]\n", None),
        ("[Unknown Error]\n23012\n", 23012 * MIB),  # one has fallen off the bus
        ("[N/A]\n[N/A]\n", None),
        ("23012 MiB\n", None),  # another format than asked for is not guessed at
        ("No devices were found\n", None),
        (NO_DRIVER, None),
        ("", None),
    ],
)
def test_free_gpu_memory_is_sum_of_gpus_that_report(text: str, free: int | None) -> None:
    assert parse_free_bytes(text) == free


@pytest.mark.parametrize(
    "outcome",
    [HelperResult(9, NO_DRIVER), HelperResult(6, "No devices were found\n"), HelperResult(None, "12\n")],
)
def test_gpu_memory_watch_caches_failed_query_as_unknown(
    monkeypatch: pytest.MonkeyPatch, outcome: HelperResult
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    asked: list[str] = []

    async def run(command: object, within_s: float) -> HelperResult:
        asked.append(str(command))
        return outcome

    async def main() -> int | None:
        updated = asyncio.Event()
        watch = GpuMemoryWatch(asyncio.get_running_loop(), run, updated.set)
        assert not watch.is_fresh()
        async with asyncio.timeout(10):
            await updated.wait()
        assert watch.is_fresh()
        watch.close()
        return watch.free_bytes

    assert asyncio.run(main()) is None
    assert len(asked) == 1
    assert "--query-gpu=memory.free" in asked[0]
