"""Analyzes files in several worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from argosy.refit.core.file_analyzer import FileAnalyzer, FileJob
from argosy.refit.core.finding import FileResult
from argosy.refit.core.rule import Rule
from argosy.refit.core.worker_pool import JobFunction, map_in_processes

_BATCH_SIZE = 12
# Files that are analyzed in one call.
JobBatch = tuple[FileJob, ...]
OnFileResult = Callable[[str, "FileResult | None"], None]
# Called in each process; its result need not be picklable.
RuleLoader = Callable[[], Sequence[Rule]]


def analyze_files(
    root: str, jobs: Sequence[FileJob], processes: int, on_result: OnFileResult, load_rules: RuleLoader
) -> None:
    """Analyze files in several processes, and pass each result to `on_result` as it arrives.

    jobs: relative paths, each with its known digest. A file that crashes its process is reported as
    unreadable. load_rules: returns the rules; it must be picklable, such as a module's function or a partial
    of one.
    """
    analyzer = FileAnalyzer("", load_rules())
    batched = tuple(job for job in jobs if analyzer.is_batched(job[0]))
    single_batches = [(job,) for job in jobs if job not in set(batched)]
    crashed: list[JobBatch] = []

    def on_answer(group: JobBatch, answer: bytes | int) -> None:
        if isinstance(answer, int) and len(group) > 1:
            crashed.extend((job,) for job in group)
        elif isinstance(answer, int):
            reason = f"cannot be read: it crashed the reader (exit code {answer})"
            on_result(group[0][0], analyzer.unreadable_result(group[0][0], reason))
        else:
            for (path, _), result in zip(group, _RESULTS_DECODER.decode(answer), strict=True):
                on_result(path, result)

    def run_batches(batches: Sequence[JobBatch]) -> None:
        data = [msgspec.msgpack.encode(group) for group in batches]
        map_in_processes(
            data,
            processes,
            partial(_setup_worker, root, load_rules),
            lambda at, answer: on_answer(batches[at], answer),
            _BATCH_SIZE,
        )

    # A slow external program runs while the other processes read: its batch comes first.
    run_batches([batched, *single_batches] if batched else single_batches)
    if crashed:
        run_batches(crashed)


_RESULTS_DECODER: Final = msgspec.msgpack.Decoder(list[FileResult | None])
_JOBS_DECODER: Final = msgspec.msgpack.Decoder(JobBatch)


def _setup_worker(root: str, load_rules: RuleLoader) -> JobFunction:
    analyzer = FileAnalyzer(root, load_rules())

    def analyze(jobs: bytes) -> bytes:
        return msgspec.msgpack.encode(analyzer.analyze_batch(_JOBS_DECODER.decode(jobs)))

    return analyze
