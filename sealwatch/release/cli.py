"""`sealwatch release`: make a release, sign it with the key that stays off line, look into one."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import msgspec

from sealwatch.base import keys
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract import signing, wire
from sealwatch.contract.release import this_platform
from sealwatch.release import make


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands of this room."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    key = commands.add_parser("key", help="print the public release key that nodes pin; made where there is none yet")
    key.set_defaults(run=_key)
    made = commands.add_parser("make", help="describe a release: kind, version, and the SHA-256 of each file")
    made.add_argument("kind", choices=["agent", "model"])
    made.add_argument("folder", type=Path, metavar="FOLDER", help="the wheels of the agent, or manifest and .onnx")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the description goes")
    made.add_argument("--version", default="", help="of a model, such as 3.1; an agent has that of its wheel")
    made.add_argument("--min-agent", default="0", metavar="VERSION", help="the oldest agent that may take it")
    made.add_argument("--platform", default=this_platform(), help="of an agent (that of this machine: %(default)s)")
    made.set_defaults(run=_make)
    sign = commands.add_parser("sign", help="seal a description with the release key")
    sign.add_argument("file", type=Path, metavar="FILE", help="what `make` wrote")
    sign.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the sealed release goes")
    sign.set_defaults(run=_sign)
    show = commands.add_parser("verify", help="whether the key signed it and the files beside it are the right ones")
    show.add_argument("file", type=Path, metavar="FILE", help="a sealed release")
    show.add_argument("--public-key", required=True, metavar="KEY", help="what `release key` prints")
    show.add_argument("--files", type=Path, metavar="FOLDER", help="where its files are")
    show.set_defaults(run=_verify)
    for command in (key, sign):
        command.add_argument("--key", type=Path, required=True, metavar="PEM", help="the private release key")


def _key(arguments: argparse.Namespace) -> int:
    print(signing.public_key_text(keys.load_or_create(arguments.key).public_key()))
    return 0


def _make(arguments: argparse.Namespace) -> int:
    now_ms = time.time_ns() // 1_000_000
    if arguments.kind == "agent":
        if arguments.version:
            raise UsageError("--version: an agent has the version of its wheel; leave it out")
        release = make.agent(
            arguments.folder, platform=arguments.platform, min_agent=arguments.min_agent, now_ms=now_ms
        )
    else:
        if not arguments.version:
            raise UsageError("--version: a model needs one, higher than the last; such as 3.1")
        release = make.model(arguments.folder, version=arguments.version, min_agent=arguments.min_agent, now_ms=now_ms)
    _write(arguments.out, msgspec.json.format(wire.encode(release)))
    total = sum(file.size_bytes for file in release.files)
    print(f"{arguments.out}: {release.kind} {release.version}, {len(release.files)} files, {total / 1e6:.1f} MB")
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    if not arguments.key.is_file():
        raise UsageError(f"{arguments.key}: no such key; make it once with `sealwatch release key`")
    sealed = make.sign(_read(arguments.file), keys.load_or_create(arguments.key))
    _write(arguments.out, sealed)
    release = make.opened(sealed)
    print(f"{arguments.out}: {release.kind} {release.version} is signed")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    try:
        key = signing.public_key_from_text(arguments.public_key)
    except ValueError:
        raise UsageError("--public-key: not an Ed25519 public key; copy what `sealwatch release key` prints") from None
    release = make.opened(_read(arguments.file), key)
    if arguments.files is not None and (wrong := make.missing(release, arguments.files)):
        raise CommandFailed(f"{arguments.files}: missing or another file: {', '.join(wrong)}")
    print(f"{release.kind} {release.version} for {release.platform}: signed by this key")
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None
