"""Paths, user and commands inside an image, shared by its builder, its manifests and its smoke test."""

from __future__ import annotations

from typing import Final

APP_DIR: Final = "/app"
FLEET_FILE: Final = f"{APP_DIR}/fleet.yaml"
STATE_DIR: Final = "/state"
RUNTIME_DIR: Final = "/run/argosy"
TEMP_DIR: Final = "/tmp"
USER_ID: Final = 10001
USER_NAME: Final = "argosy"
ROOT_PASSWD_LINE: Final = "root:x:0:0:root:/root:/usr/sbin/nologin\n"
ROOT_GROUP_LINE: Final = "root:x:0:\n"
USER_PASSWD_LINE: Final = f"{USER_NAME}:x:{USER_ID}:{USER_ID}::{STATE_DIR}:/usr/sbin/nologin\n"
USER_GROUP_LINE: Final = f"{USER_NAME}:x:{USER_ID}:\n"
DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
STOP_SIGNAL: Final = "SIGTERM"
AGENTS_LABEL: Final = "argosy.agents"

# Exec form: images have no shell.
ENTRYPOINT: Final = ("python3", "-m", "argosy.image.runtime.container_init")
HEALTH_COMMAND: Final = ("python3", "-m", "argosy.image.runtime.healthcheck")
LIVENESS_COMMAND: Final = (*HEALTH_COMMAND, "--alive")

IMAGE_VARIABLES: Final = {
    "ENV_TYPE": "container",
    "ARGOSY_HUB": "off",
    "HOME": STATE_DIR,
    "XDG_STATE_HOME": STATE_DIR,
    "XDG_RUNTIME_DIR": RUNTIME_DIR,
    "XDG_CACHE_HOME": f"{TEMP_DIR}/cache",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
