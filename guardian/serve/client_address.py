"""Who sends a request: the address behind a connection, and behind a trusted proxy the address that it forwards."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

UNKNOWN: Final = "unknown"
_MAX_HOPS: Final = 20
_IPV6_PREFIX: Final = 64

_FORWARDED_NAMES: Final = frozenset(
    {
        "cdn-loop",
        "client-ip",
        "fastly-client-ip",
        "forwarded",
        "front-end-https",
        "proxy-client-ip",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forwarded",
        "x-host",
        "x-real-ip",
        "x-real-port",
        "x-remote-ip",
        "x-scheme",
        "x-url-scheme",
        "x-varnish",
    }
)
_FORWARDED_PREFIXES: Final = (
    "cf-", "fly-", "x-amz-", "x-amzn-", "x-appengine-", "x-arr-", "x-azure-", "x-envoy-", "x-forwarded-",
    "x-original-", "x-proxy-", "x-proxyuser-", "x-vercel-", "wl-proxy-",
)  # fmt: skip
"""Headers that proxies, load balancers and delivery networks add, and programs do not."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """Return an address, one of IPv4 mapped into IPv6 as IPv4; None for anything else."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Return whether a host is an address of this machine alone."""
    address = parse_address(host)
    return address is not None and address.is_loopback


def is_forwarded(names: Iterable[str]) -> bool:
    """Return whether the names of a request's headers, in lower case, say that somebody has passed it on."""
    return any(name in _FORWARDED_NAMES or name.startswith(_FORWARDED_PREFIXES) for name in names)


class ClientAddresses:
    """Finds the address that limits apply to.

    Args:
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed.
    """

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted: list[Network] = [ipaddress.ip_network(proxy, strict=False) for proxy in trusted_proxies]

    def is_proxy(self, host: str) -> bool:
        """Return whether a peer is a trusted proxy."""
        address = parse_address(host)
        return address is not None and any(address in network for network in self._trusted)

    def of_peer(self, host: str) -> str:
        """Return the client that an address belongs to: itself, or the /64 of IPv6, which one customer has whole."""
        address = parse_address(host)
        if address is None:
            return UNKNOWN
        if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
            return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
        return str(address)

    def of_request(self, scope: Any) -> str:
        """Return the client of a request.

        The rightmost address that no trusted proxy has is the client: everything left of it is the client's own word.

        Args:
            scope: of ASGI.
        """
        peer = scope["client"][0] if scope.get("client") else ""
        if not self._trusted or not self.is_proxy(peer):
            return self.of_peer(peer)
        values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = b",".join(values).decode("latin-1").split(",")[-_MAX_HOPS:]
        for hop in reversed([_without_port(hop.strip()) for hop in hops]):
            if parse_address(hop) is None:
                break  # not an address: what is left of it proves nothing
            if not self.is_proxy(hop):
                return self.of_peer(hop)
            peer = hop
        return self.of_peer(peer)


def _without_port(hop: str) -> str:
    """An address as some proxies write it: `10.0.0.9:51234`, `[2001:db8::1]:51234`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
