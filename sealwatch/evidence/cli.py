"""`sealwatch evidence`: verify a pack, offline."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from sealwatch.base import text
from sealwatch.base.errors import UsageError
from sealwatch.contract import signing
from sealwatch.evidence.documents import Manifest
from sealwatch.evidence.findings import Finding
from sealwatch.evidence.sm2 import Sm2Verifier
from sealwatch.evidence.verify import Verdict, verify


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the room's commands."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("verify", help="check a pack of evidence offline and explain the verdict")
    one.add_argument("pack", type=Path, metavar="PACK", help="a .zip, or the folder it was unpacked into")
    one.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="public key of the node: its text, or a file with it (text or PEM); may be repeated",
    )
    one.add_argument("--sm2-key", action="append", default=[], type=Path, metavar="FILE", help="SM2 public key (PEM)")
    one.add_argument("--lang", choices=[language.value for language in text.Language], help="default: both")
    one.add_argument("--json", action="store_true", help="one JSON document instead of sentences")
    one.set_defaults(run=run_verify)


def run_verify(arguments: argparse.Namespace) -> int:
    """0 where everything holds, 1 where anything does not."""
    trusted = [key for value in arguments.key for key in read_keys(value)]
    second = Sm2Verifier(arguments.sm2_key) if arguments.sm2_key else None
    verdict = verify(arguments.pack, trusted, second=second)
    if arguments.json:
        json.dump(as_json(verdict), sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        languages = [text.Language(arguments.lang)] if arguments.lang else list(text.Language)
        print("\n\n".join("\n".join(explain(verdict, language, arguments.pack.name)) for language in languages))
    return 0 if verdict.holds else 1


def read_keys(value: str) -> list[Ed25519PublicKey]:
    """Public keys from a key's text or from a file with one key a line, or in PEM form. Raises UsageError."""
    try:
        return [signing.public_key_from_text(value)]
    except ValueError:
        path = Path(value)
    try:
        data = path.read_bytes()
    except OSError:
        raise UsageError(f"--key {value}: neither a public key nor a file that can be read; name one of them") from None
    try:
        if b"-----BEGIN" in data:
            key = load_pem_public_key(data)
            if not isinstance(key, Ed25519PublicKey):
                raise UsageError(f"--key {value}: not an Ed25519 key; name the public key of the node")
            return [key]
        lines = [line.split("#")[0].strip() for line in data.decode("ascii").splitlines()]
        keys = [signing.public_key_from_text(line) for line in lines if line]
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"--key {value}: holds no public key; name a file with one key a line, or a PEM") from None
    if not keys:
        raise UsageError(f"--key {value}: the file is empty; name a file with one key a line, or a PEM")
    return keys


def explain(verdict: Verdict, language: text.Language, pack: str) -> Iterable[str]:
    """The verdict in sentences."""
    yield text.say(language, "evidence.verdict.holds" if verdict.holds else "evidence.verdict.fails", pack=pack)
    if verdict.contents is not None:
        yield text.say(
            language,
            "evidence.verdict.about",
            site=verdict.contents.site_id,
            node=verdict.contents.node_id,
            packed=when(verdict.contents.packed_at_ms),
            first=verdict.contents.chain.first_index,
            last=verdict.contents.chain.last_index,
        )
    for manifest in verdict.manifests:
        yield "  " + describe(manifest, language)
    for title, findings in (("faults", verdict.faults), ("notes", verdict.notes)):
        if findings:
            yield text.say(language, f"evidence.verdict.{title}", count=len(findings))
            yield from (f"  [{f.reason}] {f.sentence(language)}" for f in findings)
    mb = f"{verdict.bytes_checked / 1e6:.1f}"
    yield text.say(language, "evidence.verdict.checked", files=verdict.files_checked, mb=mb, links=len(verdict.links))


def describe(manifest: Manifest, language: text.Language) -> str:
    """One line about an item."""
    return text.say(
        language,
        "evidence.verdict.item",
        item=manifest.item_id,
        kind=manifest.kind,
        source=manifest.source_id,
        start=when(manifest.from_ms),
        seconds=f"{(manifest.to_ms - manifest.from_ms) / 1000:.1f}",
        files=len(manifest.files),
    )


def when(at_ms: int) -> str:
    """A moment in UTC."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def as_json(verdict: Verdict) -> dict[str, object]:
    """The verdict for a program."""

    def listed(findings: Iterable[Finding]) -> list[dict[str, object]]:
        return [
            {
                "reason": f.reason,
                "member": f.member,
                "values": dict(f.values),
                **{f"sentence_{language}": f.sentence(language) for language in text.Language},
            }
            for f in findings
        ]

    return {
        "holds": verdict.holds,
        "faults": listed(verdict.faults),
        "notes": listed(verdict.notes),
        "items": [m.item_id for m in verdict.manifests],
        "links": len(verdict.links),
        "files_checked": verdict.files_checked,
        "bytes_checked": verdict.bytes_checked,
    }
