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

from argosy.agent.annotation import Speller, items_of
from argosy.agent.offer import Argument, Offer
from argosy.source.classes import BUILTINS, Place, Tree
from argosy.source.modules import is_standard

MADE_BY: Final = "# Made by "

_SCALARS: Final[dict[str, type | tuple[type, ...]]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
}


class Offering(msgspec.Struct, frozen=True):
    """One agent of the fleet and its handlers. target: its `module:Class`."""

    agent: str
    target: str
    offers: tuple[Offer, ...]


class Flavour(msgspec.Struct, frozen=True):
    """The two ways to ask: for coroutines, and for threads.

    taken: what a peer of this kind has itself; a handler of that name is asked by `call`.
    """

    suffix: str
    keyword: str
    items: str
    taken: frozenset[str]


ASYNC: Final = Flavour("Peer", "async def", "_Items", frozenset(("call", "stream", "within", "statistics")))
SYNC: Final = Flavour("PeerSync", "def", "_ItemsSync", frozenset(("call", "stream", "within", "close")))

HEAD: Final = '''\
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
    from argosy.agent.typed import Items as _Items
    from argosy.agent.typed import ItemsSync as _ItemsSync
'''


class Method(msgspec.Struct, frozen=True):
    """A handler as the file says it.

    reply: the type of what arrives; items: of what a stream brings, None for a handler that replies.
    meant: the source's own type where it is another, to be decoded as. notes: what could not be told.
    """

    name: str
    arguments: tuple[str, ...]
    names: frozenset[str]
    reply: str
    items: str | None
    meant: str
    summary: str
    notes: tuple[str, ...]


def render_stub(
    fleet: str, command: str, tree: Tree, offerings: Sequence[Offering], left_out: Iterable[tuple[str, str]]
) -> str:
    """Return the file's text; the same sources give the same text.

    command: what made it. left_out: agents that are not in it, each with the reason.
    """
    speller = Speller(tree)
    classes: list[str] = []
    for offering, name in zip(offerings, class_names(offerings), strict=True):
        hidden = frozenset(offer.name for offer in offering.offers)
        methods = [_method(offer, speller, hidden) for offer in offering.offers]
        for flavour in (ASYNC, SYNC):
            classes.append("\n".join(_class(offering, name, methods, flavour, speller, hidden)))
    lines = [f"{MADE_BY}`{command}`: made anew, not edited."]
    lines += [f"# Without `{agent}`: {reason}." for agent, reason in left_out]
    head = "\n".join(lines) + "\n" + HEAD.format(fleet=fleet) + "".join(_imports(speller, tree))
    asking = "\n".join(_functions(offerings))
    return "\n\n\n".join([f'{head}\n_R = TypeVar("_R")', *classes, asking]) + "\n"


def class_names(offerings: Sequence[Offering]) -> list[str]:
    """Return the first part of each agent's class names; two agents never share one."""
    names: list[str] = []
    for offering in offerings:
        name = "".join(letter if letter.isalnum() else "_" for letter in offering.agent)
        while name in names:
            name += "_"
        names.append(name)
    return names


def _imports(speller: Speller, tree: Tree) -> Iterator[str]:
    for module, name in sorted(speller.modules.items()):
        is_known = tree.is_local(module) or is_standard(module.partition(".")[0])
        # Whether an installed package has types, or is installed where the checker runs, is not known here.
        remark = "" if is_known else "  # type: ignore[import-not-found, import-untyped, unused-ignore]"
        yield f"    import {module} as {name}{remark}\n"


# -- one handler ---------------------------------------------------------------------------------------


def _method(offer: Offer, speller: Speller, hidden: frozenset[str]) -> Method:
    unknown: list[str] = []
    arguments, names = [], []
    for argument in offer.arguments():
        text, strange = speller.spell(argument.annotation, offer.home, hidden)
        unknown += [
            f"`{argument.name}` is `{part}`, which cannot be told from the sources" for part in strange
        ]
        arguments.append(_argument(argument, text))
        names.append(argument.name)
    returns = offer.node.returns
    wanted = items_of(returns) if offer.kind == "stream" else returns
    exact = None if offer.is_wrapped else speller.reply(wanted, offer.home, hidden)
    anything = speller.name_of(Place("typing", "Any"), hidden)
    list_ = speller.name_of(Place(BUILTINS, "list"), hidden)
    if exact is None and offer.is_wrapped:
        meant = "what its decorator makes of it"
    else:
        meant = "" if exact or wanted is None else f"`{ast.unparse(wanted)}`"
    one = exact or anything
    is_stream = offer.kind == "stream"
    return Method(
        offer.name,
        tuple(sorted(arguments, key=lambda text: text.startswith("**"))),
        frozenset(names),
        f"{list_}[{one}]" if is_stream else one,
        one if is_stream else None,
        meant,
        (ast.get_docstring(offer.node) or "").partition("\n")[0],
        tuple(unknown),
    )


