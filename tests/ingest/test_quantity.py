"""Quantities: every form of the grammar, and nonsense that is told what it could have meant."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.quantity import amount, quantity
from stream.errors import Rejected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0),
        ("110", 110.0),
        ("250m", 0.25),
        ("100m", 0.1),
        ("51234567n", 0.051234567),
        ("15u", 15e-6),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("+3", 3.0),
        ("-3k", -3000.0),
        ("2k", 2e3),
        ("2M", 2e6),
        ("2G", 2e9),
        ("2T", 2e12),
        ("2P", 2e15),
        ("2E", 2e18),
        ("1Ki", 1024.0),
        ("1.5Gi", 1.5 * 2**30),
        ("1Ti", 2.0**40),
        ("1Pi", 2.0**50),
        ("1Ei", 2.0**60),
        ("1e3", 1000.0),
        ("1E3", 1000.0),
        ("1E", 1e18),
        ("1.5e-3", 0.0015),
        ("1E+2", 100.0),
        ("94998384074", 94998384074.0),
        ("134217728000m", 134217728.0),  # what the API server makes of 0.125Gi
    ],
)
def test_every_form_has_its_value(text: str, value: float) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1K", "did you mean k .1000. or Ki"),
        ("1ki", "did you mean Ki"),
        ("1GiB", "1Gi, not 1GiB"),
        ("1GB", "units are not written out"),
        ("", "empty"),
        (" 1", "space"),
        ("abc", "does not begin with a number"),
        ("1e", "not a suffix"),
        ("1.2.3", "not a suffix"),
        ("1 Gi", "not a suffix"),
        ("NaN", "does not begin with a number"),
        ("1E999", "beyond what a float holds"),
        ("١", "does not begin with a number"),  # an Arabic digit is a digit to Python, not to Go
        ("1\n", "space"),
    ],
)
def test_nonsense_is_rejected_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(Rejected, match=hint):
        quantity(text)


def test_a_size_is_never_negative_and_may_be_missing() -> None:
    assert amount(None) is None
    assert amount(2) == 2.0
    assert amount("64Mi") == 64 * 2.0**20
    for wrong in ("-1", float("nan"), -0.5, math.inf):
        with pytest.raises(Rejected, match="negative"):
            amount(wrong)


_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(1000),
    "Mi": Decimal(1024) ** 2,
    "Ei": Decimal(1024) ** 6,
}


@given(
    number=st.decimals(
        min_value=-(10**9), max_value=10**9, places=3, allow_nan=False, allow_infinity=False
    ),
    suffix=st.sampled_from(sorted(_SUFFIXES)),
)
def test_values_agree_with_exact_arithmetic(number: Decimal, suffix: str) -> None:
    exact = float(number * _SUFFIXES[suffix])
    assert quantity(f"{number}{suffix}") == pytest.approx(exact, rel=1e-12, abs=1e-300)


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_rejected(text: str) -> None:
    try:
        assert math.isfinite(quantity(text))
    except Rejected as error:
        assert "is not a quantity" in str(error)  # noqa: PT017
