"""The wire contract between a node at a shaft and the county's service.

Frozen, versioned message types (`messages`), the MQTT topics they travel on (`topics`), the words and codes of the
field (`codes`), Ed25519 sealing (`signing`), encoding with named refusals (`wire`), and the generated documents
(`schema`). Nothing here does I/O and nothing here imports another room.
"""
