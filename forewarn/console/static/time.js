// Clock times in the viewer's own zone, with UTC in the title.
//
// The server writes UTC, because it cannot know better; this file rewrites it. Left to others:
// spans ("3 h 10 min"), which the server words.

const SHAPES = {
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  short: { hour: "2-digit", minute: "2-digit" },
  tick: { hour: "2-digit", minute: "2-digit" },
  day: { day: "numeric", month: "short" },
  full: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
};
const FORMATS = Object.fromEntries(
  Object.entries(SHAPES).map(([name, shape]) => [
    name, new Intl.DateTimeFormat(undefined, { ...shape, hourCycle: "h23" }),
  ]),
);

/** Return `seconds` (Unix) in the viewer's zone. */
export function local(seconds, style = "short") {
  return FORMATS[style].format(new Date(seconds * 1000));
}

/** Show `seconds` in `element`, as its data-style asks for. */
export function show(element, seconds) {
  if (!seconds) return;
  const { style = "short", days } = element.dataset;
  const iso = new Date(seconds * 1000).toISOString();
  const day = style === "clock" ? `${local(seconds, "day")}  ` : "";
  const text = day + local(seconds, days === "true" ? "day" : style);
  if (element.textContent !== text) element.textContent = text;
  if (element.localName !== "time") return;
  element.dateTime = iso;
  element.title = `${iso.slice(0, 19).replace("T", " ")} UTC`;
}

/** Rewrite all times that the server wrote. */
export function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    show(element, Date.parse(element.dateTime) / 1000);
  }
  for (const tick of root.querySelectorAll("[data-at]")) show(tick, Number(tick.dataset.at));
}
