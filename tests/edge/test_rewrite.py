"""The configuration file changed by a program: valid, whole or not at all, and otherwise as people wrote it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.settings import SettingsError
from sealwatch.edge.config import LineSettings, RegionSettings, ZoneSettings, load_node, parse_node
from sealwatch.edge.rewrite import ChangedMeanwhileError, Drawn, drawn_of, install, revision, with_drawn

TEXT = """\
# the node of the east gully
site_id = "s"   # the mine's code
node_id = "n"
data_dir = "d"

[mqtt]
url = "mqtt://127.0.0.1:1"

[[cameras]]  # the gate
camera_id = "inline"
source = "gate.mp4"  # a clip
zones = [{ name = "井口", polygon = [[0.1, 0.4], [0.9, 0.4], [0.9, 0.95]] }]

[[cameras]]
camera_id = "tables"
source = "door.mp4"
# counted since May
[[cameras.lines]]   # the door
name = "door"
points = [[0.1,0.1],[0.2,0.2]] # where feet cross
inside = [0.5, 0.5]
[[cameras.equipment]]
name = "drum"
polygon = [[0.1,0.1],[0.2,0.1],[0.2,0.2]]

[[meters]]
meter_id = "m"
url = "tcp://h:1"
address = "1"
"""
TRIANGLE = [(0.1, 0.1), (0.5, 0.1), (0.5, 0.5)]


def drawn(text: str, camera: int) -> Drawn:
    return drawn_of(parse_node(text, name="x").cameras[camera])


def test_what_is_not_altered_leaves_every_character_as_it_was() -> None:
    assert with_drawn(TEXT, "inline", drawn(TEXT, 0)) == TEXT
    assert with_drawn(TEXT, "tables", drawn(TEXT, 1)) == TEXT


def test_a_zone_added_to_each_way_of_writing_keeps_the_comments_and_the_other_camera() -> None:
    zone = ZoneSettings(name="new", polygon=TRIANGLE, dwell_s=3)
    for camera, index in (("inline", 0), ("tables", 1)):
        before = drawn(TEXT, index)
        wanted = Drawn(zones=[*before.zones, zone], lines=before.lines, equipment=before.equipment)
        after = with_drawn(TEXT, camera, wanted)
        assert drawn(after, index) == wanted
        assert drawn(after, 1 - index) == drawn(TEXT, 1 - index)
        for comment in TEXT.split("\n"):
            if "#" in comment:
                assert "#" + comment.split("#")[1] in after


def test_a_table_that_is_moved_keeps_its_name_and_comment() -> None:
    region = RegionSettings(name="drum", polygon=[(0.5, 0.5), (0.6, 0.5), (0.6, 0.6)])
    line = LineSettings(name="door", points=[(0.3, 0.3), (0.4, 0.4)], inside=(0.5, 0.5))
    after = with_drawn(TEXT, "tables", Drawn(lines=[line], equipment=[region]))
    assert "[[cameras.lines]]   # the door" in after
    assert drawn(after, 1) == Drawn(lines=[line], equipment=[region])


def test_everything_can_be_taken_away() -> None:
    after = with_drawn(with_drawn(TEXT, "tables", Drawn()), "inline", Drawn())
    assert [drawn(after, 0), drawn(after, 1)] == [Drawn(), Drawn()]
    assert "# counted since May" in after


NUMBER = st.floats(0, 1).map(lambda v: round(v, 4))
POINT = st.tuples(NUMBER, NUMBER)
NAME = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
SECONDS = st.none() | st.floats(1, 600).map(lambda v: round(v, 2))
ZONES = st.lists(
    st.builds(
        ZoneSettings,
        name=NAME,
        polygon=st.lists(POINT, min_size=3, max_size=6),
        dwell_s=SECONDS,
        loiter_s=SECONDS,
    ),
    max_size=3,
    unique_by=lambda zone: zone.name,
)
LINES = st.lists(
    st.builds(LineSettings, name=NAME, points=st.lists(POINT, min_size=2, max_size=2), inside=POINT),
    max_size=2,
    unique_by=lambda line: line.name,
)


@settings(max_examples=60, deadline=None)
@given(ZONES, LINES, ZONES)
def test_whatever_is_drawn_is_what_the_file_says_afterwards(
    zones: list[ZoneSettings], lines: list[LineSettings], again: list[ZoneSettings]
) -> None:
    text = TEXT
    for wanted in (Drawn(zones=zones, lines=lines), Drawn(zones=again, lines=lines[:1]), Drawn(zones=zones)):
        for camera, index in (("inline", 0), ("tables", 1)):
            text = with_drawn(text, camera, wanted)
            assert drawn(text, index) == wanted


def test_a_name_used_twice_and_an_unknown_camera_are_refused() -> None:
    twice = [ZoneSettings(name="a", polygon=TRIANGLE)] * 2
    with pytest.raises(UsageError, match="the name a is used twice"):
        with_drawn(TEXT, "inline", Drawn(zones=twice))
    with pytest.raises(UsageError, match="no camera 'other'"):
        with_drawn(TEXT, "other", Drawn())


def test_cameras_written_in_one_inline_array_work_too() -> None:
    head = TEXT.split("[[cameras]]", maxsplit=1)[0]
    text = head.replace("[mqtt]", 'cameras = [{ camera_id = "c", source = "x.mp4" }]\n\n[mqtt]')
    wanted = Drawn(zones=[ZoneSettings(name="z", polygon=TRIANGLE)])
    assert drawn(with_drawn(text, "c", wanted), 0) == wanted


def test_installing_keeps_rights_and_link_and_refuses_what_is_not_valid(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "node.toml"
    real.write_text(TEXT)
    real.chmod(0o640)
    link.symlink_to(real)
    after = with_drawn(TEXT, "inline", Drawn())
    assert install(link, after, expected=revision(TEXT)) == load_node(link)
    assert link.is_symlink()
    assert real.read_text() == after
    assert real.stat().st_mode & 0o777 == 0o640
    with pytest.raises(SettingsError, match="site"):
        install(link, after.replace("site_id", "sight_id"))
    with pytest.raises(ChangedMeanwhileError, match="load it again"):
        install(link, TEXT, expected=revision(TEXT))
    assert real.read_text() == after
    assert sorted(os.listdir(tmp_path)) == ["node.toml", "real.toml"]  # noqa: PTH208 - names are wanted


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.toml"
    path.write_text(TEXT)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sealwatch.edge.rewrite.replace_file", refuse)
    with pytest.raises(CommandFailed, match="cannot be written: Permission denied; let the agent's user"):
        install(path, TEXT)
