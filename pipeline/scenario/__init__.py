"""The scenario: what an owner writes."""

from pipeline.scenario.loader import Loaded, called, find, load, loads, read
from pipeline.scenario.model import Scenario
from pipeline.scenario.schema import schema, schema_text
from pipeline.scenario.source import Source

__all__ = ["Loaded", "Scenario", "Source", "called", "find", "load", "loads", "read", "schema", "schema_text"]
