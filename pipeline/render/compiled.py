"""Compiled templates, kept beside their sources in __pycache__ as Python keeps its own."""

from __future__ import annotations

import hashlib
import pickle
from contextlib import suppress
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, FileSystemBytecodeCache


class Compiled(FileSystemBytecodeCache):
    """Keeps compiled templates in `templates`/__pycache__; where that cannot be written, they are compiled each time.

    Jinja2 finds out by itself when a template has changed or another Python runs. What else the code depends on is
    in `made_by`: the source of the environment's settings.
    """

    def __init__(self, templates: Path, *, made_by: bytes) -> None:
        super().__init__(str(templates / "__pycache__"), "%s.j2c")
        self._made_by = hashlib.sha256(jinja2.__version__.encode() + b"\0" + made_by).hexdigest()

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """The name of a file for a template, its place and everything it was compiled with."""
        return super().get_cache_key(f"{self._made_by}/{name}", filename)

    def load_bytecode(self, bucket: Bucket) -> None:
        """Find a template; one that cannot be read, or was cut short, is compiled again."""
        try:
            super().load_bytecode(bucket)
        except (OSError, EOFError, pickle.UnpicklingError):
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template where that can be done."""
        with suppress(OSError):
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)
