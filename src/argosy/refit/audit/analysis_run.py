"""Analyzes a changed tree: re-reads changed files and re-evaluates the rules whose facts changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.refit.core.audit_cache import (
    AuditResult,
    CachedAudit,
    CrossFileFindings,
    RuleCatalog,
    TreeCache,
    digest_of,
)
from argosy.refit.core.discovery import FilePatterns, FileStat, TreeSnapshot, has_path
from argosy.refit.core.fact import FactKind
from argosy.refit.core.fact_store import FactStore, StoredFacts
from argosy.refit.core.file_analyzer import FileAnalyzer, describe_error
from argosy.refit.core.finding import FileResult, Finding, IgnoreComment, RuleFailure
from argosy.refit.core.rule import Rule, collect_fact_kinds
from argosy.refit.core.rule_manifest import RuleManifest, describe_fact_kinds
from argosy.refit.core.source_file import has_any
from argosy.refit.core.source_tree import SourceTree
from argosy.refit.rules.registry import build_rule_manifests, load_available_rules, load_rules
from argosy.source.python_source import read_source_bytes

if TYPE_CHECKING:
    from argosy.refit.core.audited_fleet import AuditedFleet

# At most this many files and bytes are read in this process: a second one would start too late.
_MAX_INLINE_FILES, _MAX_INLINE_BYTES = 8, 200_000
# With fewer files, cross-file rules finish before a second process has started.
_MIN_PARALLEL_FILES = 200

OnProgress = Callable[[int, int], None]


def build_rule_catalog(*, has_fleet: bool) -> RuleCatalog:
    """Return the rule metadata that is needed before the rules are loaded."""
    rules = load_rules()
    file_patterns = {name for rule in rules for name in rule.file_patterns}
    file_patterns |= {
        name
        for rule in rules
        for kind in (*rule.fact_kinds, *rule.shared_fact_kinds)
        for name in kind.file_patterns
    }
    return RuleCatalog(
        file_patterns=tuple(sorted(file_patterns)),
        titles={rule.code: rule.title for rule in rules},
        rule_manifests=build_rule_manifests(has_fleet=has_fleet),
        fact_manifests=describe_fact_kinds(collect_fact_kinds(load_available_rules(has_fleet=has_fleet))),
    )


class AnalysisRun:
    """One audit of a tree that has changed.

    fact_store: the stored facts and findings of its files; those that are still valid are reused.
    path_checks: the paths whose existence rules have checked, with the answers.
    """

    def __init__(
        self,
        root: str,
        snapshot: TreeSnapshot,
        fleet: AuditedFleet | None,
        key: bytes,
        catalog: RuleCatalog,
        tree_cache: TreeCache,
    ) -> None:
        self.root = root
        self.snapshot = snapshot
        self.fleet = fleet
        self.catalog = catalog
        self.key = key
        self.tree_cache = tree_cache
        self.fact_store = FactStore(key, tree_cache)
        self.failures: list[RuleFailure] = []
        self.path_checks: dict[str, bool] = {}
        # Only the fact kinds that were loaded for one edit: in a new tree no lines have shifted.
        self._kinds: dict[str, FactKind[Any]] = {}
        # None where the skipped rules may depend on other files than before.
        self.previously_skipped: Mapping[str, str] | None = None

    def analyze_changed_files(
        self, previous: CachedAudit | None, processes: int, on_progress: OnProgress | None
    ) -> int:
        """Analyze the files that changed since `previous`, and return how many there were.

        Raises CacheCorruptError: the cache of the previous audit is unreadable; `evaluate_rules` may raise it
        too.
        """
        stored = self.tree_cache.load("fact-store", StoredFacts) if previous is not None else None
        previous_stats: Mapping[str, FileStat] = {}
        racy_files = frozenset[str]()
        if (
            previous is not None
            and stored is not None
            and (stored.key, stored.pairing_id) == (self.key, previous.pairing_id)
        ):
            self.fact_store = FactStore(
                self.key, self.tree_cache, stored, previous.result.unparsed, previous.result.findings
            )
            previous_stats, racy_files = previous.snapshot.file_stats, previous.racy_files
            if previous_stats.keys() == self.snapshot.file_stats.keys():
                self.previously_skipped = previous.result.skipped_rules
        for path in self.fact_store.paths - self.snapshot.file_stats.keys():
            self.fact_store.remove_file(path)
        jobs = [
            (path, self.fact_store.known_digest(path))
            for path, file_stat in self.snapshot.file_stats.items()
            if previous_stats.get(path) != file_stat or path in racy_files
        ]
        done_count = analyzed_count = 0

        def on_file_result(path: str, result: FileResult | None) -> None:
            nonlocal done_count, analyzed_count
            if result is not None:
                self.fact_store.add_file(path, result, self._kinds)
            done_count += 1
            analyzed_count += result is not None
            if on_progress is not None:
                on_progress(done_count, total)

        total = len(jobs)
        self.analyze_files(jobs, processes, on_file_result)
        return analyzed_count

    def analyze_files(
        self,
        jobs: list[tuple[str, bytes]],
        processes: int,
        on_result: Callable[[str, FileResult | None], None],
    ) -> None:
        size = sum(self.snapshot.file_stats[path].size for path, _ in jobs)
        if len(jobs) <= _MAX_INLINE_FILES and size <= _MAX_INLINE_BYTES:
            for path, known_digest in jobs:
                on_result(path, self.analyze_file(path, known_digest))
        else:
            # Largest first, so that no long job is left for the end.
            jobs.sort(key=lambda job: self.snapshot.file_stats[job[0]].size, reverse=True)
            # Audits of one edit do not load the modules for pipes and processes.
            from argosy.refit.core.parallel_analysis import analyze_files  # noqa: PLC0415

            load_rules_here = partial(load_available_rules, has_fleet=self.fleet is not None)
            analyze_files(self.root, jobs, processes, on_result, load_rules_here)

    def analyze_file(self, path: str, known_digest: bytes) -> FileResult | None:
        """Analyze a file with only the rules that apply to it; use all rules if Python cannot run it."""
        data = read_source_bytes(os.path.join(self.root, path))
        if path.endswith(".py") and isinstance(data, bytes):
            relevant = [
                manifest
                for manifest in self.catalog.rule_manifests
                if manifest.has_file_check
                and (not manifest.required_words or has_any(data, manifest.required_words))
            ]
            name = os.path.basename(path)
            kinds = [
                manifest.load()
                for manifest in self.catalog.fact_manifests
                if manifest.only_filename in ("", name)
            ]
            result = self._analyze_with([manifest.load() for manifest in relevant], kinds, path, known_digest)
            if result is None or result.unparsed is None:
                return result
        rules = load_available_rules(has_fleet=self.fleet is not None)
        return self._analyze_with(rules, collect_fact_kinds(rules), path, known_digest)

    def _analyze_with(
        self, rules: Sequence[Rule], kinds: Sequence[FactKind[Any]], path: str, known_digest: bytes
    ) -> FileResult | None:
        self._kinds.update((kind.name, kind) for kind in kinds)
        return FileAnalyzer(self.root, rules, kinds).analyze(path, known_digest)

    def evaluate_rules(self, processes: int = 1) -> AuditResult:
        """Evaluate the cross-file rules in up to `processes` processes, and return all findings."""
        fact_store = self.fact_store
        unparsed = dict(sorted(fact_store.unparsed.items()))
        tree = SourceTree(
            self.root,
            fact_store.paths,
            fact_store.facts,
            unparsed,
            self.snapshot.directory_entries,
            self.fleet,
        )
        stages = sorted((path, fault.stage) for path, fault in unparsed.items())
        self.base_digest = digest_of(
            [msgspec.msgpack.encode(self.snapshot.directory_entries), msgspec.msgpack.encode(stages)]
        )
        scheduler = _RuleScheduler(tree, fact_store, self.base_digest, self.failures)
        self.failures += [item for failures in fact_store.failures.values() for item in failures]
        scheduler.run([item for item in self.catalog.rule_manifests if item.is_cross_file], processes)
        self.path_checks_by_rule = scheduler.path_checks_by_rule
        self.failed_rules = scheduler.failed_rules
        for path_checks in scheduler.path_checks_by_rule.values():
            self.path_checks.update(path_checks)
        reported: list[Finding] = []
        self.ignored_findings: list[Finding] = []
        for item in fact_store.all_findings():
            (self.ignored_findings if _is_ignored(item, fact_store.ignores) else reported).append(item)
        return AuditResult(
            file_count=sum(path.endswith(".py") for path in fact_store.paths),
            unparsed=unparsed,
            findings=tuple(sorted(reported)),
            ignored_count=len(self.ignored_findings),
            failures=tuple(sorted(set(self.failures))),
            skipped_rules=dict(self.iter_skipped_rules()),
        )

    def save(self, pairing_id: bytes) -> None:
        """Store the facts that belong to the audit result. pairing_id: identifies the two as a pair."""
        self.fact_store.save(
            pairing_id, self.base_digest, self.ignored_findings, self.path_checks_by_rule, self.failed_rules
        )

    def iter_skipped_rules(self) -> Iterator[tuple[str, str]]:
        """Yield the code of each skipped rule that is relevant for this tree, and the reason."""
        if self.previously_skipped is not None:
            yield from self.previously_skipped.items()
            return
        for rule in load_rules():
            reason = rule.unavailable_reason(has_fleet=self.fleet is not None)
            patterns = FilePatterns(rule.file_patterns)
            is_relevant = rule.find_missing_tool is None or any(
                patterns.is_match(path, path.rpartition("/")[2]) for path in self.snapshot.file_stats
            )
            if reason and is_relevant:
                yield rule.code, reason


class _RuleOutput(msgspec.Struct, array_like=True):
    """The findings of one cross-file rule.

    by_path: None where the stored findings are still valid. path_checks: the paths that the rule checked on
    disk, with the answers.
    """

    code: str
    by_path: dict[str, CrossFileFindings | None]
    path_checks: dict[str, bool]
    failures: list[RuleFailure]


def _group_by_facts(manifests: Iterable[RuleManifest]) -> list[list[RuleManifest]]:
    """Group rules that read the same kinds of facts, since they share derived data; largest group first."""
    groups: list[list[RuleManifest]] = []
    for manifest in manifests:
        overlapping = [
            group
            for group in groups
            if any(set(manifest.fact_kinds) & set(item.fact_kinds) for item in group)
        ]
        groups = [group for group in groups if group not in overlapping]
        groups.append([*(item for group in overlapping for item in group), manifest])
    return sorted(groups, key=len, reverse=True)


class _RuleScheduler:
    """Evaluates cross-file rules, each only where its inputs have changed.

    path_checks_by_rule: by rule code, the paths that the rule checked on disk, with the answers.
    failed_rules: the codes of rules that raised an error.
    """

    def __init__(
        self, tree: SourceTree, fact_store: FactStore, base_digest: bytes, failures: list[RuleFailure]
    ) -> None:
        self.tree = tree
        self.fact_store = fact_store
        self.base_digest = base_digest
        self.failures = failures
        self.path_checks_by_rule: dict[str, Mapping[str, bool]] = {}
        self.failed_rules: set[str] = set()
        self._existing_paths: dict[str, bool] = {}

    def run(self, manifests: Iterable[RuleManifest], processes: int) -> None:
        """Update the findings of the cross-file rules in the fact store."""
        stale: list[RuleManifest] = []
        for manifest in manifests:
            path_checks = self.fact_store.path_checks(manifest.code)
            is_known = self.fact_store.is_unchanged(manifest.code, self.base_digest, manifest.fact_kinds)
            is_known &= self.fact_store.shift_lines(manifest.code, manifest.fact_kinds)
            if is_known and not self.fact_store.has_failed(manifest.code) and self.is_current(path_checks):
                self.path_checks_by_rule[manifest.code] = path_checks
            else:
                stale.append(manifest)
        groups = _group_by_facts(stale)
        if processes > 1 and len(groups) > 1 and len(self.tree.paths) >= _MIN_PARALLEL_FILES:
            from argosy.refit.core.worker_pool import can_fork  # noqa: PLC0415 - one edit needs few rules

            if can_fork():
                self._run_in_processes(groups, processes)
                return
        for manifest in stale:
            self._record(self._evaluate(manifest))

    def _run_in_processes(self, groups: Sequence[Sequence[RuleManifest]], processes: int) -> None:
        """Evaluate groups of rules in several processes, which are forked with all facts loaded."""
        from argosy.refit.core.worker_pool import map_in_processes  # noqa: PLC0415

        for manifest in (item for group in groups for item in group):
            # Loading here raises CacheCorruptError in this process instead of ending a worker.
            self.fact_store.cross_file_findings(manifest.code)
            for kind in manifest.fact_kinds:
                self.fact_store.facts(kind)

        def run_group(job: bytes) -> bytes:
            return msgspec.msgpack.encode([self._evaluate(manifest) for manifest in groups[int(job)]])

        def on_result(group_index: int, answer: bytes | int) -> None:
            # A group that ended its process is evaluated again in this one.
            data = run_group(b"%d" % group_index) if isinstance(answer, int) else answer
            for output in msgspec.msgpack.decode(data, type=list[_RuleOutput]):
                self._record(output)

        map_in_processes(
            [b"%d" % number for number in range(len(groups))], processes, lambda: run_group, on_result, 1
        )

    def _evaluate(self, manifest: RuleManifest) -> _RuleOutput:
        """Evaluate one rule and return its output."""
        rule = manifest.load()
        output = _RuleOutput(rule.code, {}, {}, [])
        previous = self.fact_store.cross_file_findings(rule.code)
        if rule.check_links is not None:
            is_context_unchanged = self.fact_store.is_unchanged(
                rule.code, self.base_digest, [kind.name for kind in rule.shared_fact_kinds]
            )
            changed_files = self.fact_store.changed_files(kind.name for kind in rule.fact_kinds)
            own_facts = [self.fact_store.facts(kind.name) for kind in rule.fact_kinds]
            for path in self.tree.paths:
                if any(path in facts for facts in own_facts):
                    previous_findings = (
                        previous.get(path) if is_context_unchanged and path not in changed_files else None
                    )
                    self._check_path(rule, path, rule.check_links, previous_findings, output)
        if rule.check_tree is not None:
            is_context_unchanged = self.fact_store.is_unchanged(
                rule.code, self.base_digest, [kind.name for kind in rule.fact_kinds]
            )
            check_tree = rule.check_tree
            self._check_path(
                rule,
                "",
                lambda tree, _: check_tree(tree),
                previous.get("") if is_context_unchanged else None,
                output,
            )
        return output

    def _check_path(
        self,
        rule: Rule,
        path: str,
        check: Callable[[SourceTree, str], Iterable[Finding]],
        previous_findings: CrossFileFindings | None,
        output: _RuleOutput,
    ) -> None:
        """Add a rule's findings for a path to `output`. previous_findings: reused if they are still valid."""
        if previous_findings is not None and self.is_current(previous_findings.path_checks):
            output.by_path[path] = None
            output.path_checks.update(previous_findings.path_checks)
            return
        try:
            findings = tuple(rule.complete_findings(check(self.tree, path)))
            # Derived data that rules share may rest on the path checks of an earlier rule.
            path_checks = {} if path else dict(self.tree.path_checks)
            output.by_path[path] = CrossFileFindings(findings, path_checks)
            output.path_checks.update(path_checks)
        except Exception as error:  # a failing rule is reported and does not stop the others
            output.failures.append(RuleFailure(path, rule.code, describe_error(error)))

    def _record(self, output: _RuleOutput) -> None:
        """Store the output of a rule."""
        previous = self.fact_store.cross_file_findings(output.code)
        self.path_checks_by_rule[output.code] = output.path_checks
        self.failures += output.failures
        if output.failures:
            self.failed_rules.add(output.code)
        self.fact_store.record_cross_file(
            output.code, {path: made or previous[path] for path, made in output.by_path.items()}
        )

    def is_current(self, path_checks: Mapping[str, bool]) -> bool:
        """Return whether all path checks still give the same answers."""
        return all(self.has_path(path) is answer for path, answer in path_checks.items())

    def has_path(self, path: str) -> bool:
        """Return whether a path exists; checked once a run."""
        if path not in self._existing_paths:
            self._existing_paths[path] = has_path(self.tree.root, path)
        return self._existing_paths[path]


def _is_ignored(finding: Finding, ignore_comments: Mapping[str, tuple[IgnoreComment, ...]]) -> bool:
    return any(ignore.is_for(finding) for ignore in ignore_comments.get(finding.path, ()))
