"""What a gateway holds now, against what it may hold: each has an alert in `deploy/monitoring`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from .admission import Admission
from .server import Server

Gauge = tuple[str, Callable[[], float]]
"""Its help, and how it is read; a scrape reads it in a thread of its own."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def gauges(admission: Admission, server: Server) -> Mapping[str, Gauge]:
    """The gauges of a gateway by name."""
    limits, connections = admission.limits, server.connections
    return {
        "rewardplane_in_flight_items": ("Items admitted.", lambda: admission.items),
        "rewardplane_in_flight_bytes": ("Bytes admitted.", lambda: admission.bytes),
        "rewardplane_in_flight_calls": ("Calls admitted.", lambda: admission.calls),
        "rewardplane_in_flight_items_limit": (
            "What may be admitted at once: items.",
            lambda: limits.max_in_flight_items,
        ),
        "rewardplane_in_flight_bytes_limit": (
            "What may be admitted at once, and what unfinished messages may hold: bytes.",
            lambda: limits.max_in_flight_bytes,
        ),
        "rewardplane_connections": ("Connections to the gRPC port.", lambda: connections.count),
        "rewardplane_open_calls": (
            "Remote calls that have not ended, streams and those that wait for health included.",
            lambda: len(server.door.in_flight()),
        ),
        "rewardplane_unfinished_bytes": (
            "Bytes of messages that have not come to their end.",
            lambda: connections.bytes,
        ),
        "rewardplane_connections_cut": (
            "Connections shut since the start: they held too much of unfinished messages.",
            lambda: connections.cut.total(),
        ),
        "rewardplane_refused_at_door": (
            "Calls refused since the start, before they were looked at: too many waited.",
            lambda: server.door.turned_away,
        ),
        "rewardplane_loop_lag_seconds": (
            "The longest that the event loop was held in the last 15 to 30 s.",
            lambda: server.lag.largest_s,
        ),
        "rewardplane_resident_bytes": ("Memory of the gateway's process.", _resident_bytes),
    }


def _resident_bytes() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0.0
