"""Configured channels into working ones."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol, assert_never

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.base.settings import SettingsError, secret
from sealwatch.cloud.config import CloudSettings
from sealwatch.cloud.paging.channels import settings as kinds
from sealwatch.cloud.paging.channels.aliyun import AliyunSms, AliyunVoice
from sealwatch.cloud.paging.channels.dingtalk import DingTalkRobot, DingTalkWork
from sealwatch.cloud.paging.channels.feishu import FeishuRobot
from sealwatch.cloud.paging.channels.gsm import GsmChannel
from sealwatch.cloud.paging.channels.longtail import AppriseChannel
from sealwatch.cloud.paging.channels.mqtt import MqttChannel
from sealwatch.cloud.paging.channels.tencent import TencentSms, TencentVoice
from sealwatch.cloud.paging.channels.web_push import PushMeans, WebPush
from sealwatch.cloud.paging.channels.wecom import WeComApplication, WeComRobot
from sealwatch.cloud.ports import PageChannel, PageRequest, Submission


class _Closable(Protocol):
    def submit(self, request: PageRequest) -> Submission: ...

    def close(self) -> None: ...


def build(
    cloud: CloudSettings, opened: contextlib.ExitStack, clock: Clock | None = None, push: PushMeans | None = None
) -> dict[str, PageChannel]:
    """The channels of ``[[channels]]`` by name; closed with `opened`. Raises SettingsError for a bad secret.

    `push` is wanted where one of them is a `web_push`.
    """
    found: dict[str, PageChannel] = {}
    for one in cloud.channels:
        try:
            channel = _made(one, cloud, clock or SystemClock(), push)
        except SettingsError as error:
            raise SettingsError(f"channels: {one.name}: {error}") from None
        opened.callback(channel.close)
        found[one.name] = channel
    return found


def _made(one: kinds.Channel, cloud: CloudSettings, clock: Clock, push: PushMeans | None) -> _Closable:
    match one:
        case kinds.DingTalkRobotSettings():
            return DingTalkRobot(
                access_token=secret(one.access_token), secret=_or_none(one.secret), clock=clock, base_url=one.base_url
            )
        case kinds.WeComRobotSettings():
            return WeComRobot(key=secret(one.key), base_url=one.base_url)
        case kinds.FeishuRobotSettings():
            return FeishuRobot(
                hook_id=secret(one.hook_id), secret=_or_none(one.secret), clock=clock, base_url=one.base_url
            )
        case kinds.DingTalkWorkSettings() | kinds.WeComApplicationSettings():
            return _application(one, clock)
        case kinds.GsmSettings():
            return GsmChannel(
                device=one.device,
                baud=one.baud,
                pin=_or_none(one.pin),
                mode=one.mode,
                answer_wait_s=one.answer_wait_s,
                answerable=one.mode == "sms",
            )
        case kinds.MqttSettingsOfChannel():
            return MqttChannel(cloud.mqtt, one.topic)
        case kinds.AppriseSettings():
            return AppriseChannel(secret(one.url))
        case kinds.WebPushSettings():
            if push is None:
                raise ValueError("web push wants its key and the database of subscriptions")
            return WebPush(push, services=one.services, subject=cloud.web.public_url, clock=clock)
        case _:
            return _carrier(one, clock)


def _application(one: kinds.DingTalkWorkSettings | kinds.WeComApplicationSettings, clock: Clock) -> _Closable:
    if isinstance(one, kinds.DingTalkWorkSettings):
        return DingTalkWork(
            app_key=one.app_key,
            app_secret=secret(one.app_secret),
            agent_id=one.agent_id,
            clock=clock,
            base_url=one.base_url,
        )
    return WeComApplication(
        corp_id=one.corp_id, secret=secret(one.secret), agent_id=one.agent_id, clock=clock, base_url=one.base_url
    )


def _carrier(
    one: kinds.AliyunSmsSettings | kinds.AliyunVoiceSettings | kinds.TencentSmsSettings | kinds.TencentVoiceSettings,
    clock: Clock,
) -> _Closable:
    match one:
        case kinds.AliyunSmsSettings():
            return AliyunSms(
                key_id=one.key_id,
                key_secret=secret(one.key_secret),
                sign_name=one.sign_name,
                template=one.template,
                variables=one.variables,
                clock=clock,
                base_url=one.base_url,
            )
        case kinds.AliyunVoiceSettings():
            return AliyunVoice(
                key_id=one.key_id,
                key_secret=secret(one.key_secret),
                template=one.template,
                variables=one.variables,
                caller_number=one.caller_number,
                clock=clock,
                base_url=one.base_url,
            )
        case kinds.TencentSmsSettings() | kinds.TencentVoiceSettings():
            common: dict[str, Any] = {
                "secret_id": one.secret_id,
                "secret_key": secret(one.secret_key),
                "app_id": one.app_id,
                "template": one.template,
                "variables": one.variables,
                "clock": clock,
                "base_url": one.base_url,
                "region": one.region,
            }
            if isinstance(one, kinds.TencentSmsSettings):
                return TencentSms(sign_name=one.sign_name, **common)
            return TencentVoice(**common)
        case _:
            assert_never(one)


def _or_none(reference: str) -> str:
    return secret(reference) if reference else ""
