"""A passthrough set-up as the rules see it, whatever it was read from: a scenario, a bundle, or a machine's files."""

from pipeline.setup.model import Setup

__all__ = ["Setup"]
