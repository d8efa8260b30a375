"""The county service: takes alarms, makes incidents, pages people until one answers. Imports `contract`, `base`."""
