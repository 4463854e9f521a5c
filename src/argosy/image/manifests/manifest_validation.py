"""Validates manifests beyond the schemas of compose and Kubernetes: names, quantities, probes, GPUs, secrets.

Each check returns faults; `argosy compose` and `argosy k8s` do not print a manifest that has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from argosy.fault import Fault
from argosy.fleet.dependency_graph import strongly_connected_components
from argosy.image.plan.container_fleet_file import may_be_secret

_DNS_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE_NAME: Final = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_QUANTITY: Final = re.compile(r"\d+(?:\.\d+)?(?:[munkMGTPE]|[KMGTPE]i|[eE]\d+)?")
_IMAGE: Final = re.compile(
    r"(?:[a-z0-9]+(?:[._-]+[a-z0-9]+)*/)*[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[\w.${}:-]+)?(?:@sha256:[0-9a-f]{64})?"
)
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")
_PROBE_HANDLERS: Final = frozenset(("exec", "httpGet", "tcpSocket", "grpc"))
_GPU_RESOURCE: Final = "nvidia.com/gpu"


def check_compose(value: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a compose file."""
    services: Mapping[str, Mapping[str, Any]] = value["services"]
    faults = [fault for name, service in services.items() for fault in _check_service(name, service, value)]
    dependencies = {
        name: tuple(need for need in service.get("depends_on", ()) if need in services)
        for name, service in services.items()
    }
    for cycle in (members for members in strongly_connected_components(dependencies) if len(members) > 1):
        faults.append(Fault(cycle[0], "cycle", f"services wait for each other: {', '.join(cycle)}"))
    return faults


def _check_service(name: str, service: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _check_name(name, name, _SERVICE_NAME)
    yield from _check_image(name, service["image"])
    if not service.get("healthcheck", {}).get("test"):
        yield Fault(name, "healthcheck", "the service has no healthcheck of its own")
    for dependency, condition in service.get("depends_on", {}).items():
        if dependency not in value["services"]:
            yield Fault(
                name, "unknown-service", f"waits for `{dependency}`, which is not a service of the file"
            )
        elif condition.get("condition") != "service_healthy":
            message = f"waits for `{dependency}` without `service_healthy`"
            yield Fault(name, "dependency-condition", message)
    for kind in ("networks", "volumes"):
        for item in service.get(kind, ()):
            source = item["source"] if isinstance(item, dict) else item
            if source not in value.get(kind, {}):
                yield Fault(name, "unknown-name", f"`{source}` is not among the {kind} of the file")
    for key, text in service.get("environment", {}).items():
        yield from _check_variable(name, key, text)


def check_manifests(manifests: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Return the faults of Kubernetes manifests."""
    found = list(manifests)
    faults = [fault for manifest in found for fault in _check_manifest(manifest)]
    seen: set[tuple[str, str]] = set()
    for manifest in found:
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key in seen:
            faults.append(Fault(key[1], "duplicate-name", f"there are two objects {key[0]} `{key[1]}`"))
        seen.add(key)
    return faults


def _check_manifest(manifest: Mapping[str, Any]) -> Iterator[Fault]:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    where = f"{kind}/{name}"
    yield from _check_name(where, name, _SERVICE_NAME if kind == "Service" else _DNS_SUBDOMAIN)
    for key, text in manifest["metadata"].get("labels", {}).items():
        if not _LABEL_VALUE.fullmatch(text):
            message = f"label `{key}` is `{text}`, expected at most 63 letters, digits, `-_.`"
            yield Fault(where, "label", message)
    if kind == "Deployment":
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            yield from _check_container(where, container)


def _check_container(where: str, container: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _check_name(where, container["name"], _DNS_LABEL)
    yield from _check_image(where, container["image"])
    for probe in _PROBES:
        handlers = sorted(_PROBE_HANDLERS & set(container.get(probe, {})))
        if len(handlers) != 1:
            found = ", ".join(handlers) or "none"
            yield Fault(where, "probe", f"`{probe}` has the handlers {found}, expected exactly one")
    names = [port["name"] for port in container.get("ports", ())]
    for name in {name for name in names if names.count(name) > 1 or len(name) > 15}:
        yield Fault(where, "port", f"port name `{name}` is used twice, or longer than 15 characters")
    for kind, amounts in container.get("resources", {}).items():
        for resource, amount in amounts.items():
            if not _QUANTITY.fullmatch(str(amount)):
                message = f"{kind}: `{resource}: {amount}` is not a quantity such as 512Mi"
                yield Fault(where, "quantity", message)
            elif resource == _GPU_RESOURCE and not str(amount).isdigit():
                yield Fault(where, "gpu", f"{kind}: `{resource}: {amount}`, expected whole GPUs")
    for variable in container.get("env", ()):
        yield from _check_variable(where, variable["name"], variable.get("value"))


def _check_name(where: str, name: str, pattern: re.Pattern[str]) -> Iterator[Fault]:
    if not pattern.fullmatch(name):
        message = f"`{name}` is not a DNS name, expected at most 63 lower-case letters, digits and `-`"
        yield Fault(where, "name", message)


def _check_image(where: str, reference: str) -> Iterator[Fault]:
    if not _IMAGE.fullmatch(reference):
        yield Fault(where, "image", f"`{reference}` is not an image reference")


def _check_variable(where: str, name: str, value: object) -> Iterator[Fault]:
    if not _VARIABLE_NAME.fullmatch(name):
        yield Fault(where, "variable", f"`{name}` cannot be the name of a variable in a container")
    if isinstance(value, str) and may_be_secret(name, value):
        yield Fault(where, "secret", f"the value of `{name}` would be in the file")
