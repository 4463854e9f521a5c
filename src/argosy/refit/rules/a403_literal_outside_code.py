"""A literal address outside code

In YAML, Compose files, Dockerfiles, environment files and shell scripts. Such files are copied from machine
to machine with the code, and keep the address of the first. Not reported: comments and messages, subnets,
lists of allowed hosts, values that a script compares, and a container's probe of itself (where `localhost` is
right). The fleet file is the place for addresses and is skipped.

Instead: a variable that the environment of the fleet file sets (`${MAINPC_IP}`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from argosy.refit.analysis.addresses.address_literals import can_hold_address, find_addresses
from argosy.refit.analysis.addresses.name_semantics import is_comparison_name, split_name_words
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import TextFile

_FILE_PATTERNS = (
    *("*.yaml", "*.yml", "Dockerfile*", "*.Dockerfile", "*.dockerfile", "Containerfile*", "*.env", ".env*"),
    *(
        "*.sh",
        "*.bash",
        "*.zsh",
        "*.ps1",
        "*.bat",
        "*.cmd",
        "*.toml",
        "*.ini",
        "*.cfg",
        "*.conf",
        "Procfile*",
    ),
)
_LINE_KEY = re.compile(
    r"^\s*(?:-\s*)?(?:export\s+|set\s+|ENV\s+|ARG\s+|\$env:)?[\"']?([A-Za-z_][\w.-]*)[\"']?\s*[:=]"
)
_NEAREST_KEY = re.compile(r"([A-Za-z_][\w.-]*)[\"']?\s*[:=]\s*[\"']?(?:[a-z]+://[^\s]*)?$")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_MESSAGE_LINE = re.compile(
    r"^\s*(?:@?echo|printf|Write-Host|log\w*|info|warn\w*|error|die|#|//|;|rem\b|::)", re.I
)
_COMPARING_LINE = re.compile(
    r"==|!=|=~|\[\[?\s|\bgrep\b|\bsed\b|\bawk\b|\bcase\b|-eq\b|-like\b|-match\b|\btest\s|\|\s*tr\b"
)
_PROSE_WORDS = frozenset(
    {"description", "help", "note", "notes", "comment", "summary", "example", "title", "message"}
)
_SELF_PROBE = re.compile(r"HEALTHCHECK|curl|wget|nc\s|test:|CMD|probe|health|redis-cli|pg_isready", re.I)
_PUBLISHED_PORT = re.compile(r"^\s*-\s*[\"']?(?:127\.0\.0\.1|localhost):\d+:\d+")
_FLEET_FILE = re.compile(rb"^fleet:", re.M)


def check(file: TextFile) -> Iterator[Finding]:
    """Report the first address of each line."""
    if not can_hold_address(file.data) or _is_fleet_file(file):
        return
    is_container = file.path.endswith((".yaml", ".yml")) or "ockerfile" in file.path
    for number, line in enumerate(file.lines, 1):
        if not can_hold_address(line.encode()) or _MESSAGE_LINE.match(line) or _COMPARING_LINE.search(line):
            continue
        key = _LINE_KEY.match(line)
        name = key[1] if key else ""
        if is_comparison_name(name) or split_name_words(name) & _PROSE_WORDS:
            continue
        text = _COMMENT.sub("", line)
        is_self_probe = _PUBLISHED_PORT.match(line) or (is_container and _SELF_PROBE.search(text))
        for found in find_addresses(text):
            if found.kind == "wildcard" or (found.kind == "loopback" and is_self_probe):
                continue
            nearest_key = _NEAREST_KEY.search(text, 0, found.start)
            name = nearest_key[1] if nearest_key else name
            shown = found.host if found.port is None else f"{found.host}:{found.port}"
            message = f"`{shown}` is the value of `{name}`" if name else f"`{shown}` is written here"
            finding = file.make_finding(number, found.start + 1, message, symbol=name)
            yield finding if found.kind == "machine" else replace(finding, action="report")
            break


def _is_fleet_file(file: TextFile) -> bool:
    return _FLEET_FILE.search(file.data) is not None and b"agents:" in file.data


RULE = Rule(
    code="A403",
    title="literal address outside code",
    action="review",
    file_patterns=_FILE_PATTERNS,
    check_text=check,
)

MUST = (
    RuleCase(
        files={"config.yaml": "redis:\n  host: 192.168.1.2  # <--\n  url: redis://localhost:6379/0  # <--\n"}
    ),
    RuleCase(
        files={
            "docker-compose.yml": "services:\n  a:\n    environment:\n      - PC2_IP=192.168.100.17  # <--\n"
            "    extra_hosts:\n      - pc2:192.168.100.17  # <--\n"
        }
    ),
    RuleCase(files={"Dockerfile": "FROM python\nENV MAINPC_IP=192.168.100.16\n"}, expected_lines=(2,)),
    RuleCase(files={".env": "PC2_IP=192.168.100.17  # <--\n"}),
    RuleCase(
        files={"run.sh": "export PC2_IP=${PC2_IP:-192.168.100.17}  # <--\ncurl http://localhost:80/  # <--\n"}
    ),
    RuleCase(files={"zmq.toml": 'endpoint = "tcp://10.0.0.9:5555"  # <--\n'}),
)
MUST_NOT = (
    RuleCase(files={"fleet.yaml": "fleet: f\nenvironments: {development: {a: 10.0.0.1}}\nagents: {}\n"}),
    RuleCase(files={"a.yaml": "# host: 192.168.1.2\nport: 5555  # such as tcp://192.168.1.2:5555\n"}),
    RuleCase(files={"a.yaml": "subnet: 172.20.0.0/16\nip_range: 10.0.0.0/8\nversion: 1.2.3.4\n"}),
    RuleCase(
        files={"a.yaml": "host: 0.0.0.0\nbind: tcp://*:5555\nallowed_hosts: [localhost, 192.168.1.2]\n"}
    ),
    RuleCase(
        files={"run.sh": 'echo "see http://192.168.1.2:80"\nif [ "$HOST" = "192.168.1.2" ]; then :; fi\n'}
    ),
    RuleCase(files={"Dockerfile": "HEALTHCHECK CMD curl -f http://localhost:8000/health\nEXPOSE 80\n"}),
    RuleCase(
        files={
            "docker-compose.yml": "services:\n  a:\n    healthcheck:\n"
            '      test: ["CMD", "curl", "http://localhost:80"]\n    ports:\n      - "127.0.0.1:80:80"\n'
        }
    ),
    RuleCase(files={"README.md": "host: 192.168.1.2\n", "notes.txt": "192.168.1.2\n"}),
    RuleCase(files={"a.yaml": "image: registry/app:1.10.3.1\ndescription: connect to 192.168.1.2\n"}),
    RuleCase(files={"a.yaml": "ip: 192.0.2.1\nrange: 10.1.0.255\n"}),
)
