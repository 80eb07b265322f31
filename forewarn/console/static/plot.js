// Reading a value off the large plot: by pointer, or by arrow keys when it has the focus.
//
// The picture is the server's; this file only moves a line and says what stands under it. Left to
// others: the drawing.

import { local } from "./time.js";

const plot = document.querySelector("[data-plot]");
const cursor = document.querySelector("[data-cursor]");
const said = document.querySelector("[data-readout]");
let drawing; // view.plot
let spot = null; // Unix seconds under the cursor
const rest = said ? [...said.childNodes] : [];

const STEPS = { bytes: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] };

function amount(value) {
  const names = STEPS[drawing.unit];
  if (!names) return `${Number(value.toPrecision(3)).toLocaleString("en")} ${drawing.unit}`;
  let step = 0;
  while (Math.abs(value) >= 1024 && step < names.length - 1) [value, step] = [value / 1024, step + 1];
  return `${Number(value.toPrecision(3))} ${names[step]}`;
}

function nearest(rows) {
  let best = rows[0];
  for (const row of rows) if (Math.abs(row[0] - spot) < Math.abs(best[0] - spot)) best = row;
  return best;
}

function tell() {
  if (spot === null || !drawing?.some) return;
  const { frame, points, path } = drawing.draw;
  const past = points.length > 0 && spot <= points.at(-1)[0];
  const row = nearest(past ? points : path);
  if (!row) return;
  const x = `${((row[0] - frame.t0) / (frame.t1 - frame.t0)) * 100}%`;
  cursor.setAttribute("x1", x);
  cursor.setAttribute("x2", x);
  cursor.removeAttribute("hidden");
  const when = local(row[0], "full");
  said.textContent = past
    ? `${when} · ${amount(row[1])}`
    : `${when} · ${amount(row[1])} [${amount(row[2])} – ${amount(row[3])}]`;
}

function leave() {
  if (spot === null) return;
  spot = null;
  cursor.setAttribute("hidden", "");
  said.replaceChildren(...rest);
}

/** Take a new drawing. */
export function redraw(view) {
  drawing = view.plot;
  tell();
}

/** Listen to pointer and keys. */
export function listen() {
  if (!plot) return;
  plot.addEventListener("pointermove", (event) => {
    if (!drawing?.some) return;
    const box = plot.getBoundingClientRect();
    const { t0, t1 } = drawing.draw.frame;
    spot = t0 + ((event.clientX - box.left) / box.width) * (t1 - t0);
    tell();
  });
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    if (!drawing?.some) return;
    const { t0, t1 } = drawing.draw.frame;
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") leave();
    if (!way) return;
    event.preventDefault();
    spot = Math.min(t1, Math.max(t0, (spot ?? drawing.draw.path[0][0]) + (way * (t1 - t0)) / 60));
    tell();
  });
}
