"""Footage: what the cameras send, kept as it came.

`tap` takes packets from the one connection that the watcher holds; `segment` writes them into files that play at any
moment; `store` is the index and the hash chain; `ring` decides what goes when room or time is up; `coverage` notices
what is missing; `clips` and `cut` make the clip of an event; `recorder` is the part that owns all of it for a camera.
"""
