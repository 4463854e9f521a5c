"""What a name says about the text that it holds: an address to connect to, to bind, or none at all."""

from __future__ import annotations

import re
from functools import lru_cache

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_HOSTS = frozenset(
    {
        *("host", "hosts", "hostname", "hostnames", "ip", "ips", "ipaddr", "ipaddress", "addr", "addrs"),
        *(
            "address",
            "addresses",
            "server",
            "servers",
            "url",
            "urls",
            "uri",
            "endpoint",
            "endpoints",
            "broker",
        ),
        *(
            "brokers",
            "peer",
            "peers",
            "upstream",
            "target",
            "dsn",
            "bootstrap",
            "bind",
            "listen",
            "interface",
        ),
    }
)
_BINDS = frozenset({"bind", "binding", "listen", "listening", "interface", "iface"})
# Lists of who may come, templates and tests of a text: an address there is compared, not used.
_COMPARED = frozenset(
    {
        *("allow", "allowed", "allowlist", "whitelist", "white", "blacklist", "black", "block", "blocked"),
        *("blocklist", "deny", "denied", "trusted", "trust", "exclude", "excluded", "ignore", "ignored"),
        *("noproxy", "origin", "origins", "cors", "cidr", "subnet", "subnets", "netmask", "mask", "network"),
        *("networks", "version", "example", "examples", "pattern", "patterns", "regex", "loopback"),
        *("localhost", "private", "reserved"),
    }
)
_BIND_CALLS = frozenset(
    {
        *("bind", "bind_to_random_port", "HTTPServer", "ThreadingHTTPServer", "TCPServer", "UDPServer"),
        *("ThreadingTCPServer", "SimpleXMLRPCServer", "WSGIServer", "make_server", "start_server"),
        *("create_server", "serve", "run", "run_app", "run_server", "run_simple", "start_http_server"),
        *("TCPSite", "listen", "Config", "start_unix_server", "launch"),
    }
)
_CONNECT_CALLS = frozenset(
    {
        *("connect", "connect_ex", "create_connection", "open_connection", "sendto", "from_url"),
        *("Redis", "StrictRedis", "ConnectionPool", "HTTPConnection", "HTTPSConnection", "urlopen"),
        *(
            "insecure_channel",
            "KafkaProducer",
            "KafkaConsumer",
            "MongoClient",
            "Telnet",
            "ping",
            "post",
            "put",
        ),
    }
)
# What only shows, compares, edits or stands in for a text.
_IDLE_CALLS = frozenset(
    {
        *(
            "print",
            "debug",
            "info",
            "warning",
            "warn",
            "error",
            "exception",
            "critical",
            "log",
            "echo",
            "write",
        ),
        *("startswith", "endswith", "replace", "removeprefix", "split", "rsplit", "strip", "find", "index"),
        *("count", "match", "fullmatch", "search", "sub", "findall", "compile", "join", "encode", "format"),
        *("ip_address", "ip_network", "ip_interface", "IPv4Address", "IPv4Network", "inet_aton", "inet_pton"),
        *("patch", "setenv", "raises", "skip", "fail", "len", "isinstance", "add_header", "append", "add"),
        *("extend", "insert", "remove", "discard", "secho", "rule", "markdown", "Literal", "is_port_free"),
    }
)


@lru_cache(4096)
def words_of(name: str) -> frozenset[str]:
    """Return the words of a name in lower case: `redisHost` and `REDIS_HOST` have the same two."""
    return frozenset(word.lower() for word in _WORDS.findall(name))


def names_host(name: str) -> bool:
    """Return whether what `name` holds is the address of something."""
    words = words_of(name)
    return bool(words & _HOSTS) and not words & _COMPARED


def names_interface(name: str) -> bool:
    """Return whether what `name` holds is where to listen."""
    return bool(words_of(name) & _BINDS)


def names_comparison(name: str) -> bool:
    """Return whether what `name` holds is something to compare with, or no address at all."""
    return bool(words_of(name) & _COMPARED)


def is_bind(call: str) -> bool:
    """Return whether a function of this name takes an address to listen on."""
    return call in _BIND_CALLS or call.endswith(("Server", "ServerFactory"))


def is_connect(call: str) -> bool:
    """Return whether a function of this name takes the address of a peer."""
    return call in _CONNECT_CALLS


def is_idle(call: str) -> bool:
    """Return whether a function of this name connects to nothing: it prints, compares, raises."""
    return (
        call in _IDLE_CALLS or call.endswith(("Error", "Exception", "Warning")) or call.startswith("assert")
    )
