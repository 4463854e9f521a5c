"""Annotations said anew: those of a handler's source, as a file elsewhere has to write them.

Names are spelled through the modules that define them, so that two modules may have a class of the
same name. What cannot be told from the sources is `Any`, and is noted.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Final

from argosy.source import flow
from argosy.source.classes import BUILTINS, Class, Place, Tree

_TYPING: Final = frozenset(("typing", "typing_extensions"))
_TYPING_OF_CLASSES: Final = frozenset(("Self", "TypeVar", "ParamSpec", "TypeVarTuple", "Unpack", "Generic"))
_MAKERS: Final = frozenset(("NewType", "NamedTuple", "TypedDict", "namedtuple", "Enum", "IntEnum", "StrEnum"))

_SCALARS: Final = frozenset(("bool", "int", "float", "str"))
_LISTS: Final = frozenset(
    (
        "list",
        "tuple",
        "set",
        "frozenset",
        "List",
        "Tuple",
        "Set",
        "FrozenSet",
        "Sequence",
        "Iterable",
        "Collection",
    )
)
_MAPS: Final = frozenset(("dict", "Dict", "Mapping", "MutableMapping"))
_ABSTRACT: Final = frozenset((*_TYPING, BUILTINS, "collections.abc"))


class NotPlainError(Exception):
    """A value of this type arrives as something else."""


class Speller:
    """Spells annotations for one file, and keeps what that file has to import.

    modules: the modules that were named so far, each with the name to import it under, which begins
    with `_` so that no handler can have it.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.modules: dict[str, str] = {}

    def spell(
        self, annotation: ast.expr | None, home: Class, hidden: Collection[str] = ()
    ) -> tuple[str, list[str]]:
        """Return an annotation as text, and the parts of it that are `Any` because nobody can tell them.

        hidden: names that mean something else where the text will stand.
        """
        if annotation is None:
            return self.name_of(Place("typing", "Any"), hidden), []
        saying = _Saying(self, home, hidden)
        text = ast.unparse(saying.say(annotation))
        return text, saying.unknown

    def reply(self, annotation: ast.expr | None, home: Class, hidden: Collection[str] = ()) -> str | None:
        """Return the type that a reply has when it arrives, None where only a decoder makes it the one meant.

        Structs, dates, enums and the like travel as maps, texts and numbers; sets and tuples as lists.
        """
        if annotation is None:
            return self.name_of(Place("typing", "Any"), hidden)
        try:
            return ast.unparse(_Arrival(self, home, hidden).say(annotation))
        except NotPlainError:
            return None

    def place_of(self, written: str, home: Class) -> Place | None:
        """Return what a name means in the class's body, else in its module."""
        inside = Place(home.module, f"{home.node.name}.{written}")
        found = self._tree.definition(inside)
        if isinstance(found, ast.ClassDef):
            return inside
        place = self._tree.resolve(home.module, written)
        return place if place and self._is_type(place) else None

    def _is_type(self, place: Place) -> bool:
        if not self._tree.is_local(place.module):
            return place.module not in _TYPING or place.name not in _TYPING_OF_CLASSES
        found = self._tree.definition(place)
        if isinstance(found, ast.Assign | ast.AnnAssign):
            return _is_type_value(found.value)
        return isinstance(found, ast.ClassDef)

    def name_of(self, place: Place, hidden: Collection[str]) -> str:
        """Return how the file names a place; notes the import."""
        is_short = place.module == BUILTINS or (place.module, place.name) in (
            ("typing", "Any"),
            ("typing", "Literal"),
        )
        if is_short and place.name.partition(".")[0] not in hidden:
            return place.name
        return f"{self._alias(place.module)}.{place.name}"

    def _alias(self, module: str) -> str:
        if module not in self.modules:
            wanted = f"_{module.replace('.', '_')}"
            others = [name for name in self.modules.values() if name.rstrip("0123456789") == wanted]
            self.modules[module] = f"{wanted}{len(others) + 1}" if others else wanted
        return self.modules[module]


def items_of(annotation: ast.expr | None) -> ast.expr | None:
    """Return the type of the items that an async generator is annotated with."""
    annotation = _unquoted(annotation)
    if not isinstance(annotation, ast.Subscript):
        return None
    inner = annotation.slice
    return inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner


