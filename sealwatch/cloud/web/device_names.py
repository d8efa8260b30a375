"""What people call a device, by what its browser says of itself."""

from __future__ import annotations

from typing import Final

# A browser calls itself by many names; the first that fits is the right one, since all call themselves the later ones.
_SYSTEMS: Final = (
    ("HarmonyOS", "HarmonyOS"), ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
    ("Mac OS", "macOS"), ("Linux", "Linux"),
)  # fmt: skip
_BROWSERS: Final = (
    ("MicroMessenger/", "WeChat"), ("DingTalk/", "DingTalk"), ("Lark/", "Feishu"), ("HuaweiBrowser/", "Huawei Browser"),
    ("MiuiBrowser/", "Mi Browser"), ("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)  # fmt: skip


def device_name(agent: str) -> str:
    """What people call the device of a User-Agent: "Android · WeChat"; "" where it says nothing known."""
    names = (next((name for mark, name in known if mark in agent), "") for known in (_SYSTEMS, _BROWSERS))
    return " · ".join(name for name in names if name)
