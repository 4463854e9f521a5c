"""A file of typed peers, written from what agents offer: one class an agent, for editors and type checkers.

A peer's methods are made at run time, so the file says with protocols what they take and what comes
back. A reply is said as it arrives: what only a decoder makes of it is had by
`call("method", returns=TheType, ...)`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from argosy.agent.stubs.annotations import AnnotationRenderer, item_annotation
from argosy.agent.stubs.handler_spec import HandlerArgument, HandlerSpec
from argosy.source.module_finder import is_standard
from argosy.source.symbol_resolver import BUILTINS, SymbolRef, SymbolResolver

GENERATED_BY: Final = "# Made by "

_SCALARS: Final[dict[str, type | tuple[type, ...]]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
}


class AgentService(msgspec.Struct, frozen=True):
    """One agent of the fleet and its handlers. target: its `module:Class`."""

    agent: str
    target: str
    handlers: tuple[HandlerSpec, ...]


class PeerKind(msgspec.Struct, frozen=True):
    """The two ways to ask: for coroutines, and for threads.

    taken: what a peer of this kind has itself; a handler of that name is asked by `call`.
    """

    suffix: str
    keyword: str
    stream_type: str
    reserved_names: frozenset[str]


ASYNC: Final = PeerKind("Peer", "async def", "_Items", frozenset(("call", "stream", "within", "statistics")))
SYNC: Final = PeerKind("PeerSync", "def", "_ItemsSync", frozenset(("call", "stream", "within", "close")))

PREAMBLE: Final = '''\
# ruff: noqa
# fmt: off
"""Typed peers of the fleet `{fleet}`: `peer` for coroutines, `connect` for scripts and threads."""

from __future__ import annotations

import os as _os
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar, cast
from typing import overload as _overload

import argosy.wire as _wire

if TYPE_CHECKING:
    from argosy.agent import Agent as _Agent
    from argosy.agent.stream_types import ItemStream as _Items
    from argosy.agent.stream_types import SyncItemStream as _ItemsSync
'''


class StubMethod(msgspec.Struct, frozen=True):
    """A handler as the file says it.

    reply: the type of what arrives; items: of what a stream brings, None for a handler that replies.
    meant: the source's own type where it is another, to be decoded as. notes: what could not be told.
    """

    name: str
    arguments: tuple[str, ...]
    argument_names: frozenset[str]
    reply_type: str
    item_type: str | None
    source_type: str
    summary: str
    notes: tuple[str, ...]


def render_stub(
    fleet: str,
    command: str,
    tree: SymbolResolver,
    services: Sequence[AgentService],
    left_out: Iterable[tuple[str, str]],
) -> str:
    """Return the file's text; the same sources give the same text.

    command: what made it. left_out: agents that are not in it, each with the reason.
    """
    renderer = AnnotationRenderer(tree)
    classes: list[str] = []
    for service, name in zip(services, class_names(services), strict=True):
        shadowed = frozenset(offer.name for offer in service.handlers)
        methods = [_make_method(offer, renderer, shadowed) for offer in service.handlers]
        for kind in (ASYNC, SYNC):
            classes.append("\n".join(_render_class(service, name, methods, kind, renderer, shadowed)))
    lines = [f"{GENERATED_BY}`{command}`: made anew, not edited."]
    lines += [f"# Without `{agent}`: {reason}." for agent, reason in left_out]
    head = "\n".join(lines) + "\n" + PREAMBLE.format(fleet=fleet) + "".join(_imports(renderer, tree))
    functions = "\n".join(_render_functions(services))
    return "\n\n\n".join([f'{head}\n_R = TypeVar("_R")', *classes, functions]) + "\n"


def class_names(services: Sequence[AgentService]) -> list[str]:
    """Return the first part of each agent's class names; two agents never share one."""
    names: list[str] = []
    for service in services:
        name = "".join(letter if letter.isalnum() else "_" for letter in service.agent)
        while name in names:
            name += "_"
        names.append(name)
    return names


