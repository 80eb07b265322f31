"""The noise funnel: how many events came in, what each step held back, and why.

Widths are logarithmic, and the page says so: on a linear scale all but the first step vanish.

Left to others: the counting (`forewarn.console.feed`), which steps there are (the stream and
alerting decide; a step that nobody reports is left out rather than shown as nought).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from alerting.alert import Reason
from forewarn.console import words

if TYPE_CHECKING:
    from forewarn.console.feed import Feed

_REASONS: Final = {
    Reason.BELOW_PENDING: "did not last as long as its rule asks",
    Reason.INHIBITED: "explained by another alert",
    Reason.SILENCED: "silenced by a person",
    Reason.MUTED: "a mute time of its route",
    Reason.INACTIVE: "outside of its route's active times",
    Reason.ALREADY_NOTIFIED: "said already, nothing new",
    Reason.BUDGET: "the channel's budget is used up; goes with the digest",
    Reason.FLAPPING: "goes on and off",
    Reason.NOT_ROUTED: "no route wants it",
    Reason.RESOLVED_NOT_WANTED: "the receiver wants no resolved notices",
}


def funnel(feed: Feed) -> dict[str, Any]:
    """Return the steps with their numbers, the reasons of what was held back, its latest lines."""
    totals, account = feed.totals, feed.account
    events = max(account["lines"], feed.run.events)
    steps = [
        ("events", "events in", events, "lines of Kubernetes Events that were read"),
        ("candidates", "candidates", account["candidates"], "did something rare for their object"),
        ("groups", "groups", account["groups"], "candidates that belong together"),
        ("findings", "findings", totals["findings"], "lasting and severe enough, of every kind"),
        ("alerts", "alerts", totals["alerts"], "one rule on one object"),
        ("incidents", "incidents", totals["incidents"], "alerts with one cause"),
        ("messages", "messages", totals["messages"], "sent to people"),
    ]
    optional = ("candidates", "groups")
    steps = [step for step in steps if step[0] not in optional or step[2] > 0]
    top = math.log1p(max(1, *(number for _, _, number, _ in steps)))
    most = max([1, *feed.reasons.values()])
    messages = totals["messages"]
    less = words.reduction(messages, events)
    sentence = (
        f"{words.count(events)} events became {words.several(messages, 'message')}: "
        f"{less} less to read."
        if events
        else "No event has come in yet; every step will show here what it held back and why."
    )
    return {
        "sentence": sentence,
        "reduction": less,
        "steps": [
            {
                "key": key,
                "name": name,
                "note": note,
                "count": words.count(number),
                # Logarithmic, and the page says so: on a linear scale all but the first vanish.
                "width": f"{100 * math.log1p(number) / top:.1f}%",
            }
            for key, name, number, note in steps
        ],
        "reasons": [
            {
                "key": reason,
                "reason": reason.replace("-", " "),
                "note": _REASONS.get(Reason(reason), ""),
                "count": words.count(number),
                "width": f"{100 * number / most:.1f}%",
            }
            for reason, number in feed.reasons.most_common()
        ],
        "quiet": not feed.reasons,
        "latest": [
            {
                "key": f"{i}",
                "object": words.place(one.object),
                "rule": one.rule,
                "reason": one.reason.value.replace("-", " "),
                "by": one.by,
                "summary": one.summary,
                "times": f"× {one.count}" if one.count > 1 else "",
                "at": one.at,
                "at_iso": words.iso(one.at),
                "at_text": words.utc(one.at),
            }
            for i, one in enumerate(reversed(list(feed.suppressed)[-12:]))
        ],
    }
