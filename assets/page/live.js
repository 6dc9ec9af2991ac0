// The panel that follows the server: throughput, latency, queue and batch size, from what is counted between two looks.

import { byId, element, milliseconds } from "./dom.js";
import { parsed, quantile, sum } from "./metrics.js";
import { polled } from "./server.js";
import { sparkline } from "./spark.js";

const EVERY_MS = 2000;
const LOOKS_SHOWN = 60;
const NOTHING = "–";

const IMAGES = "cenet_images_total";
const DURATION = "cenet_image_duration_seconds";
const STAGE = "cenet_stage_duration_seconds";
const BATCH = "cenet_batch_size";
const READY = "cenet_ready";

const perSecond = (value) => `${value.toFixed(value < 10 ? 1 : 0)}/s`;
const count = (value) => value.toFixed(value < 0.005 ? 0 : value < 1 ? 2 : value < 10 ? 1 : 0);

const answered = ({ outcome }) => outcome === "ok";
const waiting = ({ stage }) => stage === "queue";
// a picture that found no memory is among those that failed
const turnedAway = ({ reason, model }) => reason !== "memory" || model === "";

/** Each value from two looks: `since` is a sum's growth, `below` a share's latency, `seconds` the time between. */
const GAUGES = [
  {
    title: "Throughput",
    unit: "pictures answered",
    value: ({ since, seconds }) => since(IMAGES, answered) / seconds,
    text: perSecond,
  },
  {
    title: "Latency",
    unit: "95% are quicker, about",
    value: ({ below }) => below(0.95),
    text: milliseconds,
  },
  {
    title: "Queue",
    unit: "pictures waiting, mean",
    // Little's law: the time waited in a second is how many waited
    value: ({ since, seconds }) => since(`${STAGE}_sum`, waiting) / seconds,
    text: count,
  },
  {
    title: "Batch",
    unit: "pictures a run, mean",
    value: ({ since }) => ratio(since(`${BATCH}_sum`), since(`${BATCH}_count`)),
    text: count,
  },
  {
    title: "Errors",
    unit: "pictures failed or turned away",
    value: ({ since, seconds }) =>
      (since(IMAGES, (labels) => !answered(labels)) + since("cenet_rejections_total", turnedAway)) / seconds,
    text: perSecond,
  },
];

/** Looks every two seconds while the tab is seen. */
export function followServer() {
  const panels = GAUGES.map(panel);
  byId("live").replaceChildren(...panels.map(({ root }) => root));
  let last = null;
  let timer = null;
  const follow = async () => {
    try {
      const now = await look();
      if (last) show(panels, last, now);
      tellState(sum(now.samples, READY) > 0 ? "ready" : "not ready");
      last = now;
      byId("live-note").textContent = "";
    } catch (problem) {
      last = null;
      tellState(problem.code === "unreachable" ? "unreachable" : "");
      byId("live-note").textContent = problem.message;
    }
    timer = document.hidden ? null : setTimeout(follow, EVERY_MS);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      [timer, last] = [null, null];
    } else if (timer === null) {
      follow();
    }
  });
  follow();
}

function tellState(state) {
  // told anew only where it changes: a screen reader says each change
  if (byId("state").textContent === state) return;
  byId("state").textContent = state;
  byId("state").dataset.state = state;
}

async function look() {
  const samples = parsed(await (await polled("/metrics")).text());
  return { at: performance.now(), samples };
}

function show(panels, before, now) {
  const since = (name, wanted) => sum(now.samples, name, wanted) - sum(before.samples, name, wanted);
  const below = (share) => scaled(quantile(before.samples, now.samples, DURATION, share));
  const looks = { since, below, seconds: (now.at - before.at) / 1000 };
  panels.forEach(({ add }, position) => {
    // a model that was unloaded takes its counts along
    const seen = GAUGES[position].value(looks);
    add(seen === null ? null : Math.max(0, seen));
  });
}

function panel({ title, unit, text }) {
  const number = element("dd", "number", NOTHING);
  const { root: drawing, draw } = sparkline(LOOKS_SHOWN);
  const most = element("dd", "most");
  const values = [];
  const add = (value) => {
    number.textContent = value === null ? NOTHING : text(value);
    values.push(value);
    values.splice(0, values.length - LOOKS_SHOWN);
    const highest = Math.max(...values.map((one) => one ?? 0));
    most.textContent = highest > 0 ? `up to ${text(highest)}` : "";
    draw(values);
  };
  const history = element("dd", "history", drawing);
  return { root: element("div", "gauge", element("dt", "", title), number, element("dd", "hint", unit), history, most), add };
}

const scaled = (seconds) => (seconds === null ? null : 1000 * seconds);
const ratio = (part, whole) => (whole > 0 ? part / whole : null);