def _imports(renderer: AnnotationRenderer, tree: SymbolResolver) -> Iterator[str]:
    for module, name in sorted(renderer.modules.items()):
        is_known = tree.is_local(module) or is_standard(module.partition(".")[0])
        # Whether an installed package has types, or is installed where the checker runs, is not known here.
        remark = "" if is_known else "  # type: ignore[import-not-found, import-untyped, unused-ignore]"
        yield f"    import {module} as {name}{remark}\n"


# -- one handler ---------------------------------------------------------------------------------------


def _make_method(handler: HandlerSpec, renderer: AnnotationRenderer, shadowed: frozenset[str]) -> StubMethod:
    unknown: list[str] = []
    arguments, names = [], []
    for argument in handler.arguments():
        text, unresolved = renderer.render(argument.annotation, handler.owner, shadowed)
        unknown += [
            f"`{argument.name}` is `{part}`, which cannot be told from the sources" for part in unresolved
        ]
        arguments.append(_argument(argument, text))
        names.append(argument.name)
    returns = handler.node.returns
    wanted = item_annotation(returns) if handler.kind == "stream" else returns
    exact_type = None if handler.is_wrapped else renderer.render_reply(wanted, handler.owner, shadowed)
    anything = renderer.qualified_name(SymbolRef("typing", "Any"), shadowed)
    list_ = renderer.qualified_name(SymbolRef(BUILTINS, "list"), shadowed)
    if exact_type is None and handler.is_wrapped:
        source_type = "what its decorator makes of it"
    else:
        source_type = "" if exact_type or wanted is None else f"`{ast.unparse(wanted)}`"
    one = exact_type or anything
    is_stream = handler.kind == "stream"
    return StubMethod(
        handler.name,
        tuple(sorted(arguments, key=lambda text: text.startswith("**"))),
        frozenset(names),
        f"{list_}[{one}]" if is_stream else one,
        one if is_stream else None,
        source_type,
        (ast.get_docstring(handler.node) or "").partition("\n")[0],
        tuple(unknown),
    )


def _argument(argument: HandlerArgument, annotation: str) -> str:
    if argument.is_var_keyword:
        return f"**{argument.name}: {annotation}"
    default = "" if argument.default is None else f" = {_default(argument.default, annotation)}"
    return f"{argument.name}: {annotation}{default}"


def _default(node: ast.expr, annotation: str) -> str:
    """Return a default as the source has it where it stands for itself, else `...`."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return "..."
    if value is None:
        fits = annotation.endswith("Any") or "None" in annotation or "Optional[" in annotation
    else:
        scalar_type = _SCALARS.get(annotation.removesuffix(" | None"))
        fits = scalar_type is not None and isinstance(value, scalar_type)
    return ast.unparse(node) if fits else "..."


# -- one agent -----------------------------------------------------------------------------------------


def _render_class(
    service: AgentService,
    name: str,
    methods: Sequence[StubMethod],
    kind: PeerKind,
    renderer: AnnotationRenderer,
    shadowed: frozenset[str],
) -> Iterator[str]:
    def builtin(word: str) -> str:
        return renderer.qualified_name(SymbolRef(BUILTINS, word), shadowed)

    number, anything = builtin("float"), renderer.qualified_name(SymbolRef("typing", "Any"), shadowed)
    yield f"class {name}{kind.suffix}(Protocol):"
    yield f'    """`{service.agent}`, which runs `{service.target}`."""\n'
    yield f"    def within(self, timeout_s: {number}) -> Self: ..."
    if kind is SYNC:
        yield "    def close(self) -> None: ..."
        yield "    def __enter__(self) -> Self: ..."
        yield f"    def __exit__(self, *_: {builtin('object')}) -> None: ..."
    yield f"    {kind.keyword} health(self) -> {builtin('dict')}[{builtin('str')}, {anything}]: ..."
    for method in methods:
        if _is_reached(method, kind):
            yield from _render_direct(method, kind)
    yield from _overloads(
        [
            _call_overload(method, kind, number, builtin("type"))
            for method in methods
            if _is_called(method, kind)
        ]
    )
    yield from _overloads(
        [
            _stream_overload(method, kind, number, builtin("type"))
            for method in methods
            if _is_streamed(method)
        ]
    )


def _is_reached(method: StubMethod, kind: PeerKind) -> bool:
    return method.name not in kind.reserved_names and not method.name.startswith("_")


def _is_called(method: StubMethod, kind: PeerKind) -> bool:
    """Return whether a method gets a `call`: one with arguments of `call`'s own names cannot."""
    is_wanted = bool(method.source_type) or not _is_reached(method, kind)
    return is_wanted and method.item_type is None and not method.argument_names & {"timeout", "returns"}


