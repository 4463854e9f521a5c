"""The CycloneDX bill of materials of an image; equal images have equal ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

import argosy
from argosy.image.content.debian import DebianPackage
from argosy.image.content.wheels import Wheel

_UUID_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # of URLs, RFC 9562


def bill_of_materials(image: str, packages: Iterable[DebianPackage], wheels: Iterable[Wheel]) -> bytes:
    """Return the bill of materials of an image as JSON: Debian packages, wheels, and argosy itself."""
    components = [
        *(
            _component(each, f"pkg:deb/debian/{each.name}@{quote(each.version)}?arch=amd64")
            for each in packages
        ),
        *(_component(each, _package_url(each)) for each in wheels),
        _argosy_component(),
    ]
    serial_number = uuid.uuid5(_UUID_NAMESPACE, msgspec.json.encode([image, components]).decode())
    value: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial_number}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "name": image, "bom-ref": image},
            "tools": {
                "components": [{"type": "application", "name": "argosy", "version": argosy.__version__}]
            },
        },
        "components": components,
        "dependencies": list(_dependencies(wheels)),
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _argosy_component() -> dict[str, Any]:
    url = f"pkg:pypi/argosy@{argosy.__version__}"
    return {
        "type": "application",
        "name": "argosy",
        "version": argosy.__version__,
        "purl": url,
        "bom-ref": url,
    }


def _package_url(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{quote(wheel.version)}"


def _component(item: DebianPackage | Wheel, url: str) -> dict[str, Any]:
    return {
        "type": "library",
        "name": item.name,
        "version": item.version,
        "purl": url,
        "bom-ref": url,
        "hashes": [{"alg": "SHA-256", "content": item.sha256}],
    }


def _dependencies(wheels: Iterable[Wheel]) -> Iterator[dict[str, Any]]:
    urls = {wheel.name: _package_url(wheel) for wheel in wheels}
    for wheel in wheels:
        yield {"ref": urls[wheel.name], "dependsOn": [urls[need] for need in wheel.needs if need in urls]}
