"""What the service says to nodes: kept in the database first, sealed and published by one thread of the service."""
