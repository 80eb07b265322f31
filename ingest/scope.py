"""Which namespaces and objects forewarn looks at.

Namespaces are chosen by patterns: a plain name, a glob (``team-*``) or a regular expression
between slashes (``/^team-[0-9]+$/``). Excluding wins over including; nothing included means
everything. An object, or its whole namespace, opts out with the annotation
``forewarn.dev/ignore: "true"``. A label selector is the API server's to apply, and is only checked
for form here.

Guaranteed: cluster-scoped objects are always in scope unless they opt out themselves; every
mistake in a pattern is `Rejected` at start with the pattern and what is wrong in it. Leaving the
scope looks like a deletion and entering it like an addition, as with a label selector in Kubernetes
itself: that is the reflector's part.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator

from stream.errors import Rejected

IGNORE: Final = "forewarn.dev/ignore"  # annotation
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123 label
_GLOB: Final = re.compile(r"[-a-z0-9*?\[\]!]+")
_REQUIREMENT: Final = re.compile(
    r"!?\s*[A-Za-z0-9./_-]+"
    r"(\s*(==?|!=)\s*[A-Za-z0-9._-]*|\s+(not)?in\s*\(\s*[A-Za-z0-9._-]*(\s*,\s*[A-Za-z0-9._-]*)*\s*\))?"
)


def opted_out(annotations: Mapping[str, str] | None) -> bool:
    """Return whether the annotations say "leave me alone"."""
    return annotations is not None and annotations.get(IGNORE, "").lower() == "true"


def check_selector(text: str) -> str:
    """Return the label selector as it was given.

    Raises
    ------
    Rejected
        It is not one that an API server would take.
    """
    for part in re.split(r",(?![^(]*\))", text) if text.strip() else ():
        if not _REQUIREMENT.fullmatch(part.strip()):
            raise Rejected(
                f"label selector {text!r}: {part.strip()!r} is not a requirement; "
                "write app=web, tier!=cache, env in (a, b), key or !key"
            )
    return text


def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern of a namespace's name, to be searched for.

    Raises
    ------
    Rejected
        It is no name, no glob and no regular expression.
    """
    if len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/"):
        try:
            return re.compile(pattern[1:-1])
        except re.error as error:
            raise Rejected(
                f"namespace pattern {pattern!r}: {error.msg} at position {error.pos}"
            ) from error
    if not _GLOB.fullmatch(pattern):
        raise Rejected(
            f"namespace pattern {pattern!r}: give a name, a glob (team-*) "
            "or a regular expression between slashes (/^team-/)"
        )
    return re.compile(rf"\A{fnmatch.translate(pattern)}")


def _checked_pattern(pattern: str) -> str:
    try:
        compiled(pattern)
    except Rejected as error:
        raise ValueError(str(error)) from error
    return pattern


def _checked_selector(text: str) -> str:
    try:
        return check_selector(text)
    except Rejected as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True)
class ScopeSettings:
    """What to look at; the defaults are everything."""

    include: tuple[Annotated[str, AfterValidator(_checked_pattern)], ...] = ()
    """Patterns of namespaces: a name, a glob (``team-*``) or a regular expression between slashes
    (``/^team-[0-9]+$/``); none means all namespaces."""
    exclude: tuple[Annotated[str, AfterValidator(_checked_pattern)], ...] = ()
    """Patterns of namespaces that are left out; stronger than `include`."""
    labels: Annotated[str, AfterValidator(_checked_selector)] = ""
    """Label selector for pods and workloads, applied by the API server."""
    namespaced: bool = False
    """Watch each included namespace alone, for where only Roles can be had, no ClusterRole.

    Needs plain names in `include`; nodes and kubelets are then out of reach.
    """

    def __post_init__(self) -> None:
        """Refuse patterns where each namespace is to be watched by its name."""
        odd = [each for each in self.include if not _NAME.fullmatch(each)]
        if self.namespaced and (odd or not self.include):
            wrong = f"not {odd[0]!r}" if odd else "and there are none"
            raise ValueError(f"namespaced mode needs plain namespace names in include, {wrong}")


class Scope:
    """A decision per object, cheap enough for every watch line.

    Parameters
    ----------
    settings
        Patterns and selectors.

    Raises
    ------
    Rejected
        A pattern or selector is malformed.

    Examples
    --------
    >>> scope = Scope(ScopeSettings(include=("shop", "team-*"), exclude=("/-dev$/",)))
    >>> [name for name in ("shop", "team-a", "team-dev", "kube-system") if scope.covers(name)]
    ['shop', 'team-a']
    """

    def __init__(self, settings: ScopeSettings = ScopeSettings()) -> None:
        self._include = tuple(map(compiled, settings.include))
        self._exclude = tuple(map(compiled, settings.exclude))
        self._decided: dict[str, bool] = {}
        self._ignored: set[str] = set()
        self.labels = check_selector(settings.labels)
        self.namespaces: tuple[str, ...] = ()  # to be watched one by one; () for all at once
        if settings.namespaced:
            self.namespaces = tuple(each for each in settings.include if self.covers(each))

    def covers(self, namespace: str) -> bool:
        """Return whether objects of `namespace` are looked at; "" is the cluster itself."""
        if not namespace:
            return True
        decided = self._decided.get(namespace)
        if decided is None:
            decided = not self._include or any(each.search(namespace) for each in self._include)
            decided = decided and not any(each.search(namespace) for each in self._exclude)
            self._decided[namespace] = decided
        return decided and namespace not in self._ignored

    def admits(self, namespace: str, annotations: Mapping[str, str] | None) -> bool:
        """Return whether an object is looked at."""
        return self.covers(namespace) and not opted_out(annotations)

    def note_namespace(self, name: str, annotations: Mapping[str, str] | None) -> bool:
        """Remember whether the namespace opts out; return whether that has changed."""
        before = name in self._ignored
        after = opted_out(annotations)
        if after:
            self._ignored.add(name)
        else:
            self._ignored.discard(name)
        return before != after and self._decided.get(name, True)
