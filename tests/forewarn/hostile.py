"""Names and messages that a cluster's users might choose to hurt whoever looks at the page."""

from forewarn.console.feed import Feed
from stream.clock import Clock
from stream.records import ObjectRef, Part, Severity
from tests.forewarn import synthetic_feed as day

PAYLOADS = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "' onmouseover='document.title=1",
    "</title></template></svg><svg onload=document.title=1>",
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}{% raw %}",
    "<!--<script>",
    "‮gnp.exe\u2066 \x00\x1b[31m",
    "]]></style><style>*{display:none}",
    "&lt;script&gt;&amp;",
)


def hostile_feed(clock: Clock) -> Feed:
    """Return the synthetic day with every payload as name, message, label, cause and reason."""
    feed = day.filled(clock)
    at = day.START + 27 * day.HOUR
    for number, text in enumerate(PAYLOADS):
        ref = ObjectRef("Deployment", text, text)
        alert = day._alert(
            text,
            ref,
            Severity.CRITICAL,
            at,
            text,
            Part(name=text, value=text, text=text),
            labels={text: text},
        )
        incident = day._incident(
            f"hostile-{number}",
            (alert,),
            at,
            cause=day.Cause(kind=text, odds=0.5, text=text, at=at, evidence=text),
            timeline=(Part(name=text, value=at, text=text),),
        )
        feed.apply("incidents", incident)
        track = day.Track(ref, text, text, 50, 20 / day.HOUR, 100, labels={"container": text})
        feed.apply("forecasts", track.forecast(at, day.random.Random(number)))
        feed.apply("notifications", day._told(incident, 1, day.Reason.DIGEST, text)[1])
        held = day.Suppressed(
            at=at,
            rule=text,
            cluster=text,
            object=ref,
            reason=day.Reason.SILENCED,
            by=text,
            summary=text,
        )
        feed.apply("suppressed", held)
    return feed
