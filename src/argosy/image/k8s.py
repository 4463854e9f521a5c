"""Manifests of a fleet for Kubernetes: for each container a Deployment, a Service and a NetworkPolicy.

The container itself waits for the agents that its own need, so that a pod that starts alone, after a node
was lost, waits as one does at the fleet's start. Values that look secret come from a Secret that a person
makes; no file has one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any, Final

from argosy.fleet.yamltext import block, document
from argosy.image.containers import Containers, Service
from argosy.image.grouping import slug
from argosy.image.inside import (
    AGENTS_LABEL,
    ALIVE,
    FLEET_FILE,
    HEALTH,
    RUN,
    START,
    STATE,
    TEMPORARY,
    USER_ID,
    VARIABLES,
)

Manifest = dict[str, Any]
_CONFIG: Final = "fleet"
_PART: Final = "app.kubernetes.io/part-of"
_NAME: Final = "app.kubernetes.io/name"
MACHINE: Final = "argosy.machine"


def k8s_text(containers: Containers) -> str:
    """Return the manifests, a document each; the same fleet always gives the same text."""
    return "".join(f"---\n{document(manifest)}" for manifest in manifests(containers))


def manifests(containers: Containers) -> list[Manifest]:
    """Return the manifests in the order in which they are to be applied."""
    found = [_config_map(containers)]
    for service in containers.services:
        if service.ports:
            found.append(_service(service))
    found += [_policy(service, containers) for service in containers.services]
    found += [_deployment(service, containers) for service in containers.services]
    return found


def _labels(service: Service) -> dict[str, str]:
    labels = {_NAME: service.name, _PART: service.image.project}
    return {**labels, MACHINE: slug(service.machine)} if service.machine else labels


def _config_map(containers: Containers) -> Manifest:
    project = containers.services[0].image.project
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _config_name(project), "labels": {_PART: project}},
        "data": {"fleet.yaml": block(containers.text)},
    }


def _config_name(project: str) -> str:
    return f"{project}-{_CONFIG}"


def _service(service: Service) -> Manifest:
    """A Service without an address of its own: its name leads to the pod, before it is ready too.

    Agents of one fleet may talk to those that are not ready yet; whom to wait for is theirs to know.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "labels": _labels(service)},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {_NAME: service.name, _PART: service.image.project},
            "ports": [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in service.ports],
        },
    }


def _policy(service: Service, containers: Containers) -> Manifest:
    """Who may reach a service, and whom it may: along the edges of its agents, and the names' server."""
    names = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    callers = {each.name: each.talks_to.get(service.name, ()) for each in containers.services}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": service.name, "labels": _labels(service)},
        "spec": {
            "podSelector": _selector(service.name, service),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [{"podSelector": _selector(name, service)}], "ports": _policy_ports(ports)}
                for name, ports in callers.items()
                if ports
            ],
            "egress": [
                names,
                *(
                    {"to": [{"podSelector": _selector(name, service)}], "ports": _policy_ports(ports)}
                    for name, ports in service.talks_to.items()
                    if ports
                ),
            ],
        },
    }


def _selector(name: str, service: Service) -> dict[str, Any]:
    return {"matchLabels": {_NAME: name, _PART: service.image.project}}


def _policy_ports(ports: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def _deployment(service: Service, containers: Containers) -> Manifest:
    agents = {AGENTS_LABEL: ",".join(service.agents)}
    # A new fleet file starts the pods anew: a file that is mounted by its name is never replaced.
    digest = hashlib.sha256(containers.text.encode()).hexdigest()[:16]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": service.name, "labels": _labels(service), "annotations": agents},
        "spec": {
            "replicas": 1,
            # Two of one agent at a time would be a fault.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {_NAME: service.name, _PART: service.image.project}},
            "template": {
                "metadata": {
                    "labels": _labels(service),
                    "annotations": {**agents, "argosy.fleet-digest": digest},
                },
                "spec": dict(_pod(service)),
            },
        },
    }


def _pod(service: Service) -> Iterator[tuple[str, Any]]:
    yield "automountServiceAccountToken", False
    yield "enableServiceLinks", False
    yield "terminationGracePeriodSeconds", math.ceil(service.stop_s)
    yield (
        "securityContext",
        {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    )
    if service.machine:
        yield "nodeSelector", {MACHINE: slug(service.machine)}
    yield "containers", [dict(_container(service))]
    yield (
        "volumes",
        [
            {"name": "fleet", "configMap": {"name": _config_name(service.image.project)}},
            {"name": "state", "emptyDir": {}},
            {"name": "run", "emptyDir": {"medium": "Memory"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    )


def _container(service: Service) -> Iterator[tuple[str, Any]]:
    yield "name", service.name
    yield "image", f"{service.image.reference}:latest"
    yield "imagePullPolicy", "IfNotPresent"
    yield "command", list(START)
    yield "env", list(_variables(service))
    if service.env_files:
        yield (
            "envFrom",
            [
                {"secretRef": {"name": f"{service.image.project}-{slug(path)}", "optional": True}}
                for path in service.env_files
            ],
        )
    if service.ports:
        yield (
            "ports",
            [{"name": f"p{port}", "containerPort": port, "protocol": "TCP"} for port in service.ports],
        )
    every_s = 1
    asks = {"exec": {"command": list(HEALTH)}, "timeoutSeconds": 5}
    yield (
        "startupProbe",
        {**asks, "periodSeconds": every_s, "failureThreshold": math.ceil(service.start_s / every_s)},
    )
    yield "readinessProbe", {**asks, "periodSeconds": 5, "failureThreshold": 2}
    yield (
        "livenessProbe",
        {"exec": {"command": list(ALIVE)}, "timeoutSeconds": 5, "periodSeconds": 10, "failureThreshold": 3},
    )
    resources = _resources(service)
    if resources:
        yield "resources", resources
    yield (
        "securityContext",
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    )
    yield (
        "volumeMounts",
        [
            {"name": "fleet", "mountPath": FLEET_FILE, "subPath": "fleet.yaml", "readOnly": True},
            {"name": "state", "mountPath": STATE},
            {"name": "run", "mountPath": RUN},
            {"name": "tmp", "mountPath": TEMPORARY},
        ],
    )


def _variables(service: Service) -> Iterator[dict[str, Any]]:
    yield {"name": "ENV_TYPE", "value": VARIABLES["ENV_TYPE"]}
    yield {"name": "ARGOSY_HUB", "value": VARIABLES["ARGOSY_HUB"]}
    yield {"name": "ARGOSY_MACHINE", "value": service.name}
    for name in service.secrets:
        reference = {"name": f"{service.image.project}-secrets", "key": name}
        yield {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _resources(service: Service) -> dict[str, Any]:
    """Return requests and limits; a GPU is whole, and given to one container alone."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    if service.memory_bytes is not None:
        limits["memory"] = requests["memory"] = str(service.memory_bytes)
    if service.cpus is not None:
        limits["cpu"] = requests["cpu"] = f"{math.ceil(service.cpus * 1000)}m"
    if service.has_gpu:
        limits["nvidia.com/gpu"] = "1"
    return {key: value for key, value in (("limits", limits), ("requests", requests)) if value}