def _argument(argument: Argument, annotation: str) -> str:
    if argument.is_rest:
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
        kind = _SCALARS.get(annotation.removesuffix(" | None"))
        fits = kind is not None and isinstance(value, kind)
    return ast.unparse(node) if fits else "..."


# -- one agent -----------------------------------------------------------------------------------------


def _class(
    offering: Offering,
    name: str,
    methods: Sequence[Method],
    flavour: Flavour,
    speller: Speller,
    hidden: frozenset[str],
) -> Iterator[str]:
    def builtin(word: str) -> str:
        return speller.name_of(Place(BUILTINS, word), hidden)

    number, anything = builtin("float"), speller.name_of(Place("typing", "Any"), hidden)
    yield f"class {name}{flavour.suffix}(Protocol):"
    yield f'    """`{offering.agent}`, which runs `{offering.target}`."""\n'
    yield f"    def within(self, timeout_s: {number}) -> Self: ..."
    if flavour is SYNC:
        yield "    def close(self) -> None: ..."
        yield "    def __enter__(self) -> Self: ..."
        yield f"    def __exit__(self, *_: {builtin('object')}) -> None: ..."
    yield f"    {flavour.keyword} health(self) -> {builtin('dict')}[{builtin('str')}, {anything}]: ..."
    for method in methods:
        if _is_reached(method, flavour):
            yield from _direct(method, flavour)
    yield from _overloads(
        [_call(method, flavour, number, builtin("type")) for method in methods if _is_called(method, flavour)]
    )
    yield from _overloads(
        [_stream(method, flavour, number, builtin("type")) for method in methods if _is_streamed(method)]
    )


def _is_reached(method: Method, flavour: Flavour) -> bool:
    return method.name not in flavour.taken and not method.name.startswith("_")


def _is_called(method: Method, flavour: Flavour) -> bool:
    """Return whether a method gets a `call`: one with arguments of `call`'s own names cannot."""
    is_wanted = bool(method.meant) or not _is_reached(method, flavour)
    return is_wanted and method.items is None and not method.names & {"timeout", "returns"}


def _is_streamed(method: Method) -> bool:
    return method.items is not None and not method.names & {"first", "gap", "returns"}


def _direct(method: Method, flavour: Flavour) -> Iterator[str]:
    yield ""
    for note in method.notes:
        yield f"    # {note}"
    if method.meant:
        what = "an item is" if method.items else "the reply is"
        yield f"    # {what} {method.meant}, which arrives undecoded; `returns=` decodes it"
    signature = _signature(method, flavour, method.name, (), method.reply)
    yield f"    {flavour.keyword} {signature}{_body(method.summary)}"


def _signature(method: Method, flavour: Flavour, name: str, before: Sequence[str], reply: str) -> str:
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


def _call(method: Method, flavour: Flavour, number: str, kind: str) -> str:
    before = (f"timeout: {number} | None = None", f"returns: {kind}[_R]")
    return f"{flavour.keyword} {_signature(method, flavour, 'call', before, '_R')} ..."


def _stream(method: Method, flavour: Flavour, number: str, kind: str) -> str:
    before = [f"first: {number} | None = None", f"gap: {number} | None = None"]
    item = "_R" if method.meant else method.items
    if method.meant:
        before.append(f"returns: {kind}[_R]")
    return f"def {_signature(method, flavour, 'stream', before, f'{flavour.items}[{item}]')} ..."


def _overloads(signatures: Sequence[str]) -> Iterator[str]:
    for signature in signatures:
        yield "\n    @_overload" if len(signatures) > 1 else ""
        yield f"    {signature}"


# -- the functions that give them ----------------------------------------------------------------------

_CONNECT: Final = "timeout: float = 10.0, book: str | _os.PathLike[str] | None = None"


def _functions(offerings: Sequence[Offering]) -> Iterator[str]:
    pairs = list(zip(offerings, class_names(offerings), strict=True))
    yield from _function(
        "peer",
        [("agent: _Agent, ", offering.agent, f"{name}Peer", "") for offering, name in pairs],
        '"""Return another agent for coroutines, as `agent.peer(name)` does."""',
        "agent.peer(name)",
    )
    yield "\n"
    yield from _function(
        "connect",
        [("", offering.agent, f"{name}PeerSync", f", *, {_CONNECT}") for offering, name in pairs],
        '"""Return another agent for scripts and threads, as `argosy.wire.connect(name)` does."""',
        "_wire.connect(name, timeout=timeout, book=book)",
    )


def _function(
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
