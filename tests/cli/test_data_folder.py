"""The data folder of `zenskar dev`."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zenskar.cli.data_folder import DataFolder, DevState
from zenskar.errors import ConfigurationError


def test_one_at_a_time_holds_it_and_says_so(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    assert folder.running() is None
    with folder.hold():
        assert folder.running() == DevState(os.getpid())
        folder.write_state(DevState(os.getpid(), "http://api", {"stripe": "http://sandbox"}))
        found = DataFolder(tmp_path / "data").running()
        assert found is not None
        assert found.sandboxes == {"stripe": "http://sandbox"}
        with pytest.raises(ConfigurationError, match=f"process {os.getpid()}"), folder.hold():
            pytest.fail("two hold it")
    assert folder.running() is None
    with folder.hold():
        assert folder.running() == DevState(os.getpid())


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = DataFolder(tmp_path / "file" / "data")
    with pytest.raises(ConfigurationError, match="cannot be used"), folder.hold():
        pytest.fail("it is held")


def test_only_what_zenskar_put_there_is_removed(tmp_path: Path) -> None:
    for name in ("postgres/PG_VERSION", "sandbox/stripe/store.db", "mine/notes.txt", "README"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    folder = DataFolder(tmp_path)
    with folder.hold():
        asyncio.run(folder.clear())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README", "dev.lock", "mine"]


def test_a_database_in_use_is_not_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen((sys.executable, "-c", ""))
    ended.wait()
    (tmp_path / "postgres").mkdir()
    handles = tmp_path / "postgres" / ".handle_pids.json"
    handles.write_text(json.dumps([ended.pid, os.getppid()]))
    folder = DataFolder(tmp_path)
    with pytest.raises(ConfigurationError, match=f"in use by process {os.getppid()}"):
        asyncio.run(folder.clear())
    assert json.loads(handles.read_text()) == [os.getppid()]
    handles.write_text(json.dumps([ended.pid]))
    asyncio.run(folder.clear())
    assert not (tmp_path / "postgres").exists()