class _Saying:
    """One annotation on its way from one file to another."""

    def __init__(self, speller: Speller, home: Class, hidden: Collection[str]) -> None:
        self.speller = speller
        self.home = home
        self.hidden = hidden
        self.unknown: list[str] = []

    def say(self, node: ast.expr) -> ast.expr:
        """Return the node with every name spelled anew."""
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.Name | ast.Attribute):
            place = self.place(node)
            return self.name(place) if place and place.name else self.give_up(node)
        if isinstance(node, ast.Subscript):
            return self.subscript(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return ast.BinOp(self.say(node.left), ast.BitOr(), self.say(node.right))
        if isinstance(node, ast.List):
            return ast.List([self.say(each) for each in node.elts], ast.Load())
        return self.give_up(node)

    def constant(self, node: ast.Constant) -> ast.expr:
        if node.value is None or node.value is Ellipsis:
            return node
        inner = _unquoted(node)
        return self.say(inner) if inner is not None else self.give_up(node)

    def subscript(self, node: ast.Subscript) -> ast.expr:
        place = self.place(node.value)
        if place is None or not place.name:
            return self.give_up(node)
        inner = node.slice
        parts = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        if place.module in _TYPING and place.name == "Annotated":
            return self.say(parts[0])
        if place.module in _TYPING and place.name == "Literal":
            return ast.Subscript(self.name(place), inner) if _are_constants(parts) else self.give_up(node)
        said = [self.say(each) for each in parts]
        return ast.Subscript(self.name(place), ast.Tuple(said) if isinstance(inner, ast.Tuple) else said[0])

    def place(self, node: ast.expr) -> Place | None:
        written = flow.dotted(node)
        return self.speller.place_of(written, self.home) if written else None

    def name(self, place: Place) -> ast.expr:
        return ast.Name(self.speller.name_of(place, self.hidden))

    def give_up(self, node: ast.expr) -> ast.expr:
        self.unknown.append(ast.unparse(node))
        return self.name(Place("typing", "Any"))


class _Arrival(_Saying):
    """As above, for what a reply is when it arrives; raises NotPlainError where it is not the same."""

    def say(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name | ast.Attribute):
            return self.bare(self.place(node))
        return super().say(node)

    def bare(self, place: Place | None) -> ast.expr:
        anything = self.name(Place("typing", "Any"))
        if place is None or place.module not in _ABSTRACT:
            raise NotPlainError
        if place.name in ("Any", "object"):
            return anything
        if place.name in _LISTS:
            return ast.Subscript(self.list(), anything)
        if place.name in _MAPS:
            return ast.Subscript(self.map(), ast.Tuple([anything, anything]))
        if place.name in _SCALARS:
            return self.name(place)
        raise NotPlainError

    def subscript(self, node: ast.Subscript) -> ast.expr:
        place = self.place(node.value)
        if place is None or place.module not in _ABSTRACT:
            raise NotPlainError
        inner = node.slice
        parts = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        if place.name in ("Annotated", "Literal", "Optional", "Union"):
            return super().subscript(node)
        if place.name in _LISTS:
            return ast.Subscript(self.list(), self.shared(parts))
        if place.name in _MAPS and len(parts) == 2:
            return ast.Subscript(self.map(), ast.Tuple([self.say(each) for each in parts]))
        raise NotPlainError

    def shared(self, parts: list[ast.expr]) -> ast.expr:
        """Return the one type of a list's items: that of a tuple's parts, where they are all the same."""
        said = [self.say(part) for part in parts if not _is_ellipsis(part)]
        texts = {ast.unparse(each) for each in said}
        return said[0] if len(texts) == 1 else self.name(Place("typing", "Any"))

    def list(self) -> ast.expr:
        return self.name(Place(BUILTINS, "list"))

    def map(self) -> ast.expr:
        return self.name(Place(BUILTINS, "dict"))

    def give_up(self, node: ast.expr) -> ast.expr:
        raise NotPlainError


def _unquoted(node: ast.expr | None) -> ast.expr | None:
    """Return what a quoted annotation says, another node as it is, None for what is no annotation."""
    if not isinstance(node, ast.Constant):
        return node
    if not isinstance(node.value, str):
        return None
    try:
        return ast.parse(node.value.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _are_constants(parts: list[ast.expr]) -> bool:
    return all(isinstance(part, ast.Constant | ast.UnaryOp) for part in parts)


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _is_type_value(node: ast.expr | None) -> bool:
    """Return whether what is assigned to a name may be a type: an alias, or what makes one."""
    if isinstance(node, ast.Call):
        return flow.dotted(node.func).rpartition(".")[2] in _MAKERS
    is_union = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
    return is_union or isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
