"""An index of the tree that codemods use on one file: subclasses, patches by tests, and names.

It is built from the bytes of all files by regular expressions, not by parsing. So it also covers files that
do not parse, and a false match only leads to a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

from argosy.fleet import Fleet

T = TypeVar("T")

_CLASS: Final = re.compile(rb"^[ \t]*class[ \t]+(\w+)[ \t]*(?:\(([^)]*)\))?[ \t]*:", re.MULTILINE)
_BASE: Final = re.compile(rb"(\w+)\s*(?:\[[^\]]*\]\s*)?(?:,|$)")
# Not one of the usual uses of a context: opening sockets, ending it, testing it.
_UNUSUAL_USE: Final = (
    rb"(?!\s*\.\s*(?:socket|term|destroy|closed)\b)(?!\s*=[^=])(?!\s*:)(?!\s*(?:is|and|or)\b)(?!\w)"
)
_OPTION_ACCESS: Final = rb"\s*\.\s*(?:setsockopt|set|linger|max_sockets|sockopts)\b"
_LOOKED_UP_BY_NAME: Final = rb"\b(?:getattr|attrgetter)\([^()\n]*[\"']%s[\"']"
_IMPORTED_FROM: Final = re.compile(rb"from[ \t]+(?:[\w.]*\.)?(\w+)[ \t]+import[ \t]+(\([^)]*\)?|[^(\n]*)")
_OPENS_SOCKET: Final = rb"\s*\.\s*socket\b"
_INPROC: Final = b"inproc:"
_PATCHED_TEXT: Final = re.compile(rb"[\"']([\w.]+)\.(\w+)[\"']")
_PATCHED_OBJECT: Final = re.compile(rb"(?:patch\.object|setattr)\(\s*([\w.]+)\s*,\s*[\"'](\w+)[\"']")
_ASSIGNED: Final = re.compile(rb"\b(\w+)\.(zmq|Context)\s*=[^=]")
_ASSIGNED_QUICK: Final = re.compile(rb"\.(?:zmq|Context)\s*=[^=]")  # for a quick test
_IN_MODULES: Final = re.compile(
    rb"sys\.modules.{0,80}?[\"'](zmq)(?:\.\w+)*[\"']|[\"'](zmq)[\"'].{0,40}?sys\.modules", re.S
)


class TreeIndex:
    """References between the files of a tree.

    files: bytes by path relative to the root of the tree, with `/`. fleet: None if there is none.
    """

    def __init__(self, files: Mapping[str, bytes], fleet: Fleet | None = None) -> None:
        self.files = files
        self.fleet = fleet
        # The base classes, by file and name, that this run replaces by argosy's.
        self.replaced_bases: set[tuple[str, str]] = set()
        self._derived: dict[Callable[[TreeIndex], Any], Any] = {}
        self._stems = {_stem(path) for path in files}
        self.has_own_zmq = any(path in ("zmq.py", "zmq/__init__.py") for path in files)
        self._bases: dict[str, set[str]] = {}
        self._subclasses: dict[str, set[str]] = {}
        self._defining_files: dict[str, set[str]] = {}
        self._option_setters: dict[str, str] = {}
        self._patched: dict[tuple[str, str], str] = {}
        self._patched_anywhere: list[tuple[str, str]] = []
        self._files_with_word: dict[bytes, list[str]] = {}
        self._imports_by_module: dict[bytes, list[tuple[str, bytes]]] = {}
        for path, data in files.items():
            self._read_classes(path, data)
            self._read_patches(path, data)

    def compute_once(self, compute: Callable[[TreeIndex], T]) -> T:
        """Return what `compute` returns for this tree; it is called once for all files."""
        if compute not in self._derived:
            self._derived[compute] = compute(self)
        return self._derived[compute]  # type: ignore[no-any-return]

    # -- queries ---------------------------------------------------------------------------------

    def patching_file(self, path: str, name: str) -> str:
        """Return the file that replaces `name` in the module at `path`, as tests do by patching; or empty."""
        stem = _stem(path)
        if found := self._patched.get((stem, name)):
            return found
        pattern = re.compile(rb"\b" + re.escape(stem.encode()) + rb"\b")
        for other_path, attribute in self._patched_anywhere:
            if attribute == name and (other_path == path or pattern.search(self.files[other_path])):
                return other_path
        return ""

    def importing_file(self, path: str, name: str) -> str:
        """Return a file that imports `name`, or everything, from the module at `path`; empty if none."""
        pattern = re.compile(rb"\A\*|\b" + re.escape(name.encode()) + rb"\b")
        imported = self._imports_of_modules().get(_stem(path).encode(), ())
        return next((path_there for path_there, names in imported if pattern.search(names)), "")

    def _imports_of_modules(self) -> Mapping[bytes, list[tuple[str, bytes]]]:
        """Return the imports from modules: by the module's last name, the files and the imported names."""
        if not self._imports_by_module:
            for other_path, data in self.files.items():
                for match in _IMPORTED_FROM.finditer(data):
                    line = data.rfind(b"\n", 0, match.start()) + 1
                    if not data[line : match.start()].strip(b" \t"):
                        self._imports_by_module.setdefault(match[1], []).append((other_path, match[2]))
        return self._imports_by_module

    def attribute_accessing_file(self, path: str, name: str) -> str:
        """Return another file with `module.name` of the module at `path`, in code or text; empty if none."""
        stem, raw = _stem(path).encode(), name.encode()
        access = re.compile(rb"\.\s*" + re.escape(raw) + rb"\b")
        for other_path in self._files_containing(stem):
            data = self.files[other_path]
            if other_path != path and raw in data and access.search(data):
                modules = b"|".join(sorted(map(re.escape, {stem, *_aliases_of(data, stem)})))
                if re.search(rb"\b(?:" + modules + rb")\s*" + access.pattern, data):
                    return other_path
        return ""

    def _files_containing(self, content: bytes) -> list[str]:
        """Return the files that contain these bytes; cached, because modules are asked for repeatedly."""
        if content not in self._files_with_word:
            self._files_with_word[content] = [path for path, data in self.files.items() if content in data]
        return self._files_with_word[content]

    def unusual_use_file(self, path: str, owner: str, attribute: str) -> str:
        """Return a file that does more with an attribute of class `owner` than open sockets; empty if none.

        path: the file that defines `owner`; it is checked elsewhere. Checked here are the files of its bases
        and subclasses, and any file that sets options of such an attribute of an object, or opens a socket of
        it next to an `inproc:` address. Another class of the same name, as in a copy of the file, is ignored.
        """
        if other_path := self._option_setting_file(attribute):
            return other_path
        escaped = re.escape(attribute.encode())
        unusual = re.compile(rb"\b(?:self|cls)\." + escaped + rb"\b" + _UNUSUAL_USE)
        opened = re.compile(rb"\b(?:self|cls)\." + escaped + _OPENS_SOCKET)
        by_name = re.compile(_LOOKED_UP_BY_NAME % escaped)
        return next(
            (
                other_path
                for other_path in self.family_files(path, owner)
                if _is_unusual(self.files[other_path], unusual, opened)
                or by_name.search(self.files[other_path])
            ),
            "",
        )

    def family_files(self, path: str, owner: str) -> list[str]:
        """Return the other files that define bases or subclasses of a class of `path`.

        Another class of the same name, as in a copy of the file, is ignored.
        """
        family = self.family_of(owner)
        if owner not in self._bases.get(owner, ()):
            family.discard(owner)
        return sorted({file for name in family for file in self.files_defining(name)} - {path})

    def unusual_module_use_file(self, path: str, name: str) -> str:
        """Return a file that does more with `name` of the module at `path` than open sockets, or empty."""
        if other_path := self._option_setting_file(name):
            return other_path
        stem, raw = _stem(path).encode(), name.encode()
        for other_path in self._files_containing(stem):
            data = self.files[other_path]
            if other_path == path or raw not in data:
                continue
            modules = b"|".join(map(re.escape, {stem, *_aliases_of(data, stem)}))
            unusual = rb"\b(?:" + modules + rb")\." + re.escape(raw) + rb"\b" + _UNUSUAL_USE
            by_name = rb"\bgetattr\(\s*[\w.]*\b(?:" + modules + rb")\s*,\s*[\"']" + re.escape(raw) + rb"[\"']"
            if re.search(unusual, data) or re.search(by_name, data):
                return other_path
        return ""

    def _option_setting_file(self, attribute: str) -> str:
        if attribute not in self._option_setters:
            self._option_setters[attribute] = self._find_option_setting_file(attribute)
        return self._option_setters[attribute]

    def _find_option_setting_file(self, attribute: str) -> str:
        raw = attribute.encode()
        of_object = rb"(?<!self)(?<!cls)\." + re.escape(raw)
        by_name = _LOOKED_UP_BY_NAME % re.escape(raw) + rb"[^()\n]*\)"
        options = re.compile(rb"(?:" + of_object + rb"|" + by_name + rb")" + _OPTION_ACCESS)
        opened = re.compile(of_object + _OPENS_SOCKET)
        for path, data in self.files.items():
            if b"zmq" in data and raw in data and _is_unusual(data, options, opened):
                return path
        return ""

    def family_of(self, owner: str) -> set[str]:
        """Return the names of the classes whose methods may meet in one object with those of a class.

        These are the class, all its subclasses, and all bases of these, such as mixins.
        """
        found = {owner} | _reachable(owner, self._subclasses)
        return found.union(*(_reachable(name, self._bases) for name in found))

    def subclasses_of(self, owner: str) -> set[str]:
        """Return the names of all direct and indirect subclasses of a class."""
        return _reachable(owner, self._subclasses)

    def common_bases(self, minimum: int) -> Iterator[tuple[str, str]]:
        """Yield file and name of the classes that at least `minimum` others name as a base."""
        for name, derived in self._subclasses.items():
            if len(derived) >= minimum:
                yield from ((path, name) for path in self.files_defining(name))

    def subclass_count(self, owner: str) -> int:
        """Return how many classes of the tree name a class as their base."""
        return len(self._subclasses.get(owner, ()))

    def files_defining(self, name: str) -> set[str]:
        """Return the files that define a class of this name."""
        return self._defining_files.get(name, set())

    def files_naming(self, name: str) -> Iterator[str]:
        """Yield the files that contain `name` as a word, in code, text or comments."""
        raw = name.encode()
        pattern = re.compile(rb"\b" + re.escape(raw) + rb"\b")
        for path, data in self.files.items():
            if raw in data and pattern.search(data):
                yield path

    # -- indexing ----------------------------------------------------------------------------------

    def _read_classes(self, path: str, data: bytes) -> None:
        for match in _classes(data):
            name = match[1].decode()
            self._defining_files.setdefault(name, set()).add(path)
            for base in _BASE.findall(match[2] or b""):
                for base_name in (base, *_aliased_names(data, base)):
                    self._bases.setdefault(name, set()).add(base_name.decode())
                    self._subclasses.setdefault(base_name.decode(), set()).add(name)

    def _read_patches(self, path: str, data: bytes) -> None:
        if b"patch" in data or b"setattr" in data:
            for module, name in _PATCHED_TEXT.findall(data):
                stem = module.decode().rpartition(".")[2]
                if stem != "zmq":
                    self._patched.setdefault((stem, name.decode()), path)
            for target, name in _PATCHED_OBJECT.findall(data):
                self._add_patch(path, target.decode().rpartition(".")[2], name.decode())
        if _ASSIGNED_QUICK.search(data):
            for target, name in _ASSIGNED.findall(data):
                self._add_patch(path, target.decode(), name.decode())
        if b"sys.modules" in data and _IN_MODULES.search(data):
            self._patched_anywhere += [(path, "zmq"), (path, "Context")]

    def _add_patch(self, path: str, target: str, name: str) -> None:
        """Record that `target.name` is replaced.

        If `target` is not the name of a module, it may be any module.
        """
        if target == "zmq":
            return
        if target in self._stems:
            self._patched.setdefault((target, name), path)
        elif target not in ("self", "cls"):
            self._patched_anywhere.append((path, name))


