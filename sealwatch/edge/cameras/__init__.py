"""Finding cameras and reading how they are set up, for the installer. The agent at work needs none of it."""
