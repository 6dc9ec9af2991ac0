// Where the time of one answer went.

import { byId, element, milliseconds } from "./dom.js";

/** Shows `timings_ms`: each stage as a bar that begins where the one before ended. */
export function showTimings({ total, ...stages }) {
  const parts = Object.entries(stages).map(([stage, time]) => ({ stage, time }));
  const known = parts.reduce((sum, { time }) => sum + time, 0);
  // between the stages a picture may wait for a core
  parts.push({ stage: "waiting", time: Math.max(0, total - known) });
  const whole = Math.max(total, known);
  let begin = 0;
  const rows = parts.map((part) => {
    const made = row(part, begin / whole, part.time / whole);
    begin += part.time;
    return made;
  });
  byId("stages").replaceChildren(...rows);
  byId("total").textContent = milliseconds(total);
}

function row({ stage, time }, begin, share) {
  const bar = element("span", "span");
  bar.style.left = `${100 * begin}%`;
  bar.style.width = `${100 * share}%`;
  const track = element("span", "track", bar);
  return element("li", `stage-${stage}`, element("span", "name", stage), track, element("span", "time", milliseconds(time)));
}
