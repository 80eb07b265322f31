"""Templates of messages: what is masked, what is kept, and that no message is slow.

Left out: how well groups fit formats (`benchmarks/score_templates.py`).
"""

import time

import pytest

from models.templates import template_of


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("Created container: app", "Created container: <*>"),
        ("Container app failed liveness probe", "Container <*> failed liveness probe"),
        ("Created pod: cart-xkzvw", "Created pod: <*>"),
        ("Evicting pod shop/cart-bcdfg", "Evicting pod <*>"),
        ("a long-lived pod", "a long-lived pod"),
        ("unmounted volumes=[data tls], none", "unmounted volumes=<*>, none"),
        ("Killed process 4711 (search)", "Killed process <*>"),
        ("(combined from similar events): Pulled", "Pulled"),
        ('plugin type="calico" failed', "plugin type=<*> failed"),
        ("", ""),
    ],
)
def test_what_varies_is_masked_and_the_rest_is_kept(message: str, template: str) -> None:
    assert template_of(message) == template


def test_a_template_is_its_own_template() -> None:
    for message in ('Back-off pulling image "a:v1"', "0/3 nodes are available: 3 Too many pods."):
        assert template_of(template_of(message)) == template_of(message)


@pytest.mark.parametrize(
    "piece", ["a", "-", "b-", "-bcdfg", "bcdf-", "[", "[(", "(", '"', "container ", "container: 1"]
)
def test_no_message_is_slow(piece: str) -> None:
    message = (piece * 512)[:512]
    best = min(_seconds(message) for _ in range(5))
    assert best < 0.002, "quadratic patterns took 13 ms"


def _seconds(message: str) -> float:
    began = time.perf_counter()
    template_of.__wrapped__(message)
    return time.perf_counter() - began
