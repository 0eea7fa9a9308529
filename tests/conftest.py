"""Fixtures that every test may use."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# Shared machines stall; a slow example is not a wrong one.
settings.register_profile("suite", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio alone: uvicorn and aiosmtplib do."""
    return "asyncio"
