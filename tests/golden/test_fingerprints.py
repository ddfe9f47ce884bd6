"""What a real boot's fingerprint says, line by line."""

from __future__ import annotations

import pytest

from pipeline.fingerprint import model
from pipeline.fingerprint.reading import read
from tests.sightings import FOLDER, NAMES, sighting


@pytest.mark.parametrize("name", NAMES)
def test_a_boot_has_the_fingerprint_that_is_recorded(name, regenerate):
    found = read(sighting(name))
    path = FOLDER / f"{name}.json"
    if regenerate:
        path.write_text(found.text())
    assert found.text() == path.read_text(), "review the change, then: pytest tests/golden --regenerate"
    assert model.read(found.text()) == found
