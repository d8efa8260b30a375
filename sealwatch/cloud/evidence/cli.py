"""`sealwatch cloud evidence`: a file that a node has sent, by the SHA-256 that it answered with."""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path
from typing import Any

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.cloud.config import data_dir, load_cloud
from sealwatch.cloud.evidence.store import FileEvidence, check_name


def configure(commands: Any) -> None:
    """Add the command of this room to those of `sealwatch cloud`."""
    evidence = commands.add_parser("evidence", help="copy a picture, clip or bundle that a node has sent")
    evidence.add_argument("sha256", metavar="SHA256", help="as the node answered")
    evidence.add_argument("--out", type=Path, required=True, metavar="FILE")
    evidence.add_argument("--config", type=Path, required=True, metavar="cloud.toml")
    evidence.set_defaults(run=_evidence)


def _evidence(arguments: argparse.Namespace) -> int:
    try:
        check_name(arguments.sha256)
    except ValueError:
        raise UsageError(f"'{arguments.sha256}' is no SHA-256; copy the 64 characters of the node's answer") from None
    if arguments.out.exists():
        raise UsageError(f"{arguments.out} is there already; name a new file")
    folder = data_dir(load_cloud(arguments.config), arguments.config) / "evidence"
    try:
        source = FileEvidence(folder).path(arguments.sha256)
        shutil.copyfile(source, arguments.out)
        with arguments.out.open("rb") as copied:
            right = hashlib.file_digest(copied, "sha256").hexdigest() == arguments.sha256
    except FileNotFoundError:
        raise CommandFailed(
            f"{arguments.sha256[:12]}… has not arrived; clips wait for the node's data budget and its link"
        ) from None
    except OSError as error:
        raise CommandFailed(f"{arguments.out}: {error.strerror}") from None
    if not right:
        raise CommandFailed(f"{source} is damaged: it is not what its name says; restore it from a backup")
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")
    return 0
