"""Declarations: whose they are, which one holds, and what a pulled plug leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.files import replace_file
from sealwatch.base.settings import SettingsError
from sealwatch.contract import wire
from sealwatch.contract.codes import DeclaredStatus
from sealwatch.contract.messages import Declaration, Permit
from sealwatch.contract.signing import key_id
from sealwatch.contract.wire import Trusted
from sealwatch.edge.config import load_node
from sealwatch.edge.declared import FILE, DeclarationKeeper, DeclaredNow

SERVICE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PINNED = SERVICE.public_key()
PERMIT = Permit(permit_id="p1", from_ms=1, to_ms=2)


def keeper(folder: Path, key: Trusted = PINNED) -> DeclarationKeeper:
    return DeclarationKeeper(folder, service_key=key, site_id="s1", node_id="n1", fallback=DeclaredStatus.POWER_CUT)


def sealed(version: int, key: Ed25519PrivateKey = SERVICE, *, node_id: str = "n1") -> bytes:
    declaration = Declaration(
        site_id="s1",
        node_id=node_id,
        version=version,
        issued_at_ms=1,
        declared_status=DeclaredStatus.PERMITTED_WORK,
        permits=[PERMIT],
    )
    return wire.seal(key, declaration)


def test_a_newer_one_holds_is_told_and_survives_a_restart(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    told: list[DeclaredNow] = []
    kept.watch(told.append)
    assert kept.current() == DeclaredNow(DeclaredStatus.POWER_CUT)
    assert kept.take(sealed(3)) == "taken"
    assert kept.take(sealed(3)) == "unchanged"
    wanted = DeclaredNow(DeclaredStatus.PERMITTED_WORK, (PERMIT,), 3)
    assert told == [wanted]
    assert keeper(tmp_path).current() == wanted
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (sealed(2), "not_newer"),
        (
            wire.seal(
                SERVICE,
                Declaration(
                    site_id="s1", node_id="n1", version=3, issued_at_ms=2, declared_status=DeclaredStatus.FLOODED
                ),
            ),
            "not_newer",
        ),
        (sealed(4, Ed25519PrivateKey.generate()), "unknown_key"),
        (sealed(4).replace(b"permitted_work", b"drainage_only."), "bad_signature"),
        (sealed(4, node_id="n2"), "not_for_this_node"),
        (b"", "not_json"),
        (b"{}", "wrong_shape"),
    ],
)
def test_anything_else_is_refused_by_name_and_changes_nothing(tmp_path: Path, payload: bytes, reason: str) -> None:
    kept = keeper(tmp_path)
    kept.take(sealed(3))
    assert kept.take(payload) == reason
    assert kept.last_refusal == reason
    assert kept.current().version == 3
    assert keeper(tmp_path).current().version == 3


def test_without_a_pinned_key_nothing_is_believed_not_even_what_is_kept(tmp_path: Path) -> None:
    keeper(tmp_path).take(sealed(3))
    unpinned = keeper(tmp_path, None)
    assert unpinned.current().version == 0
    assert unpinned.take(sealed(4)) == "no_service_key"


def test_what_cannot_be_kept_does_not_hold(tmp_path: Path) -> None:
    kept = keeper(tmp_path / "gone")
    assert kept.take(sealed(3)) == "not_kept"
    assert kept.current().version == 0


@pytest.mark.parametrize(("killed_before", "holds"), [("write", b"old"), ("rename", b"old"), ("sync_folder", b"new")])
def test_a_file_is_the_old_or_the_new_one_wherever_the_plug_is_pulled(
    tmp_path: Path, killed_before: str, holds: bytes
) -> None:
    path = tmp_path / "kept"
    replace_file(path, b"old")

    def pull(step: str) -> None:
        if step == killed_before:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, b"new", step=pull)
    assert path.read_bytes() == holds
    replace_file(path, b"newest")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("kept", b"newest")]


def test_a_pinned_key_that_is_none_is_advised_about_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    for wrong in ("abc", "x" * 42, "密"):
        path.write_text(
            f'site_id = "s"\nnode_id = "n"\ndata_dir = "d"\nmqtt.url = "mqtt://x"\nservice_public_key = "{wrong}"\n',
            encoding="utf-8",
        )
        with pytest.raises(SettingsError, match=r"node\.toml: service_public_key: .*copy what `sealwatch cloud key`"):
            load_node(path)


def test_one_that_the_next_key_seals_anew_is_kept_so_and_outlives_the_former_key(tmp_path: Path) -> None:
    following = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    both = {key_id(key): key for key in (PINNED, following.public_key())}
    kept = keeper(tmp_path, both)
    assert kept.take(sealed(3)) == "taken"
    assert kept.take(sealed(3, following)) == "unchanged"
    assert keeper(tmp_path, following.public_key()).current().version == 3
    assert keeper(tmp_path, PINNED).current().version == 0
