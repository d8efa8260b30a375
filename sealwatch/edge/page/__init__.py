"""The node's own page for the installer: live pictures, zones drawn by hand, and a checklist that turns green."""
