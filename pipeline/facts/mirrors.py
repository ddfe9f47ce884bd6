"""Where the packages of pacman's distributions come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.facts import table


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirrors:
    """One entry of mirrors.toml: default mirrors, what is below one, who signs, and
    the packages that a host in the lab has beside its kernel.
    """

    name: str
    mirrors: tuple[str, ...]
    layout: str
    kernel: str
    keyrings: tuple[str, ...]
    packages: tuple[str, ...]
    branches: Mapping[str, tuple[str, ...]]

    def server(self, mirror: str, *, branch: str) -> str:
        """The value of pacman.conf's Server below `mirror`, with $repo and $arch left to pacman."""
        return f"{mirror.rstrip('/')}/{self.layout.format(branch=branch)}"

    def kernel_package(self, series: str) -> str:
        """The package of the kernel `series`, such as linux612 for 6.12."""
        return self.kernel.format(digits=series.replace(".", ""))


def mirrors(distribution: str) -> Mirrors:
    """The mirrors of `distribution`. Raises LookupError where the data has none."""
    for entry in table("mirrors")["distribution"]:
        if entry["name"] == distribution:
            return Mirrors(
                name=distribution,
                mirrors=tuple(entry["mirrors"]),
                layout=entry["layout"],
                kernel=entry["kernel"],
                keyrings=tuple(entry["keyrings"]),
                packages=tuple(entry["packages"]),
                branches={name: tuple(value) for name, value in entry["branches"].items()},
            )
    raise LookupError(f"no mirrors of {distribution} are known")
