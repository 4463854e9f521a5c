"""Builds images as an OCI layout, without an engine: a base, a layer for each distribution, the application.

Layers are shared by all images that have the same distribution, and made once for the same input. A layout
has a name for an image only when the image was proven; see `proof`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

import argosy
from argosy.image.base import Given, fitting_entries
from argosy.image.blobs import CONFIG_TYPE, INDEX_TYPE, MANIFEST_TYPE, Blob, Entry, Store, entries_below
from argosy.image.bytecode import BytecodeCache, cached_name
from argosy.image.containers import Containers
from argosy.image.content import data_files, digest_of_argosy, lay_out_argosy
from argosy.image.debian import (
    PYTHON,
    Fetched,
    base_entries,
    base_key,
    compile_below,
    fetch_packages,
    interpreter,
    libraries_beside_base,
    libraries_for,
)
from argosy.image.inside import (
    AGENTS_LABEL,
    APP,
    FLEET_FILE,
    HEALTH,
    PATH,
    START,
    STATE,
    STOP_SIGNAL,
    USER_ID,
    VARIABLES,
)
from argosy.image.lock import Lock
from argosy.image.owntests import used_tests
from argosy.image.plan import Image
from argosy.image.sbom import bill_of_materials
from argosy.image.wheels import Wheel, WheelHouse, unpack
from argosy.image.whole import write_whole

LayOut = Callable[[Path], None]
SITE: Final = f"usr/local/lib/python{PYTHON}/dist-packages"
IMAGE_ANNOTATION: Final = "argosy.image"
_EPOCH: Final = "1970-01-01T00:00:00Z"
# What overlay file systems and registries take without asking, with room for the other layers.
_MOST_LAYERS: Final = 100
_SECOND_NS: Final = 10**9


class Built(msgspec.Struct, frozen=True):
    """One image that was built.

    layers: from the base up. variables: of its configuration. unpacked_bytes: the sum of its files;
    stored_bytes: of its blobs.
    """

    image: Image
    manifest: Blob
    layers: tuple[Blob, ...]
    bill: bytes
    variables: dict[str, str] = {}

    @property
    def unpacked_bytes(self) -> int:
        return sum(layer.unpacked_bytes for layer in self.layers)

    @property
    def stored_bytes(self) -> int:
        return self.manifest.size_bytes + sum(layer.size_bytes for layer in self.layers)


class Builder:
    """Builds images of one fleet from one lock.

    cache: what it may keep, and read again. given: a base in place of the lock's, whose packages then only
    compile.
    """

    def __init__(
        self, containers: Containers, lock: Lock, store: Store, cache: Path, given: Given | None = None
    ) -> None:
        self.given = given
        self.site = SITE if given is None else given.site
        self.containers = containers
        self.lock = lock
        self.store = store
        self.cache = cache
        self.house = WheelHouse(cache)
        self.root = Path(containers.fleet.path).parent
        self._base: Fetched | None = None

    def build(self, image: Image) -> Built:
        """Build one image; raises as what fetches packages and wheels does."""
        wheels = self.lock.wheels_for(image.packages)
        bill = bill_of_materials(
            image.reference,
            [
                *(self.lock.base if self.given is None else ()),
                *(item for name in image.system for item in self.lock.system[name]),
            ],
            wheels,
        )
        layers = (
            *self.base_layers(),
            *(self.system_layer(name) for name in image.system),
            *self.wheel_layers(wheels, self.tests_for(image, wheels)),
            self.argosy_layer(),
            self.app_layer(image, bill),
        )
        config = self.store.add(_encoded(self.config(image, layers)), CONFIG_TYPE)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(),
            "layers": [layer.descriptor() for layer in layers],
            "annotations": {"org.opencontainers.image.title": image.name},
        }
        variables = self.variables(image)
        return Built(image, self.store.add(_encoded(manifest), MANIFEST_TYPE), layers, bill, variables)

    # ---- layers

    def base(self) -> Fetched:
        if self._base is None:
            self._base = fetch_packages(self.lock.base, self.cache)
        return self._base

    def base_layers(self) -> tuple[Blob, ...]:
        if self.given is None:
            return (self.base_layer(),)
        entries = tuple(fitting_entries(self.given))
        key = f"fitting\n{msgspec.json.encode(entries).decode()}"
        return (*self.given.layers, self.store.layer(key, lambda _: entries))

    def base_layer(self) -> Blob:
        return self.store.layer(base_key(self.lock.base), lambda folder: base_entries(self.base(), folder))

    def system_layer(self, name: str) -> Blob:
        """Return the layer of a package of Debian: its own files, and the libraries that these need."""
        packages = self.lock.system[name]
        key = "\n".join(["system", name, *(package.sha256 for package in packages)])

        def entries(_: Path) -> Iterator[Entry]:
            whole = Path(fetch_packages(packages, self.cache).tree)
            own = Path(fetch_packages(tuple(item for item in packages if item.name == name), self.cache).tree)
            kept = [
                entry
                for entry in entries_below(own)
                if entry.path.startswith(("usr/lib/", "usr/bin/", "usr/share/alsa/"))
            ]
            yield from kept
            yield from libraries_for([Path(entry.source) for entry in kept if entry.source], whole)

        return self.store.layer(key, entries)

    def tests_for(self, image: Image, wheels: tuple[Wheel, ...]) -> tuple[str, ...]:
        """Return the modules of packages' tests that something in an image asks for."""
        own = used_tests(image.files, lambda name: (self.root / name).read_bytes())
        return tuple(sorted({*own, *(word for wheel in wheels for word in wheel.tests)}))

    def wheel_layers(self, wheels: tuple[Wheel, ...], tests: tuple[str, ...]) -> Iterator[Blob]:
        """Yield a layer for each wheel; what is beyond the limit of layers shares the last one."""
        room = _MOST_LAYERS - (len(self.given.layers) if self.given is not None else 0)
        alone, rest = wheels[:room], wheels[room:]
        for wheel in alone:
            yield self.wheel_layer((wheel,), tests)
        if rest:
            yield self.wheel_layer(rest, tests)

    def wheel_layer(self, wheels: tuple[Wheel, ...], tests: tuple[str, ...]) -> Blob:
        """Return the layer of some wheels. tests: what an image needs of packages' tests."""

        def lay_out(folder: Path) -> None:
            self.house.fetch(wheels)
            for wheel in wheels:
                unpack(self.house.path_of(wheel), folder, self.site, tests)

        key = ["wheel without unasked tests", *(wheel.sha256 for wheel in wheels), *tests]
        return self.compiled_layer("\n".join(key), lay_out)

    def argosy_layer(self) -> Blob:
        key = f"argosy\n{argosy.__version__}\n{digest_of_argosy()}"
        return self.compiled_layer(key, lambda folder: lay_out_argosy(folder, self.site))

    def compiled_layer(self, key: str, lay_out: LayOut) -> Blob:
        """Return the layer of what `lay_out` puts below a folder, with its bytecode."""

        def entries(folder: Path) -> Iterator[Entry]:
            lay_out(folder)
            tree = self.base().tree
            compile_below(interpreter(tree), tree, folder)
            return chain(entries_below(folder), libraries_beside_base(folder, Path(tree)))

        return self.store.layer(f"{base_key(self.lock.base)}\n{self.site}\nwith libraries\n{key}", entries)

    def app_layer(self, image: Image, bill: bytes) -> Blob:
        """Return the layer of the agents' own files, of data that they name, the fleet file, and the bill."""
        files = (*image.files, *data_files(self.root, image.files))
        modules = [name for name in files if name.endswith(".py")]
        tree = self.base().tree
        cache = BytecodeCache(self.cache, interpreter(tree), tree)
        compiled = cache.compiled(self.root, modules)
        entries = [
            *(Entry(f"{APP}/{name}"[1:], "file", source=str(self.root / name)) for name in files),
            *(
                Entry(f"{APP}/{cached_name(name)}"[1:], "file", source=str(path))
                for name, path in compiled.items()
            ),
            Entry(FLEET_FILE[1:], "file", data=self.containers.text.encode()),
            Entry("usr/share/argosy/bill.cdx.json", "file", data=bill),
        ]
        whole = hashlib.sha256()
        for entry in entries:
            whole.update(f"{entry.path} {hashlib.sha256(entry.bytes()).hexdigest()}\n".encode())
        return self.store.layer(f"app\n{whole.hexdigest()}", lambda _: entries)

    # ---- configuration

    def variables(self, image: Image) -> dict[str, str]:
        """Return the variables of an image: those of its base, and argosy's, which go before."""
        services = [service for service in self.containers.services if service.image.name == image.name]
        alone = {"ARGOSY_MACHINE": services[0].name} if len(services) == 1 else {}
        inherited = self.given.variables if self.given is not None else {}
        return {"PATH": PATH, **inherited, **VARIABLES, **alone}

    def config(self, image: Image, layers: tuple[Blob, ...]) -> dict[str, Any]:
        services = [service for service in self.containers.services if service.image.name == image.name]
        ports = sorted({port for service in services for port in service.ports})
        labels = {
            "org.opencontainers.image.title": image.name,
            "org.opencontainers.image.base.name": "debian" if self.given is None else self.given.name,
            **({"org.opencontainers.image.base.digest": self.given.digest} if self.given is not None else {}),
            AGENTS_LABEL: ",".join(image.agents),
            "argosy.fleet": image.project,
            **({"argosy.gpu": image.gpu} if image.gpu else {}),
        }
        return {
            "created": _EPOCH,
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": f"{USER_ID}:{USER_ID}",
                "Env": [f"{name}={value}" for name, value in sorted(self.variables(image).items())],
                "Entrypoint": list(START),
                "WorkingDir": APP,
                "Volumes": {STATE: {}},
                "ExposedPorts": {f"{port}/tcp": {} for port in ports},
                "Labels": labels,
                "StopSignal": STOP_SIGNAL,
                "Healthcheck": {
                    "Test": ["CMD", *HEALTH],
                    "Interval": 10 * _SECOND_NS,
                    "Timeout": 5 * _SECOND_NS,
                    "StartPeriod": int(max(service.start_s for service in services)) * _SECOND_NS,
                    "Retries": 3,
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": _EPOCH, "created_by": "argosy image build"} for _ in layers],
        }


def write_layout(folder: Path, store: Store, built: list[Built], named: list[str], tag: str) -> None:
    """Write an OCI layout of these images; blobs are links where they can be.

    Images of another name that are there already stay; blobs that nobody refers to go. named: images that get
    their name. The others are there by their digest alone.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    manifests = _kept(folder, {item.image.name for item in built})
    for item in built:
        reference = f"{item.image.reference}:{tag}"
        name = {"org.opencontainers.image.ref.name": reference} if item.image.name in named else {}
        annotations = {IMAGE_ANNOTATION: item.image.name, **name}
        manifests.append({**item.manifest.descriptor(), "annotations": annotations})
    before = {each.name for each in blobs.iterdir()}
    try:
        wanted = {name for item in manifests for name in _carry(item["digest"], store, blobs)}
    except OSError:
        _keep_only(before, blobs)
        raise
    write_whole(folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    write_whole(folder / "index.json", _encoded(index))
    # Last: until the index is another one, it means what is there.
    _keep_only(wanted, blobs)


def _keep_only(names: set[str], blobs: Path) -> None:
    for path in blobs.iterdir():
        if path.name not in names:
            path.unlink()


def _kept(folder: Path, names: set[str]) -> list[dict[str, Any]]:
    """Return the descriptors of images that a layout has beside those of `names`."""
    try:
        index = msgspec.json.decode((folder / "index.json").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return []
    found: list[dict[str, Any]] = index.get("manifests", [])
    return [item for item in found if item.get("annotations", {}).get(IMAGE_ANNOTATION) not in {None, *names}]


def _carry(digest: str, store: Store, blobs: Path) -> set[str]:
    """Bring an image into a layout; return the names of its blobs."""
    first = blobs / digest.removeprefix("sha256:")
    if not first.exists():
        _link(store.path_of(digest), first)
    manifest = msgspec.json.decode(first.read_bytes())
    digests = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
    for each in digests:
        target = blobs / each.removeprefix("sha256:")
        if not target.exists():
            _link(store.path_of(each), target)
    return {each.removeprefix("sha256:") for each in (digest, *digests)}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        write_whole(target, source.read_bytes())


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)
