"""SealWatch (封哨): the electronic seal for idle mines.

Rooms: ``contract`` (what travels between the sides), ``base`` (what both sides stand on), ``edge`` (the agent at the
shaft), ``cloud`` (the service at the county), ``models`` (person detection), ``firmware_config`` (hardware as data),
``simulator`` (a believable mine), ``demo`` (all of it on one machine). ``edge`` and ``cloud`` never import each other.
"""

__version__ = "0.1.0"
