"""The Dockerfile builds the images of the compose files from the build context."""

import fnmatch
import re
import tomllib
from pathlib import PurePosixPath

from tests.deploy.compose import ROOT, WITH_ZOOKEEPER, ours

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", "").splitlines()


def stages() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in LINES:
        if started := re.fullmatch(r"FROM (\S+) AS (\w+)", line):
            found[started[2]] = list(found.get(started[1], ()))
            current = found[started[2]]
        elif found:
            current.append(line)
    return found


def test_each_service_is_built_from_a_stage_that_runs_its_command() -> None:
    for name, service in ours(WITH_ZOOKEEPER).items():
        stage = stages()[service["build"]["target"]]
        assert service["image"] == f"zenskar-backend-{service['build']['target']}"
        assert (ROOT / service["build"]["context"] / "Dockerfile").exists()
        if name != "zenskar-migrate":
            assert f"CMD {service['command']}".replace("'", '"') in stage


def test_no_image_runs_as_root() -> None:
    for target in ("api", "worker"):
        users = [line.split()[1] for line in stages()[target] if line.startswith("USER ")]
        assert users[-1].partition(":")[0] not in {"0", "root"}


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored, allowed = [], []
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            (allowed if line.startswith("!") else ignored).append(line.removeprefix("!"))
    assert ignored[0] == "*"
    for line in stages()["build"]:
        if not line.startswith("COPY "):
            continue
        for source in line.split()[1:-1]:
            assert (ROOT / source).exists()
            path = PurePosixPath(source)
            assert str(path) in allowed or any(str(parent) in allowed for parent in path.parents)
            assert not any(fnmatch.fnmatch(source, pattern) for pattern in ignored[1:])


def test_everything_that_the_wheel_holds_is_copied() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    copied = [
        source
        for line in stages()["build"]
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    ]
    for source in build["targets"]["wheel"]["force-include"]:
        assert any(PurePosixPath(source).is_relative_to(each) for each in copied), source


def test_no_secret_of_a_checkout_reaches_the_build() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert not {".env", ".git", "secrets", ".zenskar"} & allowed
