"""What an owner and a worker say to each other on a link, and a supervisor and its fork server.

Each message is one packet of fixed length on a SOCK_SEQPACKET socket, some with descriptors.
"""

from __future__ import annotations

import struct
from typing import Final

NUMBER = struct.Struct("<Q")
"""A shard's number, as the answer that it is done."""

ORDER = struct.Struct("<QQ")
"""A shard's number, and where its segment lies: one of the values below."""
OWN_FILE: Final = 0
"""In the file whose descriptor comes along."""
RING: Final = 1
"""No shard: the descriptors are those of the link's ring."""
LINK: Final = 2
"""No shard: the descriptor is that of a link to another owner."""
FIRST_SLOT: Final = 3
"""In slot 0 of the ring; further slots follow."""
MAX_DESCRIPTORS: Final = 3
