// Where the time of one answer went.

import { byId, element, milliseconds } from "./dom.js";

/** Shows `timings_ms` as one bar of stages, with numbers below. */
export function showTimings({ total, ...stages }) {
  const parts = Object.entries(stages).map(([stage, time]) => ({ stage, time }));
  const known = parts.reduce((sum, { time }) => sum + time, 0);
  // between the stages a picture may wait for a core
  parts.push({ stage: "waiting", time: Math.max(0, total - known) });
  byId("stages").replaceChildren(...parts.map((part) => segment(part, total)));
  const terms = [...parts, { stage: "total", time: total }].map(term);
  byId("times").replaceChildren(...terms);
}

function segment({ stage, time }, total) {
  const made = element("span", `stage-${stage}`);
  made.style.flexGrow = time / total;
  return made;
}

function term({ stage, time }) {
  const name = element("dt", `stage-${stage}`, stage);
  return element("div", "", name, element("dd", "", milliseconds(time)));
}
