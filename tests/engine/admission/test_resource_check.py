"""Memory and GPU memory: the arithmetic of admission, and the sources of its figures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.admission.available_memory import (
    AvailableMemory,
    memory_shortage,
    memory_to_admit,
    read_available_memory,
)
from argosy.engine.admission.gpu_memory import gpu_memory_shortage, parse_free_bytes
from argosy.engine.admission.memory_sampler import MemoryHistory, read_process_memory, read_resident_bytes

MIB = 1 << 20
SIZES = st.integers(0, 1 << 44)


@given(SIZES, SIZES, SIZES, SIZES)
def test_admitted_memory_fits_and_shortage_is_monotonic(
    need: int, promised: int, total: int, free: int
) -> None:
    available = AvailableMemory(max(total, free), free)
    if memory_shortage(need, promised, available):
        assert need > 0
        assert memory_shortage(need + 1, promised, available)
        assert memory_shortage(need, promised + 1, available)
    else:
        assert need == 0 or need + promised <= free - min(available.total_bytes // 50, 256 * MIB)


@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 200), st.none() | st.integers(0, 200))
def test_admitted_gpu_memory_never_exceeds_budget(needs: list[int], budget: int, free: int | None) -> None:
    held = 0
    for need in needs:
        if not gpu_memory_shortage(need, held, budget, held, free):
            held += need
    assert held <= budget
    assert free is None or held <= free


def test_unknown_gpu_memory_delays_no_start() -> None:
    assert gpu_memory_shortage(1, 10, None, 10, None) == ""


@pytest.mark.parametrize(
    ("declared", "last", "expected"), [(3, 5, 3), (None, 5, 5), (None, None, 64 * MIB), (None, 0, 64 * MIB)]
)
def test_declared_memory_takes_precedence_over_history(
    declared: int | None, last: int | None, expected: int
) -> None:
    assert memory_to_admit(declared, last) == expected


def test_memory_shortage_message_has_needed_and_available_memory() -> None:
    available = AvailableMemory(1000 * MIB, 600 * MIB)
    words = "waits for memory: needs 512 MiB, 380 MiB of 1000 MiB are available"
    assert memory_shortage(512 * MIB, 200 * MIB, available) == words


# The form of `nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits`.
TWO = "23817\n11911\n"
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the "
    "latest NVIDIA driver is installed and running.\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TWO, (23817 + 11911) * MIB),
        ("[N/A]\n", None),
        ("[N/A]\n512\n", 512 * MIB),
        (NO_DRIVER, None),
        ("", None),
    ],
)
def test_nvidia_smi_output_is_parsed(text: str, expected: int | None) -> None:
    assert parse_free_bytes(text) == expected


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


MEMINFO = (
    "MemTotal:  8000 kB\nMemFree:  100 kB\nMemAvailable:  3000 kB\nSwapTotal: 1000 kB\nSwapFree: 500 kB\n"
)


def test_available_memory_comes_from_meminfo_without_cgroup_limit(tmp_path: Path) -> None:
    write(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a/b\n"})
    assert read_available_memory(tmp_path) == AvailableMemory(9000 * 1024, 3500 * 1024)


def test_available_memory_respects_lowest_parent_cgroup_limit(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a"
    write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/a/b\n",
            f"{group}/memory.max": "4096000\n",
            f"{group}/memory.current": "4000000\n",
            f"{group}/memory.stat": "anon 1\ninactive_file 104000\n",
            f"{group}/b/memory.max": "max\n",
        },
    )
    assert read_available_memory(tmp_path) == AvailableMemory(4096000, 200000)


def test_available_memory_respects_cgroup_v1_limit(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/c"
    write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "4:memory:/c\n1:cpu:/\n0::/\n",
            f"{group}/memory.limit_in_bytes": "2048\n",
            f"{group}/memory.usage_in_bytes": "3000\n",
            f"{group}/memory.stat": "total_inactive_file 0\n",
        },
    )
    assert read_available_memory(tmp_path) == AvailableMemory(2048, 0)


def test_available_memory_of_machine_is_plausible() -> None:
    available = read_available_memory()
    assert 0 < available.available_bytes <= available.total_bytes


def test_resident_bytes_approximate_exact_memory() -> None:
    exact = read_process_memory(os.getpid())
    assert exact is not None
    assert exact.rss_bytes / 2 < read_resident_bytes(os.getpid()) < exact.rss_bytes * 2
    assert read_resident_bytes(1 << 22) == 0


def test_memory_history_keeps_peak_of_last_process(tmp_path: Path) -> None:
    path = tmp_path / "appetite.json"
    figures = MemoryHistory(path)
    for pid, size in ((1, 100), (1, 300), (1, 200)):
        figures.record_sample("A", pid, size)
    assert (figures.peak_bytes("A"), MemoryHistory(path).peak_bytes("A"), figures.peak_bytes("B")) == (
        300,
        300,
        None,
    )
    figures.record_sample("A", 2, 50)
    assert MemoryHistory(path).peak_bytes("A") == 50, "another process, which may be another program"
    path.write_text("torn")
    assert MemoryHistory(path).peak_bytes("A") is None


def test_memory_history_works_without_writable_file(tmp_path: Path) -> None:
    figures = MemoryHistory(tmp_path / "missing" / "appetite.json")
    figures.record_sample("A", 1, 100)
    assert figures.peak_bytes("A") == 100
