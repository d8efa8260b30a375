"""The agent from aarch64 wheels under an emulated arm64 userland."""
