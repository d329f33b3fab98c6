"""The client that a trainer installs: sync and async, one import path, base install only.

Imports `rewardplane.wire` and the domain types; nothing here may import a library beyond gRPC and
protobuf. The public names are those below; all other modules are internal.
"""

from rewardplane.wire.errors import CallError

from .client import RewardClient
from .endpoint import Credentials
from .failures import FailedItem, ItemsFailed
from .sync_client import SyncRewardClient

__all__ = [
    "CallError",
    "Credentials",
    "FailedItem",
    "ItemsFailed",
    "RewardClient",
    "SyncRewardClient",
]
