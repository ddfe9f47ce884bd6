from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.argv import complete
from pipeline.lab.direct_domain import DirectDomain

NOTHING = DirectDomain(xml=b"<domain/>", media=(), places=(), devices=(), backends=(), replacements=())
OWN = (
    ("-S",),
    ("-object", '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/x"}'),
    ("-chardev", "socket,id=charmonitor,path=/x/monitor.sock,server=on,wait=off"),
    ("-mon", "chardev=charmonitor,id=monitor,mode=control"),
    ("-chardev", "file,id=charserial0,path=serial"),
)
values = st.sampled_from(["q35", '{"id":"net0"}', "socket,id=other,path=/y", "4", "a b"])
options = st.tuples(st.sampled_from(["-device", "-object", "-chardev", "-smp"]), values) | st.sampled_from(
    [("-nodefaults",), ("-no-shutdown",)]
)


@given(st.lists(options, max_size=8), st.data())
def test_only_what_is_libvirts_own_goes_wherever_it_is(wanted, data):
    mixed = list(wanted)
    for own in OWN:
        mixed.insert(data.draw(st.integers(0, len(mixed))), own)
    assert complete([word for option in mixed for word in option], NOTHING) == tuple(
        word for option in wanted for word in option
    )


def test_devices_come_after_what_they_hang_on():
    domain = DirectDomain(
        xml=b"<domain/>",
        media=(),
        places=(),
        devices=({"driver": "e1000e", "netdev": "hostnet0"},),
        backends=("hubport,id=hostnet0,hubid=0",),
        replacements=(),
    )
    assert complete(["-nodefaults"], domain) == (
        "-nodefaults",
        "-netdev",
        "hubport,id=hostnet0,hubid=0",
        "-device",
        '{"driver": "e1000e", "netdev": "hostnet0"}',
    )
