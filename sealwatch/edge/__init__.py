"""The agent at the shaft: camera and meter in, signed alarms out. Imports `contract`, `base` and `models` only."""
