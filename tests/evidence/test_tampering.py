"""Any change of any byte, order or presence is reported, and with the reason that fits."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealwatch.base import text
from sealwatch.contract import signing
from sealwatch.contract.wire import encode
from sealwatch.evidence.container import ZipContainer
from sealwatch.evidence.pack import CHAIN, CONTENTS
from sealwatch.evidence.verify import Verdict, verify
from tests.evidence import support
from tests.evidence.support import KEY, ROGUE, Pack

SLOWLY = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CLIP = "files/clip-1/clip.mp4"
MANIFEST = "manifests/clip-1.json"
ALTERED = {"manifests/": "altered_manifest", "files/": "altered_file", "messages/": "altered_message"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return support.build(tmp_path_factory.mktemp("pack"))


def verdict_on(data: bytes, folder: Path) -> Verdict:
    path = folder / "pack.zip"
    path.write_bytes(data)
    verdict = verify(path, [KEY.public_key()])
    for finding in verdict.findings:
        for language in text.Language:
            assert finding.sentence(language)
    return verdict


def reasons(verdict: Verdict) -> set[tuple[str, str]]:
    return {(f.reason, f.member) for f in verdict.faults}


def names(verdict: Verdict) -> set[str]:
    return {f.reason for f in verdict.faults}


def altered_reason(member: str) -> str:
    if member == CONTENTS:
        return "altered_contents"
    if member == CHAIN:
        return "altered_link"
    return next((reason for prefix, reason in ALTERED.items() if member.startswith(prefix)), "altered_file")


def test_an_untouched_pack_holds(good: bytes, tmp_path: Path) -> None:
    verdict = verdict_on(good, tmp_path)
    assert verdict.findings == ()
    assert verdict.holds
    assert [m.item_id for m in verdict.manifests] == ["clip-1", "clip-2"]
    assert [link.index for link in verdict.links] == [1, 2, 3, 4, 5]


def test_any_zip_tool_opens_it(good: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[:2] == [CONTENTS, CHAIN]


@SLOWLY
@given(data=st.data())
def test_a_changed_byte_anywhere_is_reported_where_it_is(good: bytes, tmp_path: Path, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(good) - 1), label="offset")
    flipped = bytearray(good)
    flipped[offset] ^= data.draw(st.integers(1, 255), label="xor")
    verdict = verdict_on(bytes(flipped), tmp_path)
    assert not verdict.holds
    layout = ZipContainer(io.BytesIO(good)).entries
    inside = next((e for e in layout if e.offset <= offset < e.offset + e.size_bytes), None)
    if inside is None:
        assert "altered_container" in names(verdict)
        return
    expected = altered_reason(inside.name)
    assert expected in names(verdict)
    assert all(m == inside.name or m.startswith(f"{inside.name}:") for _, m in reasons(verdict))


@SLOWLY
@given(data=st.data())
def test_a_pack_cut_off_anywhere_is_truncated(good: bytes, tmp_path: Path, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(good) - 1), label="length")
    assert "truncated_pack" in names(verdict_on(good[:length], tmp_path))


@SLOWLY
@given(tail=st.binary(min_size=1, max_size=64))
def test_bytes_put_behind_or_before_a_pack_are_reported(good: bytes, tmp_path: Path, tail: bytes) -> None:
    assert "altered_container" in names(verdict_on(good + tail, tmp_path))
    assert not verdict_on(tail + good, tmp_path).holds


@settings(parent=SLOWLY, max_examples=60)
@given(data=st.data())
def test_a_member_taken_out_is_named(good: bytes, tmp_path: Path, data: st.DataObject) -> None:
    pack = support.unpack(good)
    gone = data.draw(st.sampled_from(sorted(pack.members)), label="member")
    del pack.members[gone]
    found = reasons(verdict_on(pack.zipped(), tmp_path))
    if gone == CONTENTS:
        assert found == {("missing_contents", CONTENTS)}
    else:
        expected = "removed_item" if gone.startswith(("manifests/", "messages/")) else "missing_file"
        assert found == {(expected, gone)}


@settings(parent=SLOWLY, max_examples=60)
@given(
    name=st.from_regex(r"(files|manifests|messages)/[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True),
    body=st.binary(max_size=50),
)
def test_a_member_added_is_named(good: bytes, tmp_path: Path, name: str, body: bytes) -> None:
    pack = support.unpack(good)
    pack.members[name] = body
    assert ("inserted_item", name) in reasons(verdict_on(pack.zipped(), tmp_path))


@settings(parent=SLOWLY, max_examples=60)
@given(data=st.data())
def test_members_in_another_order_are_reported(good: bytes, tmp_path: Path, data: st.DataObject) -> None:
    pack = support.unpack(good)
    order = data.draw(st.permutations(list(pack.members)), label="order")
    shuffled = Pack({name: pack.members[name] for name in order})
    found = reasons(verdict_on(shuffled.zipped(), tmp_path))
    assert found == (set() if order == list(pack.members) else {("reordered_items", CONTENTS)})


def lines_of(pack: Pack) -> list[bytes]:
    return pack.members[CHAIN].splitlines()


def with_lines(pack: Pack, lines: list[bytes]) -> bytes:
    return Pack({**pack.members, CHAIN: b"".join(line + b"\n" for line in lines)}).zipped()


@settings(parent=SLOWLY, max_examples=100)
@given(data=st.data())
def test_tampering_with_the_chain_is_told_apart(good: bytes, tmp_path: Path, data: st.DataObject) -> None:
    pack = support.unpack(good)
    lines = lines_of(pack)
    how = data.draw(st.sampled_from(["remove", "swap", "repeat", "cut", "replace"]), label="how")
    at = data.draw(st.integers(0, len(lines) - 1), label="line")
    if how == "remove":
        expected = "truncated_chain" if at in (0, len(lines) - 1) else "removed_link"
        lines = lines[:at] + lines[at + 1 :]
    elif how == "swap":
        other = data.draw(st.integers(0, len(lines) - 1).filter(lambda n: n != at), label="other")
        lines[at], lines[other] = lines[other], lines[at]
        expected = "reordered_link"
    elif how == "repeat":
        lines.insert(data.draw(st.integers(0, len(lines)), label="to"), lines[at])
        expected = "inserted_link"
    elif how == "cut":
        lines, expected = lines[:at], "truncated_chain"
    else:
        forged = support.Chain(ROGUE)
        for _ in range(at + 1):
            forged.add("0" * 64)
        lines[at], expected = forged.lines[at], "wrong_key"
    assert expected in names(verdict_on(with_lines(pack, lines), tmp_path))


def test_a_second_history_signed_with_the_right_key_breaks_the_chain(good: bytes, tmp_path: Path) -> None:
    pack, fork = support.unpack(good), support.Chain()
    for number in range(3):
        fork.add(f"{number}" * 64)
    lines = lines_of(pack)
    lines[2] = fork.lines[2]
    assert ("broken_chain", "chain.jsonl:3") in reasons(verdict_on(with_lines(pack, lines), tmp_path))


def test_files_of_two_items_exchanged_are_both_altered(good: bytes, tmp_path: Path) -> None:
    pack = support.unpack(good)
    other = "files/clip-2/clip.mp4"
    pack.members[CLIP], pack.members[other] = pack.members[other], pack.members[CLIP]
    assert reasons(verdict_on(pack.zipped(), tmp_path)) == {("altered_file", CLIP), ("altered_file", other)}


def test_manifests_exchanged_are_substituted(good: bytes, tmp_path: Path) -> None:
    pack = support.unpack(good)
    other = "manifests/clip-2.json"
    pack.members[MANIFEST], pack.members[other] = pack.members[other], pack.members[MANIFEST]
    found = reasons(verdict_on(pack.zipped(), tmp_path))
    assert {("substituted_item", MANIFEST), ("substituted_item", other)} <= found


def test_a_file_cut_short_is_truncated_not_just_altered(good: bytes, tmp_path: Path) -> None:
    pack = support.unpack(good)
    pack.members[CLIP] = pack.members[CLIP][:100]
    assert reasons(verdict_on(pack.zipped(), tmp_path)) == {("truncated_file", CLIP)}


def test_a_whole_pack_made_with_another_key_is_of_the_wrong_key(tmp_path: Path) -> None:
    forged = support.build(tmp_path, key=ROGUE)
    found = reasons(verdict_on(forged, tmp_path))
    assert ("wrong_key", CONTENTS) in found
    assert ("wrong_key", MANIFEST) in found
    assert {reason for reason, _ in found} == {"wrong_key"}


def test_without_a_key_the_origin_is_not_proved(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(good)
    verdict = verify(path, [])
    assert not verdict.holds
    assert names(verdict) == {"no_key_given"}


@pytest.mark.parametrize("member", [CONTENTS, MANIFEST])
@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data.replace(b'"v":1', b'"v": 1', 1),
        lambda data: data.replace(b'"key_id":"', b'"key_id":"0', 1),
        lambda data: data.replace(signing.key_id(KEY.public_key()).encode(), b"0" * 16, 1),
        lambda data: data[:-1] + b',"extra":1}',
        lambda data: data.replace(b'"type":"', b'"type":"link","type":"', 1),
    ],
    ids=["space", "key id longer", "key renamed", "field added", "type doubled"],
)
def test_changes_around_the_signed_text_count_too(
    good: bytes, tmp_path: Path, member: str, edit: Callable[[bytes], bytes]
) -> None:
    pack = support.unpack(good)
    changed = edit(pack.members[member])
    assert changed != pack.members[member]
    pack.members[member] = changed
    assert (altered_reason(member), member) in reasons(verdict_on(pack.zipped(), tmp_path))


def test_a_repacked_zip_is_reported_though_every_file_is_right(good: bytes, tmp_path: Path) -> None:
    pack, again = support.unpack(good), io.BytesIO()
    with zipfile.ZipFile(again, "w") as archive:
        for name, data in pack.members.items():
            archive.writestr(name, data)
    verdict = verdict_on(again.getvalue(), tmp_path)
    assert names(verdict) == {"altered_container"}
    assert len(verdict.manifests) == 2


def test_an_item_that_never_was_in_the_chain_is_reported(tmp_path: Path) -> None:
    data = support.build(tmp_path, skip_link_of="clip-2")
    assert reasons(verdict_on(data, tmp_path)) == {("not_in_chain", "manifests/clip-2.json")}


def test_a_chain_that_does_not_start_at_its_beginning_is_broken() -> None:
    from sealwatch.evidence import chain

    links = support.Chain()
    links.head = chain.Head(0, "1" * 64)
    links.add("2" * 64)
    found = chain.check(links.lines, {signing.key_id(KEY.public_key()): KEY.public_key()}, None)
    assert [f.reason for f in found.findings] == ["broken_chain"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=600))
def test_rubbish_gets_a_verdict_not_a_traceback(tmp_path: Path, data: bytes) -> None:
    assert not verdict_on(data, tmp_path).holds
    assert not verdict_on(
        Pack({CONTENTS: data, CHAIN: data, MANIFEST: data, "messages/a.json": data}).zipped(), tmp_path
    ).holds


def test_every_document_comes_out_of_its_own_json_as_it_went_in() -> None:
    document = support.manifest("clip-9", {"clip.mp4": b"1"})
    import msgspec

    assert encode(msgspec.json.decode(encode(document), type=type(document))) == encode(document)
