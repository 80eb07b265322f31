// Keeps the page alive: one stream of events, the whole view at first, then what changed.
//
// Guaranteed: several changes between two frames are drawn once; silence for 15 s is said, since
// the server beats every 5 s; choosing another plot changes the address, so it can be shared and
// the back key works. Left to others: drawing (bind.js), reconnecting (the browser does).

import { fill } from "./bind.js";

const SILENCE = 15_000; // milliseconds

/** Start the stream; `drawn(view)` is called after each drawing. */
export function live(drawn) {
  const scopes = [...document.querySelectorAll("[data-scope]")];
  const lost = document.querySelector("[data-lost]");
  let view = {};
  let changed = new Set();
  let waiting = false; // for the next frame
  let source;
  let heard = performance.now();

  function draw() {
    for (const scope of scopes) {
      if (changed.has(scope.dataset.scope)) fill(scope, view[scope.dataset.scope]);
    }
    changed = new Set();
    waiting = false;
    drawn(view);
  }

  function take(event) {
    heard = performance.now();
    lost.hidden = true;
    const sections = JSON.parse(event.data);
    view = { ...view, ...sections };
    for (const name of Object.keys(sections)) changed.add(name);
    if (changed.size > 0 && !waiting) requestAnimationFrame(draw);
    waiting = changed.size > 0;
  }

  function open() {
    source?.close();
    source = new EventSource(`/events${location.search}`);
    for (const name of ["view", "change", "beat"]) source.addEventListener(name, take);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-choose]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", link.href.split("#")[0]);
    open();
    const plot = document.getElementById("forecast");
    if (plot.getBoundingClientRect().top > innerHeight * 0.7) plot.scrollIntoView();
  });
  addEventListener("popstate", open);
  setInterval(() => { lost.hidden = performance.now() - heard < SILENCE; }, 1000);
  open();
}
