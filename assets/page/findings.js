// What was found: labels and boxes as bars, boxes on the picture too.

import { byId, element } from "./dom.js";

// neighbouring labels get hues far apart
const GOLDEN_ANGLE = 137.5;
const FIRST_HUE = 175;

/** Shows an answer of `/classify` or `/detect`; returns it in a few words. */
export function showFindings({ predictions, detections, image }) {
  const found = predictions ?? detections;
  const bars = found.map(bar);
  byId("findings").replaceChildren(...bars);
  const drawn = (detections ?? []).map((detection) => box(detection, image));
  byId("boxes").replaceChildren(...drawn);
  drawn.forEach((one, position) => pair(bars[position], one));
  const kinds = counted(detections ?? []);
  offerKinds(kinds, (label) => found.flatMap((one, at) => (one.label === label ? [bars[at], drawn[at]] : [])));
  if (image) byId("shown").style.aspectRatio = `${image.width} / ${image.height}`;
  return predictions ? bestLabel(predictions) : inWords(kinds);
}

/** Takes the boxes off the picture. */
export function clearBoxes() {
  byId("boxes").replaceChildren();
  byId("shown").style.aspectRatio = "";
}

function bar({ label, index, score }) {
  const filled = element("span", "filled");
  filled.style.width = `${100 * score}%`;
  const row = element("li", "", element("span", "label", readable(label)), element("span", "bar", filled));
  row.append(element("span", "score", score.toFixed(3)));
  row.style.setProperty("--hue", hue(index));
  return row;
}

function box({ label, index, score, box: [left, top, right, bottom] }, { width, height }) {
  const name = element("span", "name", `${readable(label)} ${score.toFixed(2)}`);
  const made = element("div", top < 0.06 * height ? "box low" : "box", name);
  const share = (part, whole) => `${(100 * part) / whole}%`;
  made.style.left = share(left, width);
  made.style.top = share(top, height);
  made.style.width = share(right - left, width);
  made.style.height = share(bottom - top, height);
  made.style.setProperty("--hue", hue(index));
  return made;
}

/** Points at both where the pointer is at one, or the keyboard at the row. */
function pair(row, box) {
  const point = (pointed) => [row, box].forEach((one) => one.classList.toggle("pointed", pointed));
  row.tabIndex = 0;
  for (const [one, begin, end] of [[row, "pointerenter", "pointerleave"], [box, "pointerenter", "pointerleave"], [row, "focus", "blur"]]) {
    one.addEventListener(begin, () => point(true));
    one.addEventListener(end, () => point(false));
  }
}

/** A button for each kind that takes what `of` it there is out of sight, and brings it back. */
function offerKinds(kinds, of) {
  const buttons = kinds.map(({ label, index, count }) => {
    const button = element("button", "kind", `${count} ${readable(label)}`);
    button.type = "button";
    button.style.setProperty("--hue", hue(index));
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", shown);
      of(label).forEach((one) => (one.hidden = !shown));
    });
    return button;
  });
  byId("kinds").replaceChildren(...buttons);
  byId("kinds").hidden = buttons.length === 0;
}

function bestLabel([best]) {
  return best ? `Most likely: ${readable(best.label)}` : "No label reaches the lowest score";
}

/** How many of each label, most first. */
function counted(detections) {
  const counts = new Map();
  for (const { label, index } of detections) {
    counts.set(label, { label, index, count: (counts.get(label)?.count ?? 0) + 1 });
  }
  return [...counts.values()].sort((one, other) => other.count - one.count);
}

function inWords(kinds) {
  const parts = kinds.map(({ label, count }) => `${count} ${readable(label)}`);
  return parts.length > 0 ? `Found: ${parts.join(", ")}` : "No box reaches the lowest score";
}

const readable = (label) => label.replaceAll("_", " ");
const hue = (index) => (FIRST_HUE + index * GOLDEN_ANGLE) % 360;
