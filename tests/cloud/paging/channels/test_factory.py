"""[[channels]] of a configuration file into channels that the ladder can name."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from sealwatch.base.settings import SettingsError
from sealwatch.cloud.config import address_of, load_cloud
from sealwatch.cloud.paging.channels import factory
from sealwatch.cloud.paging.channels.dingtalk import DingTalkRobot
from sealwatch.cloud.service import channels, channels_alone
from tests.cloud.paging.channels.vendor import a_request

BASE = """
data_dir = "data"
mqtt.url = "mqtt://127.0.0.1:1883"
[[people]]
person_id = "wang"
name = "王×"
level = 2
telephone = "13800000000"
addresses.app = "wang01"
"""
STEP = '[[ladder]]\nafter_s = 0.0\nperson_id = "wang"\nchannel = "{}"\n'
TABLES = {
    "dingtalk_robot": 'access_token = "env:S"\nsecret = "env:S"',
    "dingtalk_work": 'app_key = "k"\napp_secret = "env:S"\nagent_id = 1',
    "wecom_robot": 'key = "env:S"',
    "wecom_app": 'corp_id = "c"\nsecret = "env:S"\nagent_id = 1',
    "feishu_robot": 'hook_id = "env:S"',
    "aliyun_sms": 'key_id = "k"\nkey_secret = "env:S"\nsign_name = "s"\ntemplate = "t"\nvariables.a = "title"',
    "aliyun_voice": 'key_id = "k"\nkey_secret = "env:S"\ntemplate = "t"\nvariables.a = "title"',
    "tencent_sms": 'secret_id = "i"\nsecret_key = "env:S"\napp_id = "1"\nsign_name = "s"\ntemplate = "t"\n'
    'variables = ["title"]',
    "tencent_voice": 'secret_id = "i"\nsecret_key = "env:S"\napp_id = "1"\ntemplate = "t"\nvariables = ["page"]',
    "gsm_modem": 'device = "/dev/ttyUSB2"',
    "mqtt": 'topic = "county/pages"',
}


def written(folder: Path, *parts: str) -> Path:
    file = folder / "cloud.toml"
    file.write_text(BASE + "\n".join(parts), encoding="utf-8")
    return file


def table(kind: str, name: str = "app") -> str:
    return f'[[channels]]\nkind = "{kind}"\nname = "{name}"\n{TABLES[kind]}\n'


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_is_built_and_may_stand_in_the_ladder(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S", "secret-1")
    cloud = load_cloud(written(tmp_path, table(kind), STEP.format("app")))
    with contextlib.ExitStack() as opened:
        assert set(channels(cloud, opened)) == {"app"}
    assert address_of(cloud, cloud.people[0], cloud.ladder[0].channel) == "wang01"


def test_a_person_without_an_own_address_is_reached_by_telephone_number(tmp_path: Path) -> None:
    cloud = load_cloud(written(tmp_path, table("gsm_modem", "sms"), STEP.format("sms")))
    assert address_of(cloud, cloud.people[0], "sms") == "13800000000"


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((STEP.format("pigeon"),), "ladder: pigeon is no channel"),
        ((table("mqtt"), table("mqtt")), "the name app is already taken"),
        ((table("mqtt", "email"),), "the name email is already taken"),
        (('[[channels]]\nkind = "web_push"\nname = "push"\n',), 'web_push wants web.login = "accounts"'),
        ((table("wecom_app", "work"), STEP.format("work")), "wants that person's addresses.work"),
        ((table("mqtt", "much-too-long-name"),), "matching regex"),
        ((table("mqtt").replace("county/pages", "county/#"),), "matching regex"),
        ((table("dingtalk_robot").replace('"env:S"', '"token"', 1),), "matching regex"),
        (('[[channels]]\nkind = "pigeon"\nname = "p"\n',), "pigeon"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, parts: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load_cloud(written(tmp_path, *parts))


def test_web_push_asks_for_the_browsers_of_a_person_by_their_id(tmp_path: Path) -> None:
    push = '[[channels]]\nkind = "web_push"\nname = "push"\n'
    file = written(tmp_path, push, STEP.format("push"), '[web]\nlogin = "accounts"\n')
    cloud = load_cloud(file)
    assert address_of(cloud, cloud.people[0], "push") == "wang"
    with contextlib.ExitStack() as opened:
        made = channels_alone(cloud, file, opened)
        assert made["push"].submit(a_request("wang")).reason == "nobody_subscribed"


def test_a_missing_secret_names_its_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S", raising=False)
    cloud = load_cloud(written(tmp_path, table("dingtalk_robot")))
    with contextlib.ExitStack() as opened, pytest.raises(SettingsError, match="channels: app: secret env:S"):
        factory.build(cloud, opened)


@pytest.mark.parametrize("scheme", ["dingtalk", "feishu", "lark", "wecombot"])
def test_apprise_is_not_trusted_with_robots(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", f"{scheme}://token")
    text = '[[channels]]\nkind = "apprise"\nname = "a"\nurl = "env:S"\n'
    cloud = load_cloud(written(tmp_path, text))
    with contextlib.ExitStack() as opened, pytest.raises(SettingsError, match="a channel kind of its own"):
        factory.build(cloud, opened)


def test_a_dingtalk_robot_is_made_of_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", "x")
    with contextlib.ExitStack() as opened:
        made = factory.build(load_cloud(written(tmp_path, table("dingtalk_robot"))), opened)
        assert isinstance(made["app"], DingTalkRobot)
