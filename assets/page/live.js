// The panel that follows the server: throughput, latency, queue and batch size, from what is counted between two looks.

import { byId, element, milliseconds } from "./dom.js";
import { parsed, quantile, sum } from "./metrics.js";
import { polled } from "./server.js";

const EVERY_MS = 2000;
const LOOKS_SHOWN = 60;
const NOTHING = "–";

const DURATION = "cenet_image_duration_seconds";
const STAGE = "cenet_stage_duration_seconds";
const BATCH = "cenet_batch_size";

const perSecond = (value) => `${value.toFixed(value < 10 ? 1 : 0)}/s`;
const orNothing = (tell) => (value) => (value === null ? NOTHING : tell(value));

const waiting = ({ stage }) => stage === "queue";
const refused = ({ outcome }) => outcome !== "ok";

/** Each value from two looks: `since` is a sum's growth, `seconds` the time between. */
const GAUGES = [
  {
    title: "Throughput",
    unit: "pictures answered",
    value: ({ since, seconds }) => since("cenet_images_total", ({ outcome }) => outcome === "ok") / seconds,
    text: perSecond,
  },
  {
    title: "Latency",
    unit: "95% are quicker, about",
    value: ({ before, now }) => scaled(quantile(before.samples, now.samples, DURATION, 0.95)),
    text: orNothing(milliseconds),
  },
  {
    title: "Queue",
    unit: "pictures waiting, mean",
    // Little's law: the time waited in a second is how many waited
    value: ({ since, seconds }) => since(`${STAGE}_sum`, waiting) / seconds,
    text: (value) => value.toFixed(value < 10 ? 2 : 0),
  },
  {
    title: "Batch",
    unit: "pictures a run, mean",
    value: ({ since }) => ratio(since(`${BATCH}_sum`), since(`${BATCH}_count`)),
    text: orNothing((value) => value.toFixed(1)),
  },
  {
    title: "Errors",
    unit: "pictures refused or failed",
    value: ({ since, seconds }) => since("cenet_images_total", refused) / seconds,
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
      last = now;
      byId("live-note").textContent = "";
    } catch (problem) {
      last = null;
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

async function look() {
  const samples = parsed(await (await polled("/metrics")).text());
  return { at: performance.now(), samples };
}

function show(panels, before, now) {
  const since = (name, wanted) => sum(now.samples, name, wanted) - sum(before.samples, name, wanted);
  const looks = { before, now, since, seconds: (now.at - before.at) / 1000 };
  GAUGES.forEach(({ value, text }, position) => {
    // a model that was unloaded takes its counts along
    const seen = value(looks);
    panels[position].add(seen === null ? null : Math.max(0, seen), text);
  });
}

function panel({ title, unit }) {
  const number = element("dd", "number", NOTHING);
  const history = element("dd", "history");
  history.setAttribute("aria-hidden", "true");
  const values = [];
  const add = (value, text) => {
    number.textContent = text(value);
    values.push(value ?? 0);
    values.splice(0, values.length - LOOKS_SHOWN);
    const highest = Math.max(...values) || 1;
    history.replaceChildren(...values.map((one) => column(one / highest)));
  };
  const name = element("dt", "", title);
  return { root: element("div", "gauge", name, number, element("dd", "hint", unit), history), add };
}

function column(share) {
  const made = element("span", "");
  made.style.height = `${100 * share}%`;
  return made;
}

const scaled = (seconds) => (seconds === null ? null : 1000 * seconds);
const ratio = (part, whole) => (whole > 0 ? part / whole : null);
