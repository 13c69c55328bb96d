"""Which addresses may be spoken to: the one that a name turned out to be counts, not the name.

A vendor's name can come to point anywhere. The addresses where clouds hand out the machine's own credentials are
refused always; with a list of networks, whatever is outside of it.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from gateway import logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.connector import AddrInfoType

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
ADDRESS_REFUSED = "address.refused"

# A connection that is closed is cut: what the kernel still holds of a request that was given up goes with it, where it
# would be sent for minutes, until the way is free again, and an unmute land long after its time.
_CUT = struct.pack("ii", 1, 0)

_log = logs.get("gateway.addresses")

# Link-local holds 169.254.169.254 (AWS, Azure, Google, Oracle …) and the containers' 169.254.170.2 and .23.
_METADATA: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",  # AWS: instances ::254, time ::123, DNS ::253, EKS pods ::23
        "fd20:ce::254/128",  # Google
        "fd00:c1::a9fe:a9fe/128",  # Oracle
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # Oracle, older
    )
)
# Their last 32 bits are an IPv4 address, which a translator in between sends them to: RFC 6052 and what RFC 8215 leaves
# to a network itself, RFC 2765, and the oldest, without any mark (RFC 4291, 2.5.5.1).
_TRANSLATED: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")
)


def allowed(address: Address, networks: Sequence[Network] = ()) -> bool:
    """Whether `address` may be spoken to; no networks: every address that is not a cloud's own."""
    plain = _plain(address)
    if plain.is_unspecified or plain.is_multicast or any(plain in network for network in _METADATA):
        return False
    return not networks or any(plain in network for network in networks)


def _plain(address: Address) -> Address:
    """An IPv4 address in whatever IPv6 clothes a system sends it out."""
    if isinstance(address, IPv4Address) or address.is_loopback:
        return address
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


class Guard:
    """Makes the sockets of a connector, after a look at where each is going to."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def socket(self, info: AddrInfoType) -> socket.socket:
        """`OSError` for an address that may not be spoken to."""
        family, kind, protocol, _, (host, *_) = info
        address = ip_address(str(host).partition("%")[0])
        if not allowed(address, self._networks):
            _log.error(ADDRESS_REFUSED, address=str(address))
            raise OSError("the address may not be spoken to")
        made = socket.socket(family=family, type=kind, proto=protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CUT)
        return made
