"""MQTT topics: ``seal/v1/{site_id}/{node_id}/{channel}``. A node may touch only its own branch."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

PREFIX = "seal/v1"
_TOPIC = re.compile(r"^seal/v1/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/([a-z]+)$")


class Channel(StrEnum):
    """The last level of a topic."""

    ALARM = "alarm"  # node -> service, Sealed Alarm, QoS 1
    SNAPSHOT = "snapshot"  # node -> service, Sealed Snapshot, QoS 1
    SAMPLES = "samples"  # node -> service, Samples, QoS 1
    STATUS = "status"  # node -> service, Status, QoS 1, retained, last will
    REPLY = "reply"  # node -> service, Reply, QoS 1
    ACK = "ack"  # service -> node, Ack, QoS 1
    COMMAND = "command"  # service -> node, Sealed Command, QoS 1
    CONFIG = "config"  # service -> node, Sealed NodeConfig, QoS 1, retained
    DECLARATION = "declaration"  # service -> node, Sealed Declaration, QoS 1, retained
    UPDATE = "update"  # service -> node, Sealed UpdateOffer, QoS 1, retained


FROM_NODE = (Channel.ALARM, Channel.SNAPSHOT, Channel.SAMPLES, Channel.STATUS, Channel.REPLY)
TO_NODE = (Channel.ACK, Channel.COMMAND, Channel.CONFIG, Channel.DECLARATION, Channel.UPDATE)
RETAINED = (Channel.STATUS, Channel.CONFIG, Channel.DECLARATION, Channel.UPDATE)


_CHANNELS = {str(channel): channel for channel in Channel}


class Address(NamedTuple):
    """A parsed topic."""

    site_id: str
    node_id: str
    channel: Channel


def topic(site_id: str, node_id: str, channel: Channel) -> str:
    """The topic of one channel of one node."""
    return f"{PREFIX}/{site_id}/{node_id}/{channel}"


def wildcard(channel: Channel) -> str:
    """The filter with which the service subscribes to one channel of every node."""
    return f"{PREFIX}/+/+/{channel}"


@lru_cache(maxsize=32_768)  # the same nodes speak again and again
def parse(value: str) -> Address | None:
    """The parts of a topic, or None where it is not one of ours."""
    match = _TOPIC.match(value)
    channel = None if match is None else _CHANNELS.get(match[3])
    if match is None or channel is None:
        return None
    return Address(match[1], match[2], channel)
