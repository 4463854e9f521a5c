"""Makes an interface write whole checksums and whole frames itself, as a real cable would need.

A veth leaves both to hardware that is not there; that goes well until a program relays the
frames. Equal to `ethtool -K INTERFACE tx off tso off gso off`, which is one more tool to install.

    python offload.py INTERFACE
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys

SIOCETHTOOL = 0x8946
SET_OFF = (0x17, 0x1F, 0x24)  # ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO of linux/ethtool.h


def switch_off(interface: str) -> None:
    """Switch the offloads of sending off; raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in SET_OFF:
            wish = array.array("I", [command, 0])
            address, _ = wish.buffer_info()
            fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), address))


if __name__ == "__main__":
    switch_off(sys.argv[1])
