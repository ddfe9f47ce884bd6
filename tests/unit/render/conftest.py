from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.plan import Plan, resolve
from pipeline.plan.model import Written
from pipeline.render import Bundle, Inputs, render
from pipeline.scenario import load

SCENARIO = Path(__file__).parents[3] / "scenarios" / "rx560.yaml"


def make_plan(*settings: str) -> Plan:
    return resolve(load(SCENARIO, settings=settings))


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan()


@pytest.fixture(scope="session")
def bundle(plan: Plan) -> Bundle:
    return render(plan, inputs=Inputs(scenario=SCENARIO.read_bytes()))


@pytest.fixture(scope="session")
def planned():
    return make_plan


@pytest.fixture(scope="session")
def with_host():
    """A plan whose host's `field` has these values, past the scenario's model."""

    def change(plan: Plan, field: str, values: list[str]) -> Plan:
        place = plan.guest.machine.place
        written = tuple(Written(value=value, place=place) for value in values)
        return replace(plan, host=replace(plan.host, **{field: written}))

    return change