def _is_unusual(data: bytes, unusual: re.Pattern[bytes], opened: re.Pattern[bytes]) -> bool:
    """Return whether a file matches `unusual`, or opens sockets for `inproc:` addresses."""
    return bool(unusual.search(data) or (_INPROC in data and opened.search(data)))


def _aliases_of(data: bytes, name: bytes) -> list[bytes]:
    """Return the names that a file gives to `name` by `import name as …`."""
    return re.findall(rb"\b" + re.escape(name) + rb"[ \t]+as[ \t]+(\w+)", data)


def _aliased_names(data: bytes, name: bytes) -> Iterator[bytes]:
    """Yield what a file assigns to `name`, by `import … as name` or by `name = …`."""
    if b" as " + name in data:
        yield from re.findall(rb"\b(\w+)[ \t]+as[ \t]+" + re.escape(name) + rb"\b", data)
    if name + b" =" in data or name + b"=" in data:
        yield from re.findall(
            rb"^[ \t]*" + re.escape(name) + rb"[ \t]*=[ \t]*(?:\w+\.)*(\w+)[ \t]*(?:#.*)?$",
            data,
            re.MULTILINE,
        )


def _classes(data: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the matches of `_CLASS`; searching for the word first takes a seventh of the time."""
    at = 0
    end = 0
    while (at := data.find(b"class", at)) >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        is_first = start >= end and not data[start:at].strip(b" \t")
        at += len(b"class")
        if is_first and (match := _CLASS.match(data, start)):
            end = match.end()
            at = end
            yield match


def _stem(path: str) -> str:
    """Return the last name of the module at `path`; for an `__init__`, the name of the package."""
    pure = PurePosixPath(path)
    return pure.parent.name if pure.stem == "__init__" else pure.stem


def _reachable(start: str, steps: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for name in steps.get(todo.pop(), ()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found
