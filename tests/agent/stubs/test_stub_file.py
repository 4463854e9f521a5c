"""Stub file: typed peers generated from sources, and their check with mypy."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.agent.stubs.handler_spec import find_handler_specs
from argosy.agent.stubs.stub_file import AgentService, render_stub
from argosy.source.module_finder import ModuleFinder
from argosy.source.symbol_resolver import SymbolResolver

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "mainpc-pc2"

MYPY = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]

SPEECH = '''
from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, TypeVar

import msgspec
from argosy.agent import Agent, event, every
from argosy.agent import request as offered
import argosy.agent

if TYPE_CHECKING:
    from voices import Voice
    import an_absent_package as absent

T = TypeVar("T")

class Mode(enum.Enum):
    FAST = "fast"

class Said(msgspec.Struct):
    text: str

def traced(method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    return offered(method)

class Base(Agent):
    @offered
    def kept(self, old: int) -> int: ...
    @offered(short=True)
    def shared(self) -> str:
        """Say "it"."""

class Speaker(Base):
    class Range(msgspec.Struct):
        low: int

    def kept(self, new: str, /, *, mode: Mode = Mode.FAST) -> int: ...
    @argosy.agent.request
    async def say(self, text: str, to: "Optional[str]" = None, tries: int = -1, tags: list[str] = []) -> Said:
        r"""Say it \\ """
    @offered
    async def speak(self, voice: Voice, within: Range, pace: float = 1) -> AsyncIterator[str]:
        yield ""
    @offered
    async def history(self, first: int) -> AsyncIterator[Said]:
        yield Said("")
    @offered
    async def pages(self) -> AsyncIterator[Said]:
        yield Said("")
    @offered
    async def twice(
        self, make: T, wave: absent.Wave, nobody: Nobody[int], odd: Sequence[1 + 1]
    ) -> dict[str, tuple[int, ...]]: ...
    @offered
    def list(self, of: list[int], kind: Literal["a", "b"] = "a") -> list[int]: ...
    @offered
    def call(self, number: Annotated[int, "a"]) -> int | None: ...
    @offered
    def anything(self, timeout: str = None, **others: int) -> Said: ...
    @traced
    async def wrapped(self, text: str) -> str: ...
    @event("speech.heard")
    async def heard(self, utterance: str) -> None: ...
    @every("5s")
    def tick(self) -> None: ...
    async def own(self) -> None: ...
'''

VOICES = "class Voice:\n    pitch: int = 1\n"

USE = """
from __future__ import annotations
from argosy.agent import Agent
from peers import SpeakerPeer, connect, peer
from speech import Said
from voices import Voice

class Reader(Agent):
    async def start(self) -> None:
        speaker: SpeakerPeer = peer(self, "Speaker")
        number: int = await speaker.within(0.5).kept(new="x")
        said: Said = await speaker.call("say", returns=Said, text="x", timeout=1.0)
        async with speaker.stream("pages", returns=Said) as pages:
            async for page in pages:
                print(page.text, said, number)
        print((await speaker.health())["status"], (await speaker.list(of=[1])) + [2])

def main() -> None:
    with connect("Speaker", timeout=2.0) as speaker:
        for word in speaker.stream("speak", gap=0.5, voice=Voice(), within={"low": 1}):  # E: call-overload
            word.upper()
        speaker.say(txt="x")  # E: call-arg
        speaker.sy(text="x")  # E: attr-defined
        speaker.kept(new=1)  # E: arg-type
        speaker.shared().nothing  # E: attr-defined
        speaker.call("say", returns=Said, txt="x")  # E: call-overload
    connect("Speeker")  # E: call-overload
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "speech.py").write_text(SPEECH)
    (tmp_path / "voices.py").write_text(VOICES)
    return tmp_path


def stub_of(folder: Path) -> str:
    tree = SymbolResolver(ModuleFinder([str(folder)]))
    services = []
    for agent, name in (("Speaker", "Speaker"), ("low-speaker", "Base")):
        cls = tree.find_class("speech", name)
        assert cls
        services.append(AgentService(agent, f"speech:{name}", find_handler_specs(tree, cls)))
    return render_stub("toy", "argosy stub", tree, services, [("Old", "it runs a script")])


