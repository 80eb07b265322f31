// Starts what the page at hand needs: times everywhere, the live stream on the front page.

import { live } from "./live.js";
import { listen, redraw } from "./plot.js";
import { localise } from "./time.js";

localise(document);
if (document.querySelector("[data-scope]")) {
  listen();
  live(redraw);
}
