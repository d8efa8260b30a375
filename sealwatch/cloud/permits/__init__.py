"""Announced work (报备): inside it is logged, outside it is an alarm, and staying on is one too."""
