"""What a name implies about its value: an address to connect to, an address to bind, or none."""

from __future__ import annotations

import re
from functools import lru_cache

_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NON_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")
_HOST_WORDS = frozenset(
    (  # noqa: SIM905
        "host hosts hostname hostnames ip ips ipaddr ipaddress addr addrs address addresses server servers"
        " url urls uri endpoint endpoints broker brokers peer peers upstream target dsn bootstrap bind"
        " listen interface"
    ).split()
)
_BIND_WORDS = frozenset({"bind", "binding", "listen", "listening", "interface", "iface"})
# Allow lists, templates and string tests: an address there is compared, not used.
_COMPARISON_WORDS = frozenset(
    (  # noqa: SIM905
        "allow allowed allowlist whitelist white blacklist black block blocked blocklist deny denied"
        " trusted trust exclude excluded ignore ignored noproxy origin origins cors cidr subnet subnets"
        " netmask mask network networks version example examples pattern patterns regex loopback localhost"
        " private reserved"
    ).split()
)
_BIND_CALLS = frozenset(
    (  # noqa: SIM905
        "bind bind_to_random_port HTTPServer ThreadingHTTPServer TCPServer UDPServer ThreadingTCPServer"
        " SimpleXMLRPCServer WSGIServer make_server start_server create_server serve run run_app run_server"
        " run_simple start_http_server TCPSite listen Config start_unix_server launch"
    ).split()
)
_CONNECT_CALLS = frozenset(
    (  # noqa: SIM905
        "connect connect_ex create_connection open_connection sendto from_url Redis StrictRedis"
        " ConnectionPool HTTPConnection HTTPSConnection urlopen insecure_channel KafkaProducer"
        " KafkaConsumer MongoClient Telnet ping post put"
    ).split()
)
# Calls that only display, compare, edit or mock a string.
_INERT_CALLS = frozenset(
    (  # noqa: SIM905
        "print debug info warning warn error exception critical log echo write startswith endswith replace"
        " removeprefix split rsplit strip find index count match fullmatch search sub findall compile join"
        " encode format ip_address ip_network ip_interface IPv4Address IPv4Network inet_aton inet_pton"
        " patch setenv raises skip fail len isinstance add_header append add extend insert remove discard"
        " secho rule markdown Literal is_port_free"
    ).split()
)


@lru_cache(4096)
def split_name_words(name: str) -> frozenset[str]:
    """Return the words of a name in lower case: `redisHost` and `REDIS_HOST` have the same two."""
    return frozenset(word.lower() for word in _NAME_WORD.findall(name))


def normalize_name(name: str) -> str:
    """Return a name without case and separators: `redisHost` and `REDIS_HOST` are equal."""
    return _NON_ALPHANUMERIC.sub("", name.lower())


def host_variable_names(name: str) -> tuple[str, ...]:
    """Return what a variable for the host of an agent, machine or service may be called, normalized."""
    normalized = normalize_name(name)
    return tuple(normalized + ending for ending in ("ip", "host", "hostname", "address", "addr"))


def is_host_name(name: str) -> bool:
    """Return whether the value of `name` is the address of something."""
    words = split_name_words(name)
    return bool(words & _HOST_WORDS) and not words & _COMPARISON_WORDS


def is_bind_name(name: str) -> bool:
    """Return whether the value of `name` is an address to listen on."""
    return bool(split_name_words(name) & _BIND_WORDS)


def is_comparison_name(name: str) -> bool:
    """Return whether the value of `name` is compared with, or is not an address."""
    return bool(split_name_words(name) & _COMPARISON_WORDS)


def is_bind_call(function_name: str) -> bool:
    """Return whether a function of this name takes an address to listen on."""
    return function_name in _BIND_CALLS or function_name.endswith(("Server", "ServerFactory"))


def is_connect_call(function_name: str) -> bool:
    """Return whether a function of this name takes the address of a peer."""
    return function_name in _CONNECT_CALLS


def is_inert_call(function_name: str) -> bool:
    """Return whether a function of this name opens no connection: it prints, compares or raises."""
    return (
        function_name in _INERT_CALLS
        or function_name.endswith(("Error", "Exception", "Warning"))
        or function_name.startswith("assert")
    )
