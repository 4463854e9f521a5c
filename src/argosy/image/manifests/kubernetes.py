"""Writes Kubernetes manifests of a fleet: for each container a Deployment, a Service and a NetworkPolicy.

Containers themselves wait for the agents that they need, so a single pod that is restarted, for example after
the loss of a node, waits as it does at the start of the fleet. Values that look like secrets come from a
Secret that the user creates; they are not in the manifests.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any, Final

from argosy.fleet.yaml_emitter import dump_document, literal_block
from argosy.image.plan.container_plan import ContainerPlan, ContainerService
from argosy.image.plan.grouping import slug
from argosy.image.runtime.image_paths import (
    AGENTS_LABEL,
    ENTRYPOINT,
    FLEET_FILE,
    HEALTH_COMMAND,
    IMAGE_VARIABLES,
    LIVENESS_COMMAND,
    RUNTIME_DIR,
    STATE_DIR,
    TEMP_DIR,
    USER_ID,
)

KubernetesManifest = dict[str, Any]
_CONFIG_MAP_SUFFIX: Final = "fleet"
_PART_OF_LABEL: Final = "app.kubernetes.io/part-of"
_NAME_LABEL: Final = "app.kubernetes.io/name"
MACHINE_LABEL: Final = "argosy.machine"


def render_manifests(containers: ContainerPlan) -> str:
    """Return the manifests as YAML documents; the same fleet always gives the same text."""
    return "".join(f"---\n{dump_document(manifest)}" for manifest in build_manifests(containers))


def build_manifests(containers: ContainerPlan) -> list[KubernetesManifest]:
    """Return the manifests in the order in which to apply them."""
    found = [_config_map(containers)]
    for service in containers.services:
        if service.ports:
            found.append(_service(service))
    found += [_network_policy(service, containers) for service in containers.services]
    found += [_deployment(service, containers) for service in containers.services]
    return found


def _labels(service: ContainerService) -> dict[str, str]:
    labels = {_NAME_LABEL: service.name, _PART_OF_LABEL: service.image.project}
    return {**labels, MACHINE_LABEL: slug(service.machine)} if service.machine else labels


def _config_map(containers: ContainerPlan) -> KubernetesManifest:
    project = containers.services[0].image.project
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _config_map_name(project), "labels": {_PART_OF_LABEL: project}},
        "data": {"fleet.yaml": literal_block(containers.fleet_text)},
    }


def _config_map_name(project: str) -> str:
    return f"{project}-{_CONFIG_MAP_SUFFIX}"


def _service(service: ContainerService) -> KubernetesManifest:
    """Return a headless Service: its name resolves to the pod even before the pod is ready.

    Agents may connect to agents that are not ready yet; they wait only for their needs.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "labels": _labels(service)},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {_NAME_LABEL: service.name, _PART_OF_LABEL: service.image.project},
            "ports": [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in service.ports],
        },
    }


def _network_policy(service: ContainerService, containers: ContainerPlan) -> KubernetesManifest:
    """Return a policy that allows traffic along the needs and wants of the agents, and to DNS."""
    dns_rule = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    callers = {each.name: each.connects_to.get(service.name, ()) for each in containers.services}
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
                dns_rule,
                *(
                    {"to": [{"podSelector": _selector(name, service)}], "ports": _policy_ports(ports)}
                    for name, ports in service.connects_to.items()
                    if ports
                ),
            ],
        },
    }


def _selector(name: str, service: ContainerService) -> dict[str, Any]:
    return {"matchLabels": {_NAME_LABEL: name, _PART_OF_LABEL: service.image.project}}


def _policy_ports(ports: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def _deployment(service: ContainerService, containers: ContainerPlan) -> KubernetesManifest:
    agents = {AGENTS_LABEL: ",".join(service.agents)}
    # A new digest restarts the pods: a file that is mounted by `subPath` is not updated in a running pod.
    digest = hashlib.sha256(containers.fleet_text.encode()).hexdigest()[:16]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": service.name, "labels": _labels(service), "annotations": agents},
        "spec": {
            "replicas": 1,
            # An agent must not run twice at the same time.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {_NAME_LABEL: service.name, _PART_OF_LABEL: service.image.project}},
            "template": {
                "metadata": {
                    "labels": _labels(service),
                    "annotations": {**agents, "argosy.fleet-digest": digest},
                },
                "spec": dict(_pod_spec(service)),
            },
        },
    }


def _pod_spec(service: ContainerService) -> Iterator[tuple[str, Any]]:
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
        yield "nodeSelector", {MACHINE_LABEL: slug(service.machine)}
    yield "containers", [dict(_container_spec(service))]
    yield (
        "volumes",
        [
            {"name": "fleet", "configMap": {"name": _config_map_name(service.image.project)}},
            {"name": "state", "emptyDir": {}},
            {"name": "run", "emptyDir": {"medium": "Memory"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    )


def _container_spec(service: ContainerService) -> Iterator[tuple[str, Any]]:
    yield "name", service.name
    yield "image", f"{service.image.reference}:latest"
    yield "imagePullPolicy", "IfNotPresent"
    yield "command", list(ENTRYPOINT)
    yield "env", list(_env_variables(service))
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
    period_s = 1
    exec_probe = {"exec": {"command": list(HEALTH_COMMAND)}, "timeoutSeconds": 5}
    yield (
        "startupProbe",
        {**exec_probe, "periodSeconds": period_s, "failureThreshold": math.ceil(service.start_s / period_s)},
    )
    yield "readinessProbe", {**exec_probe, "periodSeconds": 5, "failureThreshold": 2}
    yield (
        "livenessProbe",
        {
            "exec": {"command": list(LIVENESS_COMMAND)},
            "timeoutSeconds": 5,
            "periodSeconds": 10,
            "failureThreshold": 3,
        },
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
            {"name": "state", "mountPath": STATE_DIR},
            {"name": "run", "mountPath": RUNTIME_DIR},
            {"name": "tmp", "mountPath": TEMP_DIR},
        ],
    )


def _env_variables(service: ContainerService) -> Iterator[dict[str, Any]]:
    yield {"name": "ENV_TYPE", "value": IMAGE_VARIABLES["ENV_TYPE"]}
    yield {"name": "ARGOSY_HUB", "value": IMAGE_VARIABLES["ARGOSY_HUB"]}
    yield {"name": "ARGOSY_MACHINE", "value": service.name}
    for name in service.secrets:
        reference = {"name": f"{service.image.project}-secrets", "key": name}
        yield {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _resources(service: ContainerService) -> dict[str, Any]:
    """Return requests and limits; a GPU is assigned whole, to one container."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    if service.memory_bytes is not None:
        limits["memory"] = requests["memory"] = str(service.memory_bytes)
    if service.cpus is not None:
        limits["cpu"] = requests["cpu"] = f"{math.ceil(service.cpus * 1000)}m"
    if service.has_gpu:
        limits["nvidia.com/gpu"] = "1"
    return {key: value for key, value in (("limits", limits), ("requests", requests)) if value}