def methods_of(text: str, cls: str) -> dict[str, list[str]]:
    """Return the signatures of a class of the file, by name."""
    found: dict[str, list[str]] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == cls:
            for each in node.body:
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                    returns = ast.unparse(each.returns) if each.returns else ""
                    signature = f"({ast.unparse(each.args)}) -> {returns}"
                    found.setdefault(each.name, []).append(signature)
    return found


def test_stub_has_typed_signature_of_each_handler(folder: Path) -> None:
    methods = methods_of(stub_of(folder), "SpeakerPeer")
    list_ = "_builtins.list"
    assert {name: signatures[0] for name, signatures in methods.items()} == {
        "within": "(self, timeout_s: float) -> Self",
        "health": "(self) -> dict[str, Any]",
        "kept": "(self, *, new: str, mode: _speech.Mode=...) -> int",
        "shared": "(self) -> str",
        "say": "(self, *, text: str, to: _typing.Optional[str]=None, tries: int=-1, "
        f"tags: {list_}[str]=...) -> Any",
        "speak": "(self, *, voice: _voices.Voice, within: _speech.Speaker.Range, pace: float=1) -> "
        f"{list_}[str]",
        "history": f"(self, *, first: int) -> {list_}[Any]",
        "pages": f"(self) -> {list_}[Any]",
        "twice": "(self, *, make: Any, wave: _an_absent_package.Wave, nobody: Any, "
        f"odd: _collections_abc.Sequence[Any]) -> dict[str, {list_}[int]]",
        "list": f"(self, *, of: {list_}[int], kind: Literal['a', 'b']=...) -> {list_}[int]",
        "anything": "(self, *, timeout: str=..., **others: int) -> Any",
        "wrapped": "(self, *, text: str) -> Any",
        "call": "(self, method: Literal['call'], /, *, timeout: float | None=None, returns: type[_R], "
        "number: int) -> _R",
        "stream": "(self, method: Literal['pages'], /, *, first: float | None=None, gap: float | None=None, "
        "returns: type[_R]) -> _ItemStream[_R]",
    }
    assert [signature.split("'")[1] for signature in methods["call"]] == ["call", "say", "wrapped"]
    assert [signature.split("'")[1] for signature in methods["stream"]] == ["pages", "speak"]


def test_stub_comments_name_unresolved_types(folder: Path) -> None:
    text = stub_of(folder)
    for part in (
        "# `make` is `T`, which the sources do not show",
        "# `nobody` is `Nobody[int]`, which the sources do not show",
        "# `odd` is `1 + 1`, which the sources do not show",
        "# the reply is `Said`, which arrives undecoded",
        "# the reply is the result of its decorator",
        "# Without `Old`: it runs a script.",
        "import an_absent_package as _an_absent_package  # type: ignore",
    ):
        assert part in text, part
    assert text.startswith("# Generated by `argosy stub`")


def test_stub_has_sync_class_and_class_for_agent_with_hyphen(folder: Path) -> None:
    text = stub_of(folder)
    assert set(methods_of(text, "low_speakerPeer")) == {"within", "health", "kept", "shared"}
    plain = methods_of(text, "SpeakerPeerSync")
    assert plain["stream"][1].endswith("-> _SyncItemStream[str]")
    assert {"__enter__", "__exit__", "close"} <= set(plain)


def test_stub_is_deterministic(folder: Path) -> None:
    assert stub_of(folder) == stub_of(folder)


@pytest.mark.slow
def test_mypy_accepts_stub_and_reports_wrong_calls(folder: Path) -> None:
    (folder / "peers.py").write_text(stub_of(folder))
    (folder / "use.py").write_text(USE)
    made = folder / "example_peers.py"
    argosy = Path(sys.executable).with_name("argosy")
    subprocess.run([argosy, "stub", EXAMPLE, "-o", made], check=True, capture_output=True)
    done = subprocess.run(
        [*MYPY, "--cache-dir", folder / "cache", "peers.py", "use.py", made.name],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(EXAMPLE)},
        capture_output=True,
        text=True,
        timeout=55,
    )
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    found = {(line.split(":")[0], int(line.split(":")[1]), line.rpartition("[")[2][:-1]) for line in lines}
    wanted = {
        ("use.py", number, line.partition("# E: ")[2])
        for number, line in enumerate(USE.splitlines(), 1)
        if "# E: " in line
    }
    of_the_sources = {each for each in found if each[0] in ("speech.py", "voices.py")}
    assert found - of_the_sources == wanted, done.stdout + done.stderr
