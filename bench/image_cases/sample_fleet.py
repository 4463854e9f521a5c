"""A fleet whose groups import typical packages of groups without a GPU; its agents do not use them."""

from __future__ import annotations

from pathlib import Path

GROUPS = {
    "audio": ("librosa", "soundfile", "numpy"),
    "data": ("pandas", "sklearn", "scipy"),
    "sensing": ("cv2", "numpy"),
    "speech": ("sounddevice", "numpy"),
    "web": ("bs4", "requests", "PIL", "redis"),
}


def write_sample_fleet(folder: Path) -> Path:
    """Write the fleet; return its file."""
    lines = ["fleet: wares", "agents:"]
    for number, (group, modules) in enumerate(GROUPS.items()):
        name = group.title()
        lines.append(f"  {name}: {{run: {group}_agent:{name}, group: {group}, port: {7400 + number}}}")
        imports = "".join(f"import {module}\n" for module in modules)
        text = f"{imports}from argosy.agent import Agent\n\n\nclass {name}(Agent): ...\n"
        (folder / f"{group}_agent.py").write_text(text)
    file = folder / "fleet.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file
