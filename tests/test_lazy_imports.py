"""Libraries without what they would load: nobody who wants the rest of them later notices."""

import subprocess
import sys

import pytest

ENGINE_FIRST = """
from zenskar.db.driver.sqlalchemy_core import AsyncEngine
assert "sqlalchemy.orm" not in sys.modules
import sqlalchemy.ext.asyncio as whole
"""
WHOLE_FIRST = """
import sqlalchemy.ext.asyncio as whole
from zenskar.db.driver.sqlalchemy_core import AsyncEngine
assert "sqlalchemy.orm" in sys.modules
"""
BOTH = """
from sqlalchemy.ext.asyncio import AsyncSession
assert whole.AsyncEngine is AsyncEngine and AsyncSession(whole.create_async_engine("postgresql+asyncpg://"))
"""
ABSENT = """
from zenskar.lazy_imports import absent
import wave
with absent("wave", "tabnanny"):
    import wave
    try:
        import tabnanny
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError("it was there")
import tabnanny
"""


@pytest.mark.parametrize(
    "program",
    [ENGINE_FIRST + BOTH, WHOLE_FIRST + BOTH, ABSENT],
    ids=["the engine first", "the package first", "absent"],
)
def test_a_part_and_then_the_whole(program: str) -> None:
    command = (sys.executable, "-c", f"import sys\n{program}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
