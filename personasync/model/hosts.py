"""Which hosts are this machine: the only ones that plain http may reach."""

from __future__ import annotations

import ipaddress
from typing import Final

ONLY_HERE: Final = "use https; http is for this machine only (127.0.0.1, localhost, [::1])"
"""What to do about plain http to another machine."""


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
