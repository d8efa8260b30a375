"""`sealwatch edge enrol`: from a bare machine to a node that its service knows."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from sealwatch.base import settings, text
from sealwatch.base.errors import UsageError
from sealwatch.base.files import replace_file
from sealwatch.contract import enrolment
from sealwatch.contract.enrolment import Granted, Token
from sealwatch.edge import identity
from sealwatch.edge.config import NodeSettings, data_dir, load_node
from sealwatch.edge.enrolment import asking
from sealwatch.edge.enrolment.papers import Origin, Papers


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--cloud", required=True, metavar="URL", help="the service, https://host[:port]")
    parser.add_argument("--token", required=True, help="what `sealwatch cloud token` printed, or file:/path of it")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="node.toml; made where there is none"
    )
    parser.add_argument(
        "--ca-file", default="", metavar="PEM", help="authority of the URL's certificate, if not public"
    )
    parser.set_defaults(run=_enrol)


def _enrol(arguments: argparse.Namespace) -> int:
    token, path = _token(arguments.token), arguments.config
    node = load_node(path) if path.exists() else None
    folder = data_dir(node, path) if node is not None else (path.parent / "data").resolve()
    who, papers = identity.load_or_create(folder), Papers(folder)
    try:
        csr = papers.csr("node")
        granted = asking.enrol(arguments.cloud, token, key=who.key, csr=csr, ca_file=arguments.ca_file)
        _check_names(node, granted, path)
        origin = Origin(
            cloud_url=arguments.cloud.rstrip("/"),
            service_public_key=granted.service_public_key,
            https_ca_file=str(Path(arguments.ca_file).resolve()) if arguments.ca_file else "",
        )
        papers.keep(granted, origin)
        lines = _lines(granted, papers)
        if node is None:
            replace_file(path, lines.encode())
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}; check folder, owner and rights") from None
    _report(granted, path, lines if node is not None else "")
    return 0


def _token(given: str) -> Token:
    said = settings.secret(given) if given.startswith(("file:", "env:")) else given
    try:
        return enrolment.read_token(said)
    except ValueError:
        raise UsageError("--token: this is no whole token; copy what `sealwatch cloud token` printed") from None


def _check_names(node: NodeSettings | None, granted: Granted, path: Path) -> None:
    if node is not None and (node.site_id, node.node_id) != (granted.site_id, granted.node_id):
        raise UsageError(
            f"{path} is of {node.site_id}/{node.node_id}, but the token is for {granted.site_id}/{granted.node_id}; "
            "change the file, then enrol again with the same token"
        )


def _lines(granted: Granted, papers: Papers) -> str:
    """What node.toml must say; names and addresses of the contract need no quoting in TOML."""
    return (
        f'site_id = "{granted.site_id}"\nnode_id = "{granted.node_id}"\ndata_dir = "data"\n'
        f'service_public_key = "{granted.service_public_key}"\n[mqtt]\nurl = "{granted.mqtt_url}"\n'
        f'ca_file = "{papers.ca_file}"\ncertificate_file = "{papers.certificate_file}"\n'
        f'key_file = "{papers.key_file}"\n'
    )


def _report(granted: Granted, path: Path, lines: str) -> None:
    language = text.terminal_language()
    until = datetime.fromtimestamp(granted.not_after_ms / 1000, UTC).strftime("%Y-%m-%d")
    values = {"node": granted.node_id, "site": granted.site_id, "until": until, "file": path}
    print(text.say(language, "enrolment.done", **values))
    if lines:
        print(text.say(language, "enrolment.lines", file=path))
        print("".join(line for line in lines.splitlines(keepends=True) if not line.startswith("data_dir")), end="")
