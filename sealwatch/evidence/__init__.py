"""Evidence that proves itself: manifests, the chain of everything a node has sent, packs, and offline verification.

The node writes with it and anybody verifies with it, years later and without a network: nothing here knows the agent
or the service. Start reading at `documents` (what is signed), then `chain`, `pack` and `verify`.
"""
