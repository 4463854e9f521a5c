"""Where things are inside an image, and what runs there: what builders, files and checks agree on."""

from __future__ import annotations

from typing import Final

APP: Final = "/app"
FLEET_FILE: Final = f"{APP}/fleet.yaml"
STATE: Final = "/state"
RUN: Final = "/run/argosy"
TEMPORARY: Final = "/tmp"
USER_ID: Final = 10001
USER: Final = "argosy"
ROOT_LINE: Final = "root:x:0:0:root:/root:/usr/sbin/nologin\n"
ROOT_GROUP_LINE: Final = "root:x:0:\n"
USER_LINE: Final = f"{USER}:x:{USER_ID}:{USER_ID}::{STATE}:/usr/sbin/nologin\n"
GROUP_LINE: Final = f"{USER}:x:{USER_ID}:\n"
PATH: Final = "/usr/local/bin:/usr/bin:/bin"
STOP_SIGNAL: Final = "SIGTERM"
AGENTS_LABEL: Final = "argosy.agents"

# Exec form: there is no shell in an image.
START: Final = ("python3", "-m", "argosy.image.first")
HEALTH: Final = ("python3", "-m", "argosy.image.checkup")
ALIVE: Final = (*HEALTH, "--alive")

# Where an image is read-only, these may be written; the state outlives a restart.
WRITABLE: Final = (STATE, RUN, TEMPORARY)
VARIABLES: Final = {
    "ENV_TYPE": "container",
    "ARGOSY_HUB": "off",
    "HOME": STATE,
    "XDG_STATE_HOME": STATE,
    "XDG_RUNTIME_DIR": RUN,
    "XDG_CACHE_HOME": f"{TEMPORARY}/cache",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
