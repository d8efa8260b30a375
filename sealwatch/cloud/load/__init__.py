"""How many alarms and pages people get, after EEMUA 191: floods, chattering, the loudest sources."""
