import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files.numbers import CPUS, cpuset, decimal, number, scale


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", {0}),
        ("0-3,^2,8", {0, 1, 3, 8}),
        (" 1 , 2 - 3 ", {1, 2, 3}),
        ("1-4,^3,6", {1, 2, 4, 6}),
        ("^3,1-4", {1, 2, 3, 4}),
    ],
)
def test_cpuset(text, cpus):
    assert cpuset(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "3-1", "^1-2", "1,,2", "0-99999", str(CPUS), "1;2", "-1", "٣"])
def test_no_cpuset(text):
    with pytest.raises(ValueError, match="not a set of processors"):
        cpuset(text)


@given(st.frozensets(st.integers(0, CPUS - 1), min_size=1, max_size=20))
def test_a_cpuset_written_out_comes_back(cpus):
    assert cpuset(",".join(str(cpu) for cpu in cpus)) == cpus


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        *[("b", 1), ("bytes", 1), ("KB", 1000), ("k", 1024), ("KiB", 1024), ("MB", 10**6), ("M", 1 << 20)],
        *[("MiB", 1 << 20), ("GB", 10**9), ("GiB", 1 << 30), ("gib", 1 << 30), ("TiB", 1 << 40)],
    ],
)
def test_scale(unit, size):
    assert scale(unit) == size


@pytest.mark.parametrize("unit", ["", "x", "KiBi", "GG", "Mb/s"])
def test_no_unit(unit):
    with pytest.raises(ValueError, match="not a unit"):
        scale(unit)


@pytest.mark.parametrize(("text", "value"), [("0x1f", 31), ("31", 31), ("010", 8), ("0", 0), ("0X1F", 31)])
def test_number(text, value):
    assert number(text) == value


@given(st.text())
def test_numbers_raise_nothing_but_value_error(text):
    for read in (number, decimal, scale, cpuset):
        try:
            read(text)
        except ValueError:
            continue
