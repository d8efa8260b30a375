"""From a decision to the service: the durable outbox, the sink that fills it, the publisher that drains it."""
