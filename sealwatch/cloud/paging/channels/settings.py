"""``[[channels]]`` of the configuration: one table a channel, told apart by its ``kind``. Secrets are references."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct, field

from sealwatch.cloud.paging.channels.templates import Field

Name = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,15}$", description="What the ladder calls it; not webhook, not email.")
]
Secret = Annotated[
    str, Meta(pattern=r"^(file|env):.+$", description="Reference to the secret: file:/path or env:NAME.")
]
OptionalSecret = Annotated[str, Meta(pattern=r"^((file|env):.+)?$", description="Reference to the secret, or empty.")]
BaseUrl = Annotated[str, Meta(pattern=r"^https?://[^/]+$", description="Only for a private installation or a proxy.")]
Words = Annotated[str, Meta(min_length=1, max_length=100)]
PerMinute = Annotated[int, Meta(ge=6, le=100, description="Messages a minute that the vendor allows this robot.")]

PUSH_SERVICES: Final = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "push.apple.com",
    "notify.windows.com",
)
"""Of Chrome, Firefox, Safari and Edge."""


class Common(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every channel has. `needs` is what a person must have: "telephone", "address" (of this channel),
    "subscription" (a browser of theirs, found by their person_id) or ""."""

    name: Name
    needs: ClassVar[str] = "telephone"


class DingTalkRobotSettings(Common, frozen=True, kw_only=True, tag="dingtalk_robot"):
    """A DingTalk group robot; people with a telephone number are called by name in the group."""

    access_token: Secret
    secret: OptionalSecret = ""
    base_url: BaseUrl = "https://oapi.dingtalk.com"
    per_minute: PerMinute = 20
    needs: ClassVar[str] = ""


class DingTalkWorkSettings(Common, frozen=True, kw_only=True, tag="dingtalk_work"):
    """DingTalk work notifications; each person's DingTalk userid stands in its ``addresses``."""

    app_key: Words
    app_secret: Secret
    agent_id: Annotated[int, Meta(ge=1)]
    base_url: BaseUrl = "https://oapi.dingtalk.com"
    needs: ClassVar[str] = "address"


class WeComRobotSettings(Common, frozen=True, kw_only=True, tag="wecom_robot"):
    """A WeCom group robot; people with a telephone number are called by name in the group."""

    key: Secret
    base_url: BaseUrl = "https://qyapi.weixin.qq.com"
    per_minute: PerMinute = 20
    needs: ClassVar[str] = ""


class WeComApplicationSettings(Common, frozen=True, kw_only=True, tag="wecom_app"):
    """Messages of a WeCom application; each person's userid stands in its ``addresses``."""

    corp_id: Words
    secret: Secret
    agent_id: Annotated[int, Meta(ge=1)]
    base_url: BaseUrl = "https://qyapi.weixin.qq.com"
    needs: ClassVar[str] = "address"


class FeishuRobotSettings(Common, frozen=True, kw_only=True, tag="feishu_robot"):
    """A Feishu or Lark group robot."""

    hook_id: Annotated[str, Meta(pattern=r"^(file|env):.+$", description="Reference to the end of the hook's address.")]
    secret: OptionalSecret = ""
    base_url: BaseUrl = "https://open.feishu.cn"
    per_minute: PerMinute = 20
    needs: ClassVar[str] = ""


class AliyunSmsSettings(Common, frozen=True, kw_only=True, tag="aliyun_sms"):
    """Text messages of Aliyun by an approved template."""

    key_id: Words
    key_secret: Secret
    sign_name: Words
    template: Words
    variables: Annotated[dict[str, Field], Meta(description="Variable of the template -> title, person, level, page.")]
    base_url: BaseUrl = "https://dysmsapi.aliyuncs.com"


class AliyunVoiceSettings(Common, frozen=True, kw_only=True, tag="aliyun_voice"):
    """Calls of Aliyun that speak an approved template."""

    key_id: Words
    key_secret: Secret
    template: Words
    variables: Annotated[dict[str, Field], Meta(description="Variable of the template -> title, person, level, page.")]
    caller_number: Annotated[str, Meta(pattern=r"^[0-9*]{0,20}$", description="Empty: a number of the pool.")] = ""
    base_url: BaseUrl = "https://dyvmsapi.aliyuncs.com"


class TencentSmsSettings(Common, frozen=True, kw_only=True, tag="tencent_sms"):
    """Text messages of Tencent Cloud by an approved template."""

    secret_id: Words
    secret_key: Secret
    app_id: Words
    sign_name: Words
    template: Words
    variables: Annotated[list[Field], Meta(description="What goes into {1}, {2} … of the template.")]
    region: Words = "ap-guangzhou"
    base_url: BaseUrl = "https://sms.tencentcloudapi.com"


class TencentVoiceSettings(Common, frozen=True, kw_only=True, tag="tencent_voice"):
    """Calls of Tencent Cloud that speak an approved template."""

    secret_id: Words
    secret_key: Secret
    app_id: Words
    template: Words
    variables: Annotated[list[Field], Meta(description="What goes into {1}, {2} … of the template.")]
    region: Words = "ap-guangzhou"
    base_url: BaseUrl = "https://vms.tencentcloudapi.com"


class GsmSettings(Common, frozen=True, kw_only=True, tag="gsm_modem"):
    """A modem on a serial port: text messages, and calls that are answered by a key."""

    device: Annotated[str, Meta(min_length=1, description="Serial port, best by its name in /dev/serial/by-id.")]
    baud: Annotated[int, Meta(ge=1200, le=921600)] = 115200
    pin: OptionalSecret = ""
    mode: Annotated[str, Meta(pattern=r"^(sms|call)$", description="'sms' or 'call'.")] = "sms"
    answer_wait_s: Annotated[float, Meta(ge=5, le=45, description="How long a call may ring and wait for a key.")] = (
        40.0
    )


class MqttSettingsOfChannel(Common, frozen=True, kw_only=True, tag="mqtt"):
    """A message on the broker of ``[mqtt]``, for displays and sirens of the county's own."""

    topic: Annotated[str, Meta(pattern=r"^[^#+\x00]{1,200}$", description="Without wildcards.")]
    needs: ClassVar[str] = ""


class WebPushSettings(Common, frozen=True, kw_only=True, tag="web_push"):
    """Notifications of browsers that people subscribed on their own account's page."""

    services: Annotated[
        list[Annotated[str, Meta(pattern=r"^[a-z0-9.-]{1,100}$")]],
        Meta(
            min_length=1,
            description="Hosts of push services, with what lies below them, that subscriptions may name: the service "
            "sends to no other address.",
        ),
    ] = field(default_factory=lambda: [*PUSH_SERVICES])
    needs: ClassVar[str] = "subscription"


class AppriseSettings(Common, frozen=True, kw_only=True, tag="apprise"):
    """Anything else that the library Apprise knows; its word is a plain yes or no."""

    url: Secret
    needs: ClassVar[str] = ""


Channel = (
    DingTalkRobotSettings
    | DingTalkWorkSettings
    | WeComRobotSettings
    | WeComApplicationSettings
    | FeishuRobotSettings
    | AliyunSmsSettings
    | AliyunVoiceSettings
    | TencentSmsSettings
    | TencentVoiceSettings
    | GsmSettings
    | MqttSettingsOfChannel
    | WebPushSettings
    | AppriseSettings
)

Robot = DingTalkRobotSettings | WeComRobotSettings | FeishuRobotSettings
"""Kinds whose vendor limits the messages a minute."""
