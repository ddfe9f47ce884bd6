"""What every mapping of a scenario has in common."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict

# What is installed beside pydantic must not decide what a scenario may say; looking for it reads the metadata of
# every installed package.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"


class Part(BaseModel):
    """A mapping of the scenario: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
