"""Renders the annotations of a handler's source for a file elsewhere.

Names are qualified by the modules that define them, so that two modules may have a class of the
same name. What cannot be determined from the sources is `Any`, and is noted.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Final

from argosy.source import control_flow
from argosy.source.symbol_resolver import BUILTINS, ClassDefinition, SymbolRef, SymbolResolver

_TYPING_MODULES: Final = frozenset(("typing", "typing_extensions"))
_CLASS_ONLY_TYPING_NAMES: Final = frozenset(
    ("Self", "TypeVar", "ParamSpec", "TypeVarTuple", "Unpack", "Generic")
)
_TYPE_FACTORIES: Final = frozenset(
    ("NewType", "NamedTuple", "TypedDict", "namedtuple", "Enum", "IntEnum", "StrEnum")
)

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
_MAPPINGS: Final = frozenset(("dict", "Dict", "Mapping", "MutableMapping"))
_PLAIN_MODULES: Final = frozenset((*_TYPING_MODULES, BUILTINS, "collections.abc"))


class NotPlainTypeError(Exception):
    """A value of this type arrives as another type."""


class AnnotationRenderer:
    """Renders annotations for one file, and collects that file's imports.

    modules: the modules named so far, each with the alias to import it as, which begins
    with `_` so that no handler can have that name.
    """

    def __init__(self, tree: SymbolResolver) -> None:
        self._tree = tree
        self.modules: dict[str, str] = {}

    def render(
        self, annotation: ast.expr | None, owner: ClassDefinition, shadowed: Collection[str] = ()
    ) -> tuple[str, list[str]]:
        """Return an annotation as text, and the parts of it that are `Any` because they cannot be determined.

        shadowed: names that mean something else where the text will stand.
        """
        if annotation is None:
            return self.qualified_name(SymbolRef("typing", "Any"), shadowed), []
        rewriter = _AnnotationRewriter(self, owner, shadowed)
        text = ast.unparse(rewriter.rewrite(annotation))
        return text, rewriter.unknown

    def render_reply(
        self, annotation: ast.expr | None, owner: ClassDefinition, shadowed: Collection[str] = ()
    ) -> str | None:
        """Return the type of a reply on arrival, None where only a decoder makes it the annotated one.

        Structs, dates, enums and the like travel as maps, texts and numbers; sets and tuples as lists.
        """
        if annotation is None:
            return self.qualified_name(SymbolRef("typing", "Any"), shadowed)
        try:
            return ast.unparse(_ReplyTypeRewriter(self, owner, shadowed).rewrite(annotation))
        except NotPlainTypeError:
            return None

    def resolve_name(self, written: str, owner: ClassDefinition) -> SymbolRef | None:
        """Return what a name refers to in the class's body, else in its module."""
        inside = SymbolRef(owner.module, f"{owner.node.name}.{written}")
        found = self._tree.find_definition(inside)
        if isinstance(found, ast.ClassDef):
            return inside
        place = self._tree.resolve(owner.module, written)
        return place if place and self._is_type(place) else None

    def _is_type(self, place: SymbolRef) -> bool:
        if not self._tree.is_local(place.module):
            return place.module not in _TYPING_MODULES or place.name not in _CLASS_ONLY_TYPING_NAMES
        found = self._tree.find_definition(place)
        if isinstance(found, ast.Assign | ast.AnnAssign):
            return _is_type_value(found.value)
        return isinstance(found, ast.ClassDef)

    def qualified_name(self, place: SymbolRef, shadowed: Collection[str]) -> str:
        """Return the name for a symbol in the file; records the import."""
        is_short = place.module == BUILTINS or (place.module, place.name) in (
            ("typing", "Any"),
            ("typing", "Literal"),
        )
        if is_short and place.name.partition(".")[0] not in shadowed:
            return place.name
        return f"{self._alias(place.module)}.{place.name}"

    def _alias(self, module: str) -> str:
        if module not in self.modules:
            wanted = f"_{module.replace('.', '_')}"
            others = [name for name in self.modules.values() if name.rstrip("0123456789") == wanted]
            self.modules[module] = f"{wanted}{len(others) + 1}" if others else wanted
        return self.modules[module]


def item_annotation(annotation: ast.expr | None) -> ast.expr | None:
    """Return the type of the items that an async generator is annotated with."""
    annotation = _unquoted(annotation)
    if not isinstance(annotation, ast.Subscript):
        return None
    inner = annotation.slice
    return inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner


