"""A file of claims as frozen structs: the one schema for loading, the JSON Schema and the docs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from argosy.fleet.fleet_spec import Name, ScalarText

Globs = Annotated[
    str | list[str],
    Meta(
        description="globs of paths in the tree (`**` crosses folders, a leading `!` leaves out), "
        "or the names of scopes"
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
    """One claim: what somebody said, and how it can be counted."""

    text: Annotated[ScalarText, Meta(description="the claim, in words")]
    source: Annotated[ScalarText, Meta(description="who claims it, and where")]
    count: Annotated[
        str, Meta(description="the query that counts it; `argosy claims queries` lists them")
    ] = ""
    measure: Annotated[
        str,
        Meta(description="in place of `count`: what would have to be measured, and how; no file tells it"),
    ] = ""
    in_: Annotated[Globs, Meta(description="where it is counted; default the query's own")] = []
    unit: Annotated[
        CountUnit, Meta(description="what is counted: places, files that have one, or files that have none")
    ] = "place"
    is_: Annotated[ScalarText, Meta(description="how many: `41`, `at least 80`, `at most 3`, `10 to 20`")] = (
        ""
    )
    places: Annotated[
        list[ScalarText],
        Meta(
            description="places that must be among those found: "
            "`path`, `path:line`, `path:Class.name`, or a name"
        ),
    ] = []


class ClaimsKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The top of a file of claims."""

    about: Annotated[str, Meta(description="what the claims are about")] = ""
    fleet: Annotated[
        str | list[str],
        Meta(
            description="what tells the fleet, by path in the tree: "
            "a fleet file, or what `argosy import` reads"
        ),
    ] = []
    scopes: Annotated[dict[Name, Globs], Meta(description="names for sets of files")] = {}
    claims: Annotated[dict[Name, ClaimKeys], Meta(description="the claims, by name")]


class CountRange(msgspec.Struct, frozen=True):
    """How many, as claimed. least, most: both belong to it; most None: no upper end."""

    minimum: int
    maximum: int | None

    def describe(self) -> str:
        """Return it as a claim writes it."""
        if self.maximum is None:
            return f"at least {self.minimum}"
        if self.minimum == self.maximum:
            return str(self.minimum)
        return f"at most {self.maximum}" if self.minimum == 0 else f"{self.minimum} to {self.maximum}"


class ClaimQuery(msgspec.Struct, frozen=True):
    """A question to a tree. name: the kind, as `python.calls`. argument: empty where the kind takes none."""

    name: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.argument}".rstrip()


class FileScope(msgspec.Struct, frozen=True):
    """A set of files. globs: of paths; those in `without` are left out. fleet: the agents' scripts too."""

    globs: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    includes_fleet: bool = False

    def as_arguments(self) -> tuple[str, ...]:
        """Return it as words that `in:` and `--in` take."""
        return (
            *(["fleet"] if self.includes_fleet else []),
            *self.globs,
            *(f"!{glob}" for glob in self.excluded),
        )


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One claim, read. query: None where `measure` says what would have to be measured.

    where: `file:line:column` of its name.
    """

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
    """A file of claims, read. fleet: paths in the tree."""

    about: str
    fleet: tuple[str, ...]
    claims: tuple[Claim, ...]
