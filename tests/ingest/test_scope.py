"""What is looked at: patterns that do what they look like, and mistakes that are told at start."""

import pytest

from ingest.scope import IGNORE, Scope, ScopeSettings, check_selector
from stream.errors import Rejected

NAMES = ("shop", "team-a", "team-b", "team-dev", "kube-system", "a.b")


def covered(**settings: object) -> list[str]:
    scope = Scope(ScopeSettings(**settings))  # type: ignore[arg-type]
    return [name for name in NAMES if scope.covers(name)]


def test_nothing_chosen_is_everything() -> None:
    assert covered() == list(NAMES)


@pytest.mark.parametrize(
    ("include", "found"),
    [
        (("shop",), ["shop"]),
        (("team-*",), ["team-a", "team-b", "team-dev"]),
        (("team-?",), ["team-a", "team-b"]),
        (("team-[ab]",), ["team-a", "team-b"]),
        (("/^team-[0-9a-z]$/",), ["team-a", "team-b"]),
        (("/dev/",), ["team-dev"]),
        (("/(?i)TEAM-A/", "shop"), ["shop", "team-a"]),
        (("sho",), []),  # a plain name is no prefix
        (("hop",), []),
    ],
)
def test_names_globs_and_regular_expressions(include: tuple[str, ...], found: list[str]) -> None:
    assert covered(include=include) == found


def test_excluding_wins_over_including() -> None:
    assert covered(include=("team-*",), exclude=("team-dev",)) == ["team-a", "team-b"]
    assert covered(exclude=("/^(team|kube)-/",)) == ["shop", "a.b"]


def test_cluster_scoped_objects_are_always_covered() -> None:
    assert Scope(ScopeSettings(include=("shop",))).covers("")


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        ("/team-(/", "missing \\), unterminated subpattern at position 5"),
        ("Team A", "a name, a glob"),
        ("", "a name, a glob"),
        ("//", "a name, a glob"),
    ],
)
def test_a_mistake_in_a_pattern_is_told_with_its_place(pattern: str, wrong: str) -> None:
    with pytest.raises(Rejected, match=wrong) as told:
        Scope(ScopeSettings(exclude=(pattern,)))
    assert repr(pattern) in str(told.value)


@pytest.mark.parametrize(
    "good",
    ["", "app=web", "app==web, tier!=cache", "env in (a, b),!legacy", "x notin (a)", "a.b/c", "a="],
)
def test_label_selectors_as_kubectl_takes_them(good: str) -> None:
    assert check_selector(good) == good


@pytest.mark.parametrize("bad", ["app=web=1", "app in a,b", "=x", "app=web,,", "a b"])
def test_a_label_selector_that_no_server_would_take_is_refused(bad: str) -> None:
    with pytest.raises(Rejected, match="is not a requirement"):
        check_selector(bad)


def test_an_annotation_opts_an_object_out() -> None:
    scope = Scope()
    assert scope.admits("shop", None)
    assert scope.admits("shop", {IGNORE: "false"})
    assert not scope.admits("shop", {IGNORE: "true"})


def test_a_namespace_opts_out_as_a_whole_and_only_a_change_is_told() -> None:
    scope = Scope(ScopeSettings(exclude=("kube-*",)))
    assert not scope.note_namespace("shop", None)
    assert scope.note_namespace("shop", {IGNORE: "true"})
    assert not scope.note_namespace("shop", {IGNORE: "true"})
    assert not scope.covers("shop")
    assert scope.note_namespace("shop", None)
    assert scope.covers("shop")


def test_an_excluded_namespace_that_opts_out_changes_nothing() -> None:
    scope = Scope(ScopeSettings(exclude=("kube-*",)))
    assert not scope.covers("kube-system")
    assert not scope.note_namespace("kube-system", {IGNORE: "true"})


def test_namespaced_mode_wants_plain_names() -> None:
    scope = Scope(ScopeSettings(include=("a", "b"), exclude=("b",), namespaced=True))
    assert scope.namespaces == ("a",)
    for include in ((), ("team-*",)):
        with pytest.raises(ValueError, match="plain namespace names"):
            ScopeSettings(include=include, namespaced=True)
