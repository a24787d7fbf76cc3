"""Keys once for all tests of the room."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsule.people import House, house


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Anna, Bo and Eve."""
    return house(Path(tmp_path_factory.mktemp("keys")))
