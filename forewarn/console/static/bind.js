// Puts a view into the page: the markup is the server's, this file only fills it.
//
// data-text="path"            the element's text
// data-time="path"            Unix seconds, shown in the viewer's zone
// data-set="attribute:path …" attributes, of a short list of harmless ones
// data-if="path"              shown or hidden
// data-each="path" data-template="id"   one clone of the template's row per item, kept by its key
//
// Guaranteed: data become text nodes and attribute values, never markup; an element keeps its
// identity while its key stays, so focus and hover survive an update. Left to others: the data.

import { show } from "./time.js";

const HARMLESS = new Set([
  "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "text-anchor", "title",
  "aria-current", "href",
]);

/** Return what `path` names inside of `data`; undefined where there is nothing. */
function at(data, path) {
  let value = data;
  for (const name of path.split(".")) value = value?.[name];
  return value;
}

/** Fill `element` and what is inside of it from `data`. */
export function fill(element, data) {
  const { text, time, set, if: condition, each, template } = element.dataset;
  if (condition !== undefined) element.toggleAttribute("hidden", !at(data, condition));
  if (set) for (const pair of set.split(" ")) put(element, ...pair.split(":"), data);
  if (text !== undefined) write(element, at(data, text));
  else if (time !== undefined) show(element, at(data, time));
  else if (each !== undefined) repeat(element, at(data, each) ?? [], template);
  else for (const child of element.children) fill(child, data);
}

function put(element, name, path, data) {
  if (!HARMLESS.has(name) && !name.startsWith("data-")) return;
  const value = String(at(data, path) ?? "");
  if (name === "href" && !value.startsWith("/")) return; // only our own pages
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function write(element, value) {
  const text = String(value ?? "");
  if (element.textContent !== text) element.textContent = text;
}

function repeat(list, rows, template) {
  const known = new Map();
  for (const child of [...list.children]) known.set(child.dataset.key, child);
  let place = list.firstElementChild;
  for (const row of rows) {
    const item = known.get(row.key) ?? fresh(template);
    known.delete(row.key);
    item.dataset.key = row.key;
    fill(item, row);
    if (item === place) place = place.nextElementSibling;
    else list.insertBefore(item, place);
  }
  for (const gone of known.values()) gone.remove();
}

function fresh(template) {
  const row = document.getElementById(template).content.querySelector("[data-key]");
  return document.importNode(row, true);
}
