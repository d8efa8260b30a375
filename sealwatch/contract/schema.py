"""The contract as documents: one JSON Schema per message (draft 2020-12) and one AsyncAPI 3.0 document.

``python -m sealwatch.contract.schema docs/contract`` writes them; a test holds the checked-in copies against the code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from sealwatch.contract import messages, release, topics
from sealwatch.contract.messages import CONTRACT_VERSION

_TYPES: tuple[type[msgspec.Struct], ...] = (
    messages.Alarm,
    messages.Snapshot,
    messages.Samples,
    messages.Status,
    messages.Reply,
    messages.Ack,
    messages.Command,
    messages.Declaration,
    messages.NodeConfig,
    release.UpdateOffer,
    release.Release,
    messages.Sealed,
)
_CHANNELS: dict[topics.Channel, tuple[str, str]] = {
    topics.Channel.ALARM: ("Sealed", "An alarm: a Sealed whose body is an Alarm."),
    topics.Channel.SNAPSHOT: ("Sealed", "A picture: a Sealed whose body is a Snapshot."),
    topics.Channel.SAMPLES: ("Samples", "Measurements of one source."),
    topics.Channel.STATUS: ("Status", "Retained; the `offline` one is the last will."),
    topics.Channel.REPLY: ("Reply", "Answer to a command."),
    topics.Channel.ACK: ("Ack", "Application ack; the only thing that releases a message from a node's outbox."),
    topics.Channel.COMMAND: ("Sealed", "Something the service asks the node to do: a Sealed whose body is a Command."),
    topics.Channel.CONFIG: ("Sealed", "Retained: a Sealed whose body is a NodeConfig."),
    topics.Channel.DECLARATION: ("Sealed", "Retained: a Sealed whose body is a Declaration."),
    topics.Channel.UPDATE: ("Sealed", "Retained: a Sealed whose body is an UpdateOffer."),
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """One self-contained JSON Schema per message type, by name."""
    found = {}
    for kind in _TYPES:
        schema = msgspec.json.schema(kind)
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        found[kind.__name__] = schema
    return found


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document, seen from the service."""
    _, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for channel, (type_name, summary) in _CHANNELS.items():
        channels[channel.value] = {
            "address": f"{topics.PREFIX}/{{site_id}}/{{node_id}}/{channel.value}",
            "description": summary,
            "parameters": {
                "site_id": {"description": "Site, such as the 12-digit mine code."},
                "node_id": {"description": "Edge node, the common name of its certificate."},
            },
            "messages": {type_name: {"$ref": f"#/components/messages/{type_name}"}},
        }
        action = "receive" if channel in topics.FROM_NODE else "send"
        operations[f"{action}_{channel.value}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel.value}"},
            "bindings": {"mqtt": {"qos": 1, "retain": channel in topics.RETAINED}},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "SealWatch node contract",
            "version": f"{CONTRACT_VERSION}.0.0",
            "description": "MQTT 5, QoS 1, JSON. A node may touch only its own branch of topics.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {
                kind.__name__: {
                    "contentType": "application/json",
                    "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
                }
                for kind in _TYPES
            },
            "schemas": components,
        },
    }


def documents() -> dict[str, str]:
    """Every generated file by its path below the output folder."""
    files = {"asyncapi.json": asyncapi()}
    for name, schema in json_schemas().items():
        files[f"schemas/{name}.json"] = schema
    return {path: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for path, value in files.items()}


def main(folder: Path) -> None:
    """Write the documents below `folder`."""
    for path, text in documents().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
