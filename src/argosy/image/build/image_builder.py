"""Builds images as an OCI layout, without a container engine.

An image has a base, a layer for each distribution, argosy, and the application. Layers are cached by their
inputs and shared by all images with the same distribution. Only images that passed their smoke test have a
name in the layout; see `smoke_test`.
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
from argosy.image.build.app_files import copy_argosy, data_files, digest_of_argosy
from argosy.image.build.base_image import BaseImage, base_image_entries
from argosy.image.build.bytecode_cache import BytecodeCache, pyc_path
from argosy.image.build.oci_layout import REF_NAME, OciManifest
from argosy.image.build.sbom import bill_of_materials
from argosy.image.content.blob_store import (
    CONFIG_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Blob,
    BlobStore,
    LayerEntry,
    entries_in,
)
from argosy.image.content.debian import (
    PYTHON,
    UnpackedPackages,
    base_cache_key,
    base_entries,
    compile_tree,
    extra_libraries,
    fetch_packages,
    interpreter,
    libraries_for,
)
from argosy.image.content.packaged_tests import referenced_tests
from argosy.image.content.staging import write_atomic
from argosy.image.content.wheels import Wheel, WheelCache, unpack_wheel
from argosy.image.lock import ImageLock
from argosy.image.plan.container_plan import ContainerPlan
from argosy.image.plan.image_plan import Image
from argosy.image.runtime.image_paths import (
    AGENTS_LABEL,
    APP_DIR,
    DEFAULT_PATH,
    ENTRYPOINT,
    FLEET_FILE,
    HEALTH_COMMAND,
    IMAGE_VARIABLES,
    STATE_DIR,
    STOP_SIGNAL,
    USER_ID,
)

WriteFiles = Callable[[Path], None]
SITE_PACKAGES: Final = f"usr/local/lib/python{PYTHON}/dist-packages"
IMAGE_ANNOTATION: Final = "argosy.image"
_CREATED: Final = "1970-01-01T00:00:00Z"
# Wheel layers of one image: with the other layers below the limit of overlay file systems and registries.
_MAX_LAYERS: Final = 100
_NS_PER_SECOND: Final = 10**9


class BuiltImage(msgspec.Struct, frozen=True):
    """One image that was built.

    layers: from the base up. variables: of its configuration. unpacked_bytes: the size of its files;
    stored_bytes: the size of its blobs.
    """

    image: Image
    manifest: Blob
    layers: tuple[Blob, ...]
    sbom: bytes
    variables: dict[str, str] = {}

    @property
    def unpacked_bytes(self) -> int:
        return sum(layer.unpacked_bytes for layer in self.layers)

    @property
    def stored_bytes(self) -> int:
        return self.manifest.size_bytes + sum(layer.size_bytes for layer in self.layers)


class ImageBuilder:
    """Builds images of one fleet from one lock.

    cache: the folder of downloads and bytecode. base_image: a base in place of the lock's, whose packages are
    then used only to compile.
    """

    def __init__(
        self,
        containers: ContainerPlan,
        lock: ImageLock,
        store: BlobStore,
        cache: Path,
        base_image: BaseImage | None = None,
    ) -> None:
        self.base_image = base_image
        self.site_packages = SITE_PACKAGES if base_image is None else base_image.site_packages
        self.containers = containers
        self.lock = lock
        self.store = store
        self.cache = cache
        self.wheel_cache = WheelCache(cache)
        self.root = Path(containers.fleet.path).parent
        self._debian_packages: UnpackedPackages | None = None

    def build(self, image: Image) -> BuiltImage:
        """Build one image; raises as `fetch_packages` and `WheelCache.fetch` do."""
        wheels = self.lock.wheels_for(image.packages)
        sbom = bill_of_materials(
            image.reference,
            [
                *(self.lock.base if self.base_image is None else ()),
                *(item for name in image.system for item in self.lock.system[name]),
            ],
            wheels,
        )
        layers = (
            *self.base_layers(),
            *(self.system_layer(name) for name in image.system),
            *self.wheel_layers(wheels, self.required_tests(image, wheels)),
            self.argosy_layer(),
            self.app_layer(image, sbom),
        )
        config = self.store.add_blob(msgspec.json.encode(self.config(image, layers)), CONFIG_TYPE)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(),
            "layers": [layer.descriptor() for layer in layers],
            "annotations": {"org.opencontainers.image.title": image.name},
        }
        variables = self.variables(image)
        return BuiltImage(
            image, self.store.add_blob(msgspec.json.encode(manifest), MANIFEST_TYPE), layers, sbom, variables
        )

    # ---- layers

    def debian_packages(self) -> UnpackedPackages:
        if self._debian_packages is None:
            self._debian_packages = fetch_packages(self.lock.base, self.cache)
        return self._debian_packages

    def base_layers(self) -> tuple[Blob, ...]:
        if self.base_image is None:
            return (self.debian_base_layer(),)
        entries = tuple(base_image_entries(self.base_image))
        key = f"base image files\n{msgspec.json.encode(entries).decode()}"
        return (*self.base_image.layers, self.store.get_or_build_layer(key, lambda _: entries))

    def debian_base_layer(self) -> Blob:
        return self.store.get_or_build_layer(
            base_cache_key(self.lock.base), lambda folder: base_entries(self.debian_packages(), folder)
        )

    def system_layer(self, name: str) -> Blob:
        """Return the layer of a Debian package: its own files, and the libraries that these need."""
        packages = self.lock.system[name]
        key = "\n".join(["system", name, *(package.sha256 for package in packages)])

        def entries(_: Path) -> Iterator[LayerEntry]:
            whole_tree = Path(fetch_packages(packages, self.cache).tree)
            own_tree = Path(
                fetch_packages(tuple(item for item in packages if item.name == name), self.cache).tree
            )
            kept = [
                entry
                for entry in entries_in(own_tree)
                if entry.path.startswith(("usr/lib/", "usr/bin/", "usr/share/alsa/"))
            ]
            yield from kept
            yield from libraries_for([Path(entry.source) for entry in kept if entry.source], whole_tree)

        return self.store.get_or_build_layer(key, entries)

    def required_tests(self, image: Image, wheels: tuple[Wheel, ...]) -> tuple[str, ...]:
        """Return the modules of packages' tests that agents or wheels of an image import."""
        own = referenced_tests(image.files, lambda name: (self.root / name).read_bytes())
        return tuple(sorted({*own, *(module for wheel in wheels for module in wheel.tests)}))

    def wheel_layers(self, wheels: tuple[Wheel, ...], tests: tuple[str, ...]) -> Iterator[Blob]:
        """Yield a layer for each wheel; wheels beyond the limit of layers share the last one."""
        layer_limit = _MAX_LAYERS - (len(self.base_image.layers) if self.base_image is not None else 0)
        own_layer, shared_layer = wheels[:layer_limit], wheels[layer_limit:]
        for wheel in own_layer:
            yield self.wheel_layer((wheel,), tests)
        if shared_layer:
            yield self.wheel_layer(shared_layer, tests)

    def wheel_layer(self, wheels: tuple[Wheel, ...], tests: tuple[str, ...]) -> Blob:
        """Return the layer of some wheels. tests: modules of packages' tests that an image needs."""

        def write_files(folder: Path) -> None:
            self.wheel_cache.fetch(wheels)
            for wheel in wheels:
                unpack_wheel(self.wheel_cache.path_of(wheel), folder, self.site_packages, tests)

        key = ["wheel without unused tests", *(wheel.sha256 for wheel in wheels), *tests]
        return self.compiled_layer("\n".join(key), write_files)

    def argosy_layer(self) -> Blob:
        key = f"argosy\n{argosy.__version__}\n{digest_of_argosy()}"
        return self.compiled_layer(key, lambda folder: copy_argosy(folder, self.site_packages))

    def compiled_layer(self, key: str, write_files: WriteFiles) -> Blob:
        """Return the layer of the files that `write_files` writes below a folder, with their bytecode."""

        def entries(folder: Path) -> Iterator[LayerEntry]:
            write_files(folder)
            tree = self.debian_packages().tree
            compile_tree(interpreter(tree), tree, folder)
            return chain(entries_in(folder), extra_libraries(folder, Path(tree)))

        return self.store.get_or_build_layer(
            f"{base_cache_key(self.lock.base)}\n{self.site_packages}\nwith libraries\n{key}", entries
        )

    def app_layer(self, image: Image, sbom: bytes) -> Blob:
        """Return the layer of the agents' files, data files that they name, the fleet file and the SBOM."""
        files = (*image.files, *data_files(self.root, image.files))
        modules = [name for name in files if name.endswith(".py")]
        tree = self.debian_packages().tree
        cache = BytecodeCache(self.cache, interpreter(tree), tree)
        compiled = cache.compile_modules(self.root, modules)
        entries = [
            *(LayerEntry(f"{APP_DIR}/{name}"[1:], "file", source=str(self.root / name)) for name in files),
            *(
                LayerEntry(f"{APP_DIR}/{pyc_path(name)}"[1:], "file", source=str(path))
                for name, path in compiled.items()
            ),
            LayerEntry(FLEET_FILE[1:], "file", data=self.containers.fleet_text.encode()),
            LayerEntry("usr/share/argosy/sbom.cdx.json", "file", data=sbom),
        ]
        digest = hashlib.sha256()
        for entry in entries:
            digest.update(f"{entry.path} {hashlib.sha256(entry.read()).hexdigest()}\n".encode())
        return self.store.get_or_build_layer(f"app\n{digest.hexdigest()}", lambda _: entries)

    # ---- configuration

    def variables(self, image: Image) -> dict[str, str]:
        """Return the variables of an image: those of its base, overridden by argosy's."""
        services = self.containers.services_of(image)
        machine_variable = {"ARGOSY_MACHINE": services[0].name} if len(services) == 1 else {}
        inherited = self.base_image.variables if self.base_image is not None else {}
        return {"PATH": DEFAULT_PATH, **inherited, **IMAGE_VARIABLES, **machine_variable}

    def config(self, image: Image, layers: tuple[Blob, ...]) -> dict[str, Any]:
        services = self.containers.services_of(image)
        base_image = self.base_image
        ports = sorted({port for service in services for port in service.ports})
        labels = {
            "org.opencontainers.image.title": image.name,
            "org.opencontainers.image.base.name": base_image.name if base_image else "debian",
            **({"org.opencontainers.image.base.digest": base_image.digest} if base_image else {}),
            AGENTS_LABEL: ",".join(image.agents),
            "argosy.fleet": image.project,
            **({"argosy.gpu": image.gpu} if image.gpu else {}),
        }
        return {
            "created": _CREATED,
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": f"{USER_ID}:{USER_ID}",
                "Env": [f"{name}={value}" for name, value in sorted(self.variables(image).items())],
                "Entrypoint": list(ENTRYPOINT),
                "WorkingDir": APP_DIR,
                "Volumes": {STATE_DIR: {}},
                "ExposedPorts": {f"{port}/tcp": {} for port in ports},
                "Labels": labels,
                "StopSignal": STOP_SIGNAL,
                "Healthcheck": {
                    "Test": ["CMD", *HEALTH_COMMAND],
                    "Interval": 10 * _NS_PER_SECOND,
                    "Timeout": 5 * _NS_PER_SECOND,
                    "StartPeriod": int(max(service.start_s for service in services)) * _NS_PER_SECOND,
                    "Retries": 3,
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": _CREATED, "created_by": "argosy image build"} for _ in layers],
        }


def write_layout(
    folder: Path, store: BlobStore, built: list[BuiltImage], tagged: list[str], tag: str
) -> None:
    """Write an OCI layout of these images; blobs are hard links to the store where possible.

    Existing images of other names are kept; unreferenced blobs are removed. tagged: names of images that get
    a name in the layout; the others can be found by digest only.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    manifests = _other_descriptors(folder, {item.image.name for item in built})
    for item in built:
        reference = f"{item.image.reference}:{tag}"
        name = {REF_NAME: reference} if item.image.name in tagged else {}
        annotations = {IMAGE_ANNOTATION: item.image.name, **name}
        manifests.append({**item.manifest.descriptor(), "annotations": annotations})
    before = {path.name for path in blobs.iterdir()}
    try:
        wanted = {name for item in manifests for name in _copy_image(item["digest"], store, blobs)}
    except OSError:
        _remove_other_blobs(before, blobs)
        raise
    write_atomic(folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    write_atomic(folder / "index.json", msgspec.json.encode(index))
    # Last: until the new index is written, the old one needs its blobs.
    _remove_other_blobs(wanted, blobs)


def _remove_other_blobs(names: set[str], blobs: Path) -> None:
    for path in blobs.iterdir():
        if path.name not in names:
            path.unlink()


def _other_descriptors(folder: Path, names: set[str]) -> list[dict[str, Any]]:
    """Return the descriptors of a layout's images that are not among `names`."""
    try:
        index = msgspec.json.decode((folder / "index.json").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return []
    found: list[dict[str, Any]] = index.get("manifests", [])
    return [item for item in found if item.get("annotations", {}).get(IMAGE_ANNOTATION) not in {None, *names}]


def _copy_image(digest: str, store: BlobStore, blobs: Path) -> set[str]:
    """Copy the blobs of an image into a layout; return their names."""
    manifest = msgspec.json.decode(_link_or_copy(digest, store, blobs).read_bytes(), type=OciManifest)
    return {_link_or_copy(each, store, blobs).name for each in (digest, *manifest.blob_digests)}


def _link_or_copy(digest: str, store: BlobStore, blobs: Path) -> Path:
    source = store.path_of(digest)
    target = blobs / source.name
    if not target.exists():
        try:
            os.link(source, target)
        except OSError:  # another file system
            write_atomic(target, source.read_bytes())
    return target