def _is_streamed(method: StubMethod) -> bool:
    return method.item_type is not None and not method.argument_names & {"first", "gap", "returns"}


def _render_direct(method: StubMethod, kind: PeerKind) -> Iterator[str]:
    yield ""
    for note in method.notes:
        yield f"    # {note}"
    if method.source_type:
        what = "an item is" if method.item_type else "the reply is"
        yield f"    # {what} {method.source_type}, which arrives undecoded; `returns=` decodes it"
    signature = _signature(method, kind, method.name, (), method.reply_type)
    yield f"    {kind.keyword} {signature}{_body(method.summary)}"


def _signature(method: StubMethod, kind: PeerKind, name: str, before: Sequence[str], reply: str) -> str:
    arguments = [*before, *method.arguments]
    has_names = any(not text.startswith("**") for text in arguments)
    head = f"method: Literal[{json.dumps(method.name)}], /" if name != method.name or before else ""
    parts = ["self", *filter(None, [head]), *(["*"] if has_names else []), *arguments]
    return f"{name}({', '.join(parts)}) -> {reply}:"


def _body(summary: str) -> str:
    if not summary:
        return " ..."
    text = summary.replace("\\", "\\\\").replace('"""', "'''")
    return f'\n        """{text}{" " if text.endswith(chr(34)) else ""}"""'


def _call_overload(method: StubMethod, kind: PeerKind, number: str, type_name: str) -> str:
    before = (f"timeout: {number} | None = None", f"returns: {type_name}[_R]")
    return f"{kind.keyword} {_signature(method, kind, 'call', before, '_R')} ..."


def _stream_overload(method: StubMethod, kind: PeerKind, number: str, type_name: str) -> str:
    before = [f"first: {number} | None = None", f"gap: {number} | None = None"]
    item = "_R" if method.source_type else method.item_type
    if method.source_type:
        before.append(f"returns: {type_name}[_R]")
    return f"def {_signature(method, kind, 'stream', before, f'{kind.stream_type}[{item}]')} ..."


def _overloads(signatures: Sequence[str]) -> Iterator[str]:
    for signature in signatures:
        yield "\n    @_overload" if len(signatures) > 1 else ""
        yield f"    {signature}"


# -- the functions that give them ----------------------------------------------------------------------

_CONNECT: Final = "timeout: float = 10.0, book: str | _os.PathLike[str] | None = None"


def _render_functions(services: Sequence[AgentService]) -> Iterator[str]:
    pairs = list(zip(services, class_names(services), strict=True))
    yield from _render_function(
        "peer",
        [("agent: _Agent, ", offering.agent, f"{name}Peer", "") for offering, name in pairs],
        '"""Return another agent for coroutines, as `agent.peer(name)` does."""',
        "agent.peer(name)",
    )
    yield "\n"
    yield from _render_function(
        "connect",
        [("", offering.agent, f"{name}PeerSync", f", *, {_CONNECT}") for offering, name in pairs],
        '"""Return another agent for scripts and threads, as `argosy.wire.connect(name)` does."""',
        "_wire.connect(name, timeout=timeout, book=book)",
    )


def _render_function(
    function: str, variants: Sequence[tuple[str, str, str, str]], summary: str, value: str
) -> Iterator[str]:
    if len(variants) > 1:
        for before, agent, cls, after in variants:
            yield "@_overload"
            yield f"def {function}({before}name: Literal[{json.dumps(agent)}]{after}) -> {cls}: ..."
    before, agent, cls, after = variants[0]
    name, reply = (f"Literal[{json.dumps(agent)}]", cls) if len(variants) == 1 else ("str", "Any")
    yield f"def {function}({before}name: {name}{after}) -> {reply}:"
    yield f"    {summary}"
    yield f"    return cast({json.dumps(reply)}, {value})"
