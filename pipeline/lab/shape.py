"""What makes L1's root look like the scenario's distribution, and what lets the lab in."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pipeline.facts.distributions import Distribution
from pipeline.lab.board import NETWORK_INTERFACE
from pipeline.lab.image import HostImage
from pipeline.lab.overlay import Put
from pipeline.lab.shell import KeyPair
from pipeline.plan.model import Plan

# Without one systemd takes this for the first boot and presets its units.
_MACHINE_ID = b"64727962647279626472796264727962\n"
# Said on the serial line: a connection tried too early waits for retransmissions of QEMU's network stack.
READY = "DRYBOOT-READY"
# Each process that systemd starts is one more that an emulated processor starts slowly, so there is but one; and ssh,
# which waits for no address, starts while udev still looks for the card.
_NETWORK_UNIT = """[Unit]
Description=The address that the lab forwards to, and the word that ssh answers there
DefaultDependencies=no
BindsTo=sys-subsystem-net-devices-{interface}.device
After=sys-subsystem-net-devices-{interface}.device ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/sh -c '\\
    ip address add 10.0.2.15/24 dev {interface} && ip link set {interface} up && echo {ready} >/dev/ttyS0'
[Install]
WantedBy=multi-user.target
"""
# Nothing is drawn: what is proven is that it is stopped and started.
_DISPLAY_MANAGER = """[Unit]
Description=Stands for the host's display manager
Before=dryboot-network.service
[Service]
Type=simple
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
# A frame buffer in memory, for the one that the card's own driver makes on the host; its consoles come back.
_SCREEN_UNIT = """[Unit]
Description=Stands for the frame buffer of the card's driver
Before=dryboot-network.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/modprobe vfb vfb_enable=1
[Install]
WantedBy=multi-user.target
"""
# The daemon tells of a wrong configuration itself.
_SSH_DROP_IN = b"[Service]\nExecStartPre=\n"
# What the host's checks do not look at. systemd takes a link to /dev/null in .wants for none (src/core/load-dropin.c);
# the packages' own links stay, for an initramfs may be made with them. The guest stage starts
# LEFT_FOR_THE_GUEST.
LEFT_FOR_THE_GUEST = (
    "kmod-static-nodes.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-tmpfiles-setup.service",
)
_NOT_WANTED = {"sysinit.target": LEFT_FOR_THE_GUEST, "multi-user.target": ("dbus.service",)}
# A host that hands its card over later keeps these: its hook writes to the journal.
_JOURNAL = {
    "sysinit.target": ("systemd-journald.service",),
    "sockets.target": ("systemd-journald.socket", "systemd-journald-dev-log.socket"),
}
_OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
_OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
_GRUB_FOLDER = "/boot/grub"


def access(*, visitor: KeyPair, host_key: KeyPair) -> dict[str, Put]:
    """The files that let the lab in, by their paths in L1; other ones for each run."""
    return {
        "/root/.ssh/authorized_keys": Put(data=visitor.public, mode=0o600),
        "/etc/ssh/ssh_host_ed25519_key": Put(data=host_key.private, mode=0o600),
        "/etc/ssh/ssh_host_ed25519_key.pub": Put(data=host_key.public),
    }


def removals(plan: Plan, image: HostImage) -> tuple[str, ...]:
    """Paths of L1 that the scenario's distribution does not have: the kernel under its name in the image."""
    if plan.host.distribution.release_in_paths:
        return ()
    names = (f"/boot/{kind}-{image.release}" for kind in ("vmlinuz", "config", "System.map"))
    return tuple(name for name in names if name != plan.host.distribution.kernel_image)


def shape(plan: Plan, image: HostImage) -> dict[str, Put]:
    """The files that make L1 look like the host, by their paths."""
    facts = plan.host.distribution.at(image.release)
    release = "".join(f"{key}={shlex.quote(value)}\n" for key, value in facts.os_release.items())
    links = {facts.ovmf_code: _OVMF_CODE, facts.ovmf_vars: _OVMF_VARS, **_grub_names(facts)}
    unit = _NETWORK_UNIT.format(interface=NETWORK_INTERFACE, ready=READY)
    units = "/etc/systemd/system"
    found = {
        "/usr/lib/os-release": Put(data=release.encode()),
        "/etc/machine-id": Put(data=_MACHINE_ID),
        facts.kernel_image: Put(data=image.kernel.read_bytes()),
        **{path: Put(link=target) for path, target in links.items() if path != target},
        f"{units}/dryboot-network.service": Put(data=unit.encode()),
        f"{units}/ssh.service.d/dryboot.conf": Put(data=_SSH_DROP_IN),
        f"{units}/multi-user.target.wants/dryboot-network.service": Put(link="../dryboot-network.service"),
        **{
            f"{units}/{target}.wants/{unwanted}": Put(link="/dev/null")
            for wants in (_NOT_WANTED, {} if plan.host.handover else _JOURNAL)
            for target, several in wants.items()
            for unwanted in several
        },
    }
    for name, text in _screen(plan):
        found[f"{units}/{name}"] = Put(data=text.encode())
        found[f"{units}/multi-user.target.wants/{name}"] = Put(link=f"../{name}")
    if image.own != facts.distribution:
        return found
    # What the host's own packages have needs no imitation.
    imitated = {"/usr/lib/os-release", facts.ovmf_code, facts.ovmf_vars}
    kept = {path for path in imitated if path and (image.tree / path.lstrip("/")).is_file()}
    return {path: put for path, put in found.items() if path not in kept}


def _screen(plan: Plan) -> Iterator[tuple[str, str]]:
    """The units that stand for what shows on the card of a host that hands it over later, by their names."""
    handover = plan.host.handover
    if handover:
        yield "dryboot-screen.service", _SCREEN_UNIT
        if handover.display_manager:
            yield handover.display_manager.value, _DISPLAY_MANAGER


def _grub_names(facts: Distribution) -> dict[str, str]:
    """Links from the host's names of GRUB's tool and folder to those in the image."""
    links = {}
    tool = facts.grub_mkconfig[0]
    if tool == "grub2-mkconfig":
        links[f"/usr/sbin/{tool}"] = "grub-mkconfig"
    folder = facts.grub_cfg.rpartition("/")[0]
    if folder != _GRUB_FOLDER:
        links[folder] = _GRUB_FOLDER.rpartition("/")[2]
    return links
