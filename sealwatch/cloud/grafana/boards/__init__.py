"""The six dashboards."""

from __future__ import annotations

from typing import Final

from sealwatch.cloud.grafana.boards import closure, fleet, overview, paging, power, site
from sealwatch.cloud.grafana.panels import Board

BOARDS: Final[tuple[Board, ...]] = (overview.BOARD, site.BOARD, power.BOARD, paging.BOARD, fleet.BOARD, closure.BOARD)
