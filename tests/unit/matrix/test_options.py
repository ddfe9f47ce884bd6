"""The options of the task `matrix`."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import BadInput
from pipeline.matrix.cell import Lane
from pipeline.matrix.options import Options


def test_a_deadline_is_for_every_lane() -> None:
    plain, short = Options(scenario="rx560"), Options(scenario="rx560", deadline=60)
    plain.check()
    assert plain.deadline_of(Lane.FAST) < plain.deadline_of(Lane.NESTED)
    assert [short.deadline_of(lane) for lane in Lane] == [60, 60]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scenario": ""}, "no scenario is named"),
        ({"jobs": -1}, "cannot run -1 cells"),
        ({"deadline": -5}, "cannot wait -5 seconds"),
        ({"deadline": 10**6}, "cannot wait"),
        ({"accelerator": "xen"}, "there is no accelerator"),
        ({"accept": True, "settings": ("a=b",)}, "--accept does not go with --set"),
        ({"shard": "5/4"}, "cannot read --shard"),
        ({"shard": "1/4", "accept": True}, "--accept is for the whole matrix"),
        ({"shard": "1/4", "propose": True}, "--propose is for the whole matrix"),
        ({"merge": "a,b", "qemu": "11.1"}, "--qemu does not go with --merge"),
        ({"merge": "a,b", "shard": "1/2"}, "--shard does not go with --merge"),
        ({"merge": "a,b", "fresh": True}, "--fresh does not go with --merge"),
        ({"merge": "a,,b"}, "cannot read --merge"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Options(**{"scenario": "rx560", **options}).check()
