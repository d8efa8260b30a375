"""The configuration file becomes the registry, at every start anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from sealwatch.base import settings
from sealwatch.base.clock import ManualClock
from sealwatch.base.settings import SettingsError
from sealwatch.cloud.config import CloudSettings, load_cloud
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Node, Person, Site
from sealwatch.cloud.duty.ladder import DutyLadder
from sealwatch.cloud.duty.store import give_back, put_person
from sealwatch.cloud.registry.cache import REFRESH_S, RegistryCache
from sealwatch.cloud.registry.sync import SyncReport, sync
from sealwatch.cloud.registry.view import load
from sealwatch.contract.signing import public_key_text

KEY = public_key_text(Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key())
OTHER = public_key_text(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))).public_key())
FILE = f"""
data_dir = "data"
mqtt.url = "mqtt://127.0.0.1:1883"
webhook.secret = "env:SECRET"
smtp = {{ host = "mail.example", sender = "seal@county.example" }}
[[sites]]
site_id = "s1"
name_zh = "一号井"
name_en = "Pit 1"
[[nodes]]
node_id = "n1"
site_id = "s1"
public_key = "{KEY}"
[[people]]
person_id = "li"
name = "李×"
level = 3
email = "li@county.example"
[[people]]
person_id = "wang"
name = "王×"
role = "村民组长"
level = 5
webhook_url = "http://127.0.0.1:9/"
[[ladder]]
after_s = 60.0
person_id = "li"
channel = "email"
[[ladder]]
after_s = 0.0
person_id = "wang"
channel = "webhook"
"""


def parsed(text: str) -> CloudSettings:
    return settings.parse(CloudSettings, text, name="cloud.toml")


def run(database: Database, text: str) -> SyncReport:
    with database.write() as session:
        return sync(session, parsed(text))


def test_the_first_start_adds_everything_and_the_second_changes_nothing(database: Database) -> None:
    assert run(database, FILE) == SyncReport(added=("s1", "n1", "li", "wang"), changed=(), removed=())
    assert run(database, FILE) == SyncReport(added=(), changed=(), removed=())
    with database.read() as session:
        assert session.get_one(Person, "wang").role == "村民组长"
        assert load(session).nodes["n1"].site_id == "s1"


def test_what_was_edited_is_brought_up_to_date_and_a_nodes_last_word_is_kept(database: Database) -> None:
    run(database, FILE)
    with database.write() as session:
        session.get_one(Node, "n1").state = "online"
    report = run(database, FILE.replace("一号井", "主井").replace(KEY, OTHER))
    assert report.changed == ("s1", "n1")
    with database.read() as session:
        node = session.get_one(Node, "n1")
        assert (node.public_key, node.state) == (OTHER, "online")
        assert session.get_one(Site, "s1").name_zh == "主井"


def test_a_node_that_left_the_file_loses_its_right_to_be_believed_but_people_and_sites_stay(database: Database) -> None:
    run(database, FILE)
    report = run(database, 'data_dir = "data"\nmqtt.url = "mqtt://127.0.0.1:1883"\n')
    assert report.removed == ("n1",)
    with database.read() as session:
        assert load(session).nodes == {}
        assert load(session).site_ids == {"s1"}
        assert set(session.scalars(select(Person.person_id))) == {"li", "wang"}


def test_a_change_by_another_process_is_noticed_after_a_while(database: Database) -> None:
    clock = ManualClock()
    cache = RegistryCache(database, clock)
    assert cache.current().nodes == {}
    run(database, FILE)
    clock.advance(REFRESH_S - 1)
    assert cache.current().nodes == {}
    clock.advance(1)
    assert set(cache.current().nodes) == {"n1"}


def test_a_person_edited_in_the_service_is_left_alone_until_given_back(database: Database) -> None:
    run(database, FILE)
    with database.write() as session:
        put_person(session, "li", {"name": "李×", "level": 2, "telephone": "13900000000"})
    assert run(database, FILE.replace("level = 3", "level = 4")) == SyncReport(added=(), changed=(), removed=())
    with database.write() as session:
        assert (session.get_one(Person, "li").level, session.get_one(Person, "li").email) == (2, "li@county.example")
        give_back(session, "li")
    assert run(database, FILE).changed == ("li",)
    with database.read() as session:
        assert (session.get_one(Person, "li").level, session.get_one(Person, "li").telephone) == (3, "")


def test_the_ladder_is_in_the_order_of_its_times_with_names_and_addresses(database: Database) -> None:
    run(database, FILE)
    with database.read() as session:
        made = DutyLadder(parsed(FILE)).at(session, 0)
    assert [(s.after_s, s.name, s.channel, s.address) for s in made.steps] == [
        (0.0, "王×", "webhook", "http://127.0.0.1:9/"),
        (60.0, "李×", "email", "li@county.example"),
    ]
    assert made.repeat_after_s == 300.0


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (('site_id = "s1"\npublic', 'site_id = "s9"\npublic'), "n1 stands at s9"),
        (('person_id = "wang"\nchannel', "channel"), "wants either person_id or roster"),
        (('person_id = "wang"\nchannel', 'person_id = "wang"\nroster = "day"\nchannel'), "wants either person_id or"),
        (('person_id = "wang"\nchannel = "webhook"', 'roster = "day"\nchannel = "pigeon"'), "pigeon is no channel"),
        (('person_id = "wang"\nchannel', 'person_id = "zhao"\nchannel'), "zhao is not among the people"),
        (('webhook_url = "http://127.0.0.1:9/"', ""), "webhook for wang wants webhook_url"),
        (('email = "li@county.example"', ""), "email for li wants email"),
        ((KEY, KEY[:-1]), "public_key"),
        (("level = 5", "level = 6"), "level"),
        (('mqtt.url = "mqtt://127.0.0.1:1883"', "ladder_repeat_s = 1.0\nmqtt.url = 'mqtt://h'"), "ladder_repeat_s"),
        (('data_dir = "data"', 'data_dir = "data"\ningest_group = "a/b"'), "ingest_group"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused_with_one_sentence(
    tmp_path: Path, change: tuple[str, str], wanted: str
) -> None:
    file = tmp_path / "cloud.toml"
    assert change[0] in FILE
    file.write_text(FILE.replace(*change), encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load_cloud(file)
    assert wanted in str(refused.value)
    assert "\n" not in str(refused.value)
