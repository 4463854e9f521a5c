"""The structs of a claims file: one schema for loading, the JSON Schema and the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from argosy.fleet.fleet_spec import Name, ScalarText

Globs = Annotated[
    str | list[str],
    Meta(
        description="globs of paths in the tree (`**` crosses folders, a leading `!` excludes), "
        "or names of scopes"
    ),
]
CountUnit = Literal["place", "file", "file-without"]


class ClaimKeys(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"in_": "in", "is_": "is"},
):
    """One claim: its text, and how to check it."""

    text: Annotated[ScalarText, Meta(description="the claim as a sentence")]
    source: Annotated[ScalarText, Meta(description="who claims it, and where")]
    count: Annotated[
        str, Meta(description="the query that counts it; `argosy claims queries` lists them")
    ] = ""
    measure: Annotated[
        str,
        Meta(
            description="in place of `count`: what has to be measured, and how, because files do not show it"
        ),
    ] = ""
    in_: Annotated[Globs, Meta(description="where to count; default: the scope of the query")] = []
    unit: Annotated[
        CountUnit, Meta(description="what to count: places, files that have one, or files that have none")
    ] = "place"
    is_: Annotated[
        ScalarText, Meta(description="the count: `41`, `at least 80`, `at most 3`, `10 to 20`")
    ] = ""
    places: Annotated[
        list[ScalarText],
        Meta(
            description="places that must be among the matches: "
            "`path`, `path:line`, `path:Class.name`, or a name"
        ),
    ] = []


class ClaimsKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The top level of a claims file."""

    about: Annotated[str, Meta(description="what the claims are about")] = ""
    fleet: Annotated[
        str | list[str],
        Meta(
            description="the files that define the fleet, as paths in the tree: "
            "a fleet file, or files that `argosy import` reads"
        ),
    ] = []
    scopes: Annotated[dict[Name, Globs], Meta(description="names for sets of files")] = {}
    claims: Annotated[dict[Name, ClaimKeys], Meta(description="the claims, by name")]


class CountRange(msgspec.Struct, frozen=True):
    """A claimed count. minimum, maximum: inclusive; maximum None: no upper bound."""

    minimum: int
    maximum: int | None

    def describe(self) -> str:
        """Return the range as it is written in a claim."""
        if self.maximum is None:
            return f"at least {self.minimum}"
        if self.minimum == self.maximum:
            return str(self.minimum)
        return f"at most {self.maximum}" if self.minimum == 0 else f"{self.minimum} to {self.maximum}"


class ClaimQuery(msgspec.Struct, frozen=True):
    """A query. name: of its kind, such as `python.calls`. argument: empty when the kind takes none."""

    name: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.argument}".rstrip()


class FileScope(msgspec.Struct, frozen=True):
    """A set of files. globs, excluded: of paths. includes_fleet: the agents' scripts are included."""

    globs: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    includes_fleet: bool = False

    def as_arguments(self) -> tuple[str, ...]:
        """Return the scope as arguments of `in:` and `--scope`."""
        return (
            *(["fleet"] if self.includes_fleet else []),
            *self.globs,
            *(f"!{glob}" for glob in self.excluded),
        )


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One loaded claim. query: None when the claim has `measure`. where: `file:line:column` of its name."""

    id: str
    where: str
    text: str
    source: str
    query: ClaimQuery | None
    measure: str
    scope: FileScope
    unit: CountUnit
    range: CountRange | None
    places: tuple[str, ...]


class Claims(msgspec.Struct, frozen=True):
    """A loaded claims file. fleet: paths in the tree."""

    about: str
    fleet: tuple[str, ...]
    claims: tuple[Claim, ...]
