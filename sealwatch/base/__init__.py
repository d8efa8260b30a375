"""What both sides stand on: clock, configuration files, secrets by reference, text catalogue, MQTT session, backoff."""