class _AnnotationRewriter:
    """Rewrites one annotation for another file."""

    def __init__(
        self, renderer: AnnotationRenderer, owner: ClassDefinition, shadowed: Collection[str]
    ) -> None:
        self.renderer = renderer
        self.owner = owner
        self.shadowed = shadowed
        self.unknown: list[str] = []

    def rewrite(self, node: ast.expr) -> ast.expr:
        """Return the node with every name qualified."""
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.Name | ast.Attribute):
            place = self.resolve(node)
            return self.render_name(place) if place and place.name else self.replace_unknown(node)
        if isinstance(node, ast.Subscript):
            return self.subscript(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return ast.BinOp(self.rewrite(node.left), ast.BitOr(), self.rewrite(node.right))
        if isinstance(node, ast.List):
            return ast.List([self.rewrite(each) for each in node.elts], ast.Load())
        return self.replace_unknown(node)

    def constant(self, node: ast.Constant) -> ast.expr:
        if node.value is None or node.value is Ellipsis:
            return node
        inner = _unquoted(node)
        return self.rewrite(inner) if inner is not None else self.replace_unknown(node)

    def subscript(self, node: ast.Subscript) -> ast.expr:
        place = self.resolve(node.value)
        if place is None or not place.name:
            return self.replace_unknown(node)
        inner = node.slice
        parts = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        if place.module in _TYPING_MODULES and place.name == "Annotated":
            return self.rewrite(parts[0])
        if place.module in _TYPING_MODULES and place.name == "Literal":
            return (
                ast.Subscript(self.render_name(place), inner)
                if _are_constants(parts)
                else self.replace_unknown(node)
            )
        rewritten = [self.rewrite(each) for each in parts]
        return ast.Subscript(
            self.render_name(place), ast.Tuple(rewritten) if isinstance(inner, ast.Tuple) else rewritten[0]
        )

    def resolve(self, node: ast.expr) -> SymbolRef | None:
        written = control_flow.dotted_name(node)
        return self.renderer.resolve_name(written, self.owner) if written else None

    def render_name(self, place: SymbolRef) -> ast.expr:
        return ast.Name(self.renderer.qualified_name(place, self.shadowed))

    def replace_unknown(self, node: ast.expr) -> ast.expr:
        self.unknown.append(ast.unparse(node))
        return self.render_name(SymbolRef("typing", "Any"))


class _ReplyTypeRewriter(_AnnotationRewriter):
    """As above, for the type on arrival; raises NotPlainTypeError where it differs."""

    def rewrite(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name | ast.Attribute):
            return self.plain_type(self.resolve(node))
        return super().rewrite(node)

    def plain_type(self, place: SymbolRef | None) -> ast.expr:
        anything = self.render_name(SymbolRef("typing", "Any"))
        if place is None or place.module not in _PLAIN_MODULES:
            raise NotPlainTypeError
        if place.name in ("Any", "object"):
            return anything
        if place.name in _LISTS:
            return ast.Subscript(self.list_type(), anything)
        if place.name in _MAPPINGS:
            return ast.Subscript(self.dict_type(), ast.Tuple([anything, anything]))
        if place.name in _SCALARS:
            return self.render_name(place)
        raise NotPlainTypeError

    def subscript(self, node: ast.Subscript) -> ast.expr:
        place = self.resolve(node.value)
        if place is None or place.module not in _PLAIN_MODULES:
            raise NotPlainTypeError
        inner = node.slice
        parts = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        if place.name in ("Annotated", "Literal", "Optional", "Union"):
            return super().subscript(node)
        if place.name in _LISTS:
            return ast.Subscript(self.list_type(), self.common_item_type(parts))
        if place.name in _MAPPINGS and len(parts) == 2:
            return ast.Subscript(self.dict_type(), ast.Tuple([self.rewrite(each) for each in parts]))
        raise NotPlainTypeError

    def common_item_type(self, parts: list[ast.expr]) -> ast.expr:
        """Return the one item type of a list: that of a tuple's parts, where they are all the same."""
        rewritten = [self.rewrite(part) for part in parts if not _is_ellipsis(part)]
        texts = {ast.unparse(each) for each in rewritten}
        return rewritten[0] if len(texts) == 1 else self.render_name(SymbolRef("typing", "Any"))

    def list_type(self) -> ast.expr:
        return self.render_name(SymbolRef(BUILTINS, "list"))

    def dict_type(self) -> ast.expr:
        return self.render_name(SymbolRef(BUILTINS, "dict"))

    def replace_unknown(self, node: ast.expr) -> ast.expr:
        raise NotPlainTypeError


def _unquoted(node: ast.expr | None) -> ast.expr | None:
    """Return the content of a quoted annotation, another node as it is, None if it does not parse."""
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
    """Return whether a value assigned to a name may be a type: an alias, or a call that makes one."""
    if isinstance(node, ast.Call):
        return control_flow.dotted_name(node.func).rpartition(".")[2] in _TYPE_FACTORIES
    is_union = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
    return is_union or isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
