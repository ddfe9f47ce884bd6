from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.building import write_bundle
from pipeline.errors import BadInput
from pipeline.inputs import FilesInput, ScenarioInput, Target, scenarios, unknown
from pipeline.scenario.loader import SHIPPED
from pipeline.setup.model import Origin

GRUB = 'GRUB_CMDLINE_LINUX_DEFAULT="quiet iommu=pt"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "host"
    (folder / "etc/default").mkdir(parents=True)
    (folder / "etc/default/grub").write_text(GRUB)
    return folder


@pytest.fixture(scope="session")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "out"
    write_bundle("rx560", str(folder), (), True)
    return folder / "libvirt/win10.xml"


def parameters(setup) -> list[str]:
    return [one.value for one in setup.host.command_line.parameters]


def test_a_scenario_by_name_and_by_path(tmp_path: Path) -> None:
    text = (SHIPPED / "rx560.yaml").read_text()
    (tmp_path / "own.yaml").write_text(text)
    shipped = ScenarioInput(name="rx560", base=tmp_path, settings=("name=other",))
    assert shipped.setup({}).name == "other"
    assert shipped.target("scenarios/rx560.yaml") == Target(path=SHIPPED / "rx560.yaml")
    own = ScenarioInput(name="./own.yaml", base=tmp_path)
    assert own.setup({}).host.place.file == "./own.yaml"
    assert own.target("./own.yaml") == Target(path=tmp_path / "own.yaml")
    assert own.target("--set name") is None


def test_a_changed_text_stands_in_for_the_scenario(tmp_path: Path) -> None:
    text = (SHIPPED / "rx560.yaml").read_text().replace("iommu=pt", "iommu=off")
    setup = ScenarioInput(name="rx560", base=tmp_path).setup({"scenarios/rx560.yaml": text})
    assert "iommu=off" in parameters(setup)
    assert setup.host.place.file == "scenarios/rx560.yaml"


def test_a_directory_stands_for_its_yaml_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.txt"):
        (tmp_path / name).touch()
    found = scenarios(("rx560", "."), base=tmp_path)
    assert [one.name for one in found] == ["rx560", "./a.yml", "./b.yaml"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no YAML file"):
        list(scenarios(("empty",), base=tmp_path))


def test_files_of_a_machine(root: Path, tmp_path: Path) -> None:
    machine = FilesInput(root="host/", base=tmp_path, kernel="6.12", qemu="11.1")
    setup = machine.setup({})
    assert (setup.origin, setup.host.kernel.value, setup.host.qemu.value) == (Origin.FILES, "6.12", "11.1")
    assert parameters(setup) == ["quiet", "iommu=pt"]
    file = setup.host.command_line.parameters[0].place.file
    assert file == "host/etc/default/grub"
    assert machine.target(file) == Target(path=Path("etc/default/grub"), root=tmp_path / "host/")
    assert machine.target("--kernel") is None
    assert machine.target("elsewhere/etc/default/grub") is None
    assert parameters(machine.setup({file: GRUB.replace("iommu=pt", "x=y")})) == ["quiet", "x=y"]
    assert (root / "etc/default/grub").read_text() == GRUB


def test_a_domain_alone(domain: Path) -> None:
    alone = FilesInput(base=domain.parent, domains=("win10.xml",), qemu="11.1")
    setup = alone.setup({})
    assert setup.name == "win10.xml"
    assert [one.name for one in setup.domains] == ["win10"]
    assert setup.domains[0].machine.place.file == "win10.xml"
    assert alone.target("win10.xml") == Target(path=domain)
    text = domain.read_text().replace(setup.domains[0].machine.value, "pc-q35-3.1")
    assert alone.setup({"win10.xml": text}).domains[0].machine.value == "pc-q35-3.1"


def test_what_is_not_known_is_named(root: Path, tmp_path: Path, domain: Path) -> None:
    assert unknown(ScenarioInput(name="rx560", base=tmp_path).setup({})) == ()
    files = unknown(FilesInput(root="host", base=tmp_path, kernel="6.12").setup({}))
    assert "the PCI functions (--lspci FILE)" in files
    assert "QEMU (--qemu)" in files
    assert not {"the kernel (--kernel)", "the kernel command line"} & {*files}
    assert "any domain (--domain FILE)" in files
    assert "any domain (--domain FILE)" not in unknown(
        FilesInput(base=Path("/"), domains=(str(domain),)).setup({})
    )


@pytest.mark.parametrize(
    "options",
    [
        {"root": "none"},
        {"domains": ("none.xml",)},
        {"domains": (".",)},
        {"domains": ("host/etc/default/grub",)},
        {"root": "host", "lspci": "none"},
        {"root": "host", "lspci": "a\0b"},
        {"root": "host", "kernel": "six"},
        {"root": "host", "qemu": "11"},
    ],
)
def test_what_cannot_be_read_is_bad_input(root: Path, tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        FilesInput(base=tmp_path, **options).setup({})
