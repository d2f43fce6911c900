"""Which hosts are this machine: the only ones that plain http may reach."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost":
        return True
    if "%" in host:  # a zone, or an escape that another reader of the URL might undo
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
