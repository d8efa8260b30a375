from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.paging.channels.vendor import Vendor, serving


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor of the test's own (see `vendor.py`)."""
    with serving() as one:
        yield one
