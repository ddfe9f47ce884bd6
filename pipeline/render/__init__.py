"""Plan to Bundle: the files for the host and the guest, in memory, then written in one go."""

from pipeline.render.bundle import Bundle, Inputs, render
from pipeline.render.validate import Problem, Status, Validation, validate
from pipeline.render.write import write

__all__ = ["Bundle", "Inputs", "Problem", "Status", "Validation", "render", "validate", "write"]
