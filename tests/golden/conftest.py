"""`pytest tests/golden --regenerate` writes the golden files anew; review the diff."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write the golden files instead of comparing")


@pytest.fixture(scope="session")
def regenerate(pytestconfig: pytest.Config) -> bool:
    # A run from the top loads this file too late for the option to exist.
    return bool(pytestconfig.getoption("--regenerate", default=False))
