"""The image's recipe, as far as it can be read: there is no Docker here to build it.

Leaves out what the manifests say of the pod (`tests/forewarn/test_manifests.py`).
"""

import json
import re
import shlex
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from importlib.metadata import requires
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from forewarn.commands import COMMANDS
from ingest.redact import redact, secret_name

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "image"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


class Stage(NamedTuple):
    """From one FROM to the next."""

    name: str
    instructions: list[tuple[str, str]]  # word, the rest

    def all(self, word: str) -> list[str]:
        return [rest for each, rest in self.instructions if each == word]

    def last(self, word: str) -> str:
        return self.all(word)[-1]


def stages() -> list[Stage]:
    text = (FOLDER / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            found.append(Stage(rest.partition(" AS ")[2], []))
        elif found:
            found[-1].instructions.append((word, rest))
    return found


def copied(stage: Stage) -> Iterable[tuple[str, str]]:
    """Stage and path of everything that is copied; stage "" is the repository."""
    for rest in stage.all("COPY"):
        words = shlex.split(rest)
        origin = next((each[7:] for each in words if each.startswith("--from=")), "")
        yield from ((origin, each) for each in words[:-1] if not each.startswith("--"))


def ignored(path: str) -> bool:
    """As Docker decides: the last pattern that matches the path, or a folder above it."""
    verdict = False
    for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        above = [path, *map(str, Path(path).parents)]
        if pattern == "*" or any(fnmatch(each, pattern) for each in above):
            verdict = not line.startswith("!")
    return verdict


def pod() -> dict[str, Any]:
    documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "forewarn.yaml").read_text())
    (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    build, final = stages()
    for origin, path in copied(build):
        assert not origin
        assert (ROOT / path).exists(), path
        assert not ignored(path), path
    assert {origin for origin, _ in copied(final)} == {build.name}
    assert ignored(".git")
    assert ignored("tests/conftest.py")


def test_what_the_wheel_is_made_of_is_copied() -> None:
    paths = {path for _, path in copied(stages()[0])}
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= paths
    assert PROJECT["project"]["readme"] in paths
    for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        for link in (each for each in (ROOT / package).rglob("*") if each.is_symlink()):
            target = link.resolve().relative_to(ROOT)
            assert any(target.is_relative_to(path) for path in paths), target


def test_nothing_is_installed_but_by_hash_or_from_what_was_copied() -> None:
    for stage in stages():
        for command in " && ".join(stage.all("RUN")).split("&&"):
            if "pip" in command and ("install" in command or "wheel" in command):
                words = shlex.split(command)
                assert "--no-deps" in words, command
                assert {"--require-hashes", "--no-index"} & set(words), command


def test_it_runs_the_console_script_as_the_user_of_the_manifest() -> None:
    _, final = stages()
    (script,) = json.loads(final.last("ENTRYPOINT"))
    assert script in PROJECT["project"]["scripts"]
    security = pod()["securityContext"]
    assert final.last("USER") == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert security["runAsUser"] > 0
    (container,) = pod()["containers"]
    assert "command" not in container  # the entry point stays
    assert container["args"][0] in COMMANDS
    mounts = [each["mountPath"] for each in container["volumeMounts"]]
    assert final.last("WORKDIR") in mounts  # all that is written besides /tmp, on a read-only root
    assert f"-o {security['runAsUser']} -g {security['runAsGroup']}" in final.last("RUN")


def test_no_secret_is_built_in() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert redact(text) == text
    names = [
        word.partition("=")[0]
        for stage in stages()
        for instruction in ("ENV", "ARG")
        for rest in stage.all(instruction)
        for word in shlex.split(rest)
    ]
    assert names
    assert not any(map(secret_name, names))
    assert "--mount" not in text


def locked(name: str) -> dict[str, str]:
    """Package → its lines with pin and hashes."""
    blocks: dict[str, str] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)==", line):
            package = canonicalize_name(found[1])
        blocks[package] = blocks.get(package, "") + line
    return blocks


def closure(wanted: Iterable[str]) -> set[str]:
    """What these requirements bring on this machine."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(each) for each in wanted]
    while todo:
        each = todo.pop()
        key = (canonicalize_name(each.name), frozenset(each.extras))
        if key in seen:
            continue
        seen.add(key)
        extras = ["", *each.extras]
        for further in map(Requirement, requires(each.name) or ()):
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(further)
    return {name for name, _ in seen}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("run", PROJECT["project"]["dependencies"]),
        ("build", [each.partition(">")[0] for each in PROJECT["build-system"]["requires"]]),
    ],
)
def test_the_image_has_what_was_tested_to_the_hash(name: str, wanted: list[str]) -> None:
    lock, tested = locked(name), locked("dev")
    needed = closure(wanted)
    assert needed <= lock.keys(), "run: make lock"
    for package, lines in lock.items():
        assert lines == tested[package]
        assert "--hash=sha256:" in lines
        assert package in needed or "sys_platform == 'win32'" in lines
