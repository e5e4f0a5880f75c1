"""Who is at the other end: a connection's peer or, behind proxies that are trusted, the client that they name."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from shared.config import PREFIX, ConfigError

SETTING = PREFIX + "TRUSTED_PROXIES"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies whose word is taken for where a request comes from; none, unless configured."""

    networks: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, setting: str) -> Proxies:
        """Addresses and networks, separated by commas. Raises ConfigError."""
        try:
            return cls(tuple(ipaddress.ip_network(word) for word in map(str.strip, setting.split(",")) if word))
        except ValueError as exc:
            raise ConfigError(
                f"{SETTING}: {exc}; expected addresses and networks such as 127.0.0.1,10.0.0.0/8"
            ) from None

    def trust(self, address: str) -> bool:
        """Whether a proxy that is trusted is at an address."""
        found = _parse(address)
        return found is not None and self._trust(found)

    def client(self, peer: str, forwarded_for: str) -> str:
        """The address of the client behind `peer`: the right-most of X-Forwarded-For that is none of the proxies'.

        What stands to the left of it is what that client has written itself.
        """
        if not self.networks or (client := _parse(peer)) is None:
            return peer
        named = forwarded_for.split(",")
        while named and self._trust(client) and (before := _parse(named.pop())):
            client = before
        return str(client)

    def scheme(self, peer: str, forwarded_proto: str) -> str:
        """That by which a client has called: what a proxy that is trusted says, else ours."""
        return "https" if forwarded_proto.strip().lower() == "https" and self.trust(peer) else "http"

    def _trust(self, address: _Address) -> bool:
        return any(address in network for network in self.networks)


def neighbourhood(address: str) -> str:
    """What is counted as one peer: an address, or of IPv6 the 64 bits that one subscriber has for his own."""
    found = _parse(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(found), 64), strict=False))
    return address if found is None else str(found)


def _parse(text: str) -> _Address | None:
    """An address as sockets and proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
