"""Each fault that needs a person fires its alert, the runbook ends it, and nothing is lost."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.drill import table
from tests.drill.fault import Fault, slug
from tests.drill.faults import ALL
from tests.drill.scene import open_scene
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.timeout(900)
_DISK_MEGABYTES = 200


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: slug(fault.name))
async def test_a_fault(fault: Fault, home: Path) -> None:
    disk = small_disk(home / fault.disk, _DISK_MEGABYTES) if fault.disk else nullcontext()
    with disk:
        async with open_scene(home) as scene:
            row = await fault.run(scene)
    table.rows.append(row)
    assert (row.lost, row.doubled) == (0, 0)
