// Prometheus's text format, and what two looks at it say of the time between.

const SAMPLE = /^(\w+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Every sample of a text: name, labels, value. */
export function parsed(text) {
  const samples = text.split("\n").map((line) => SAMPLE.exec(line));
  return samples.filter(Boolean).map(([, name, labels = "", value]) => {
    const pairs = [...labels.matchAll(LABEL)].map(([, key, quoted]) => [key, quoted]);
    return { name, labels: Object.fromEntries(pairs), value: Number(value) };
  });
}

/** The sum of the samples of `name` that are `wanted`, by their labels. */
export function sum(samples, name, wanted = () => true) {
  const matching = samples.filter((sample) => sample.name === name && wanted(sample.labels));
  return matching.reduce((total, { value }) => total + value, 0);
}

/** The value below which `share` of what a histogram counted between two looks lies, in its unit; null where it counted nothing. */
export function quantile(before, now, name, share, wanted = () => true) {
  const bounds = [...new Set(now.filter((one) => one.name === `${name}_bucket`).map(({ labels }) => labels.le))];
  const upTo = (le) => {
    const within = (labels) => labels.le === le && wanted(labels);
    return sum(now, `${name}_bucket`, within) - sum(before, `${name}_bucket`, within);
  };
  const steps = bounds.map((le) => ({ bound: Number(le.replace("+Inf", "Infinity")), count: upTo(le) }));
  steps.sort((one, other) => one.bound - other.bound);
  const all = steps.at(-1)?.count ?? 0;
  if (all <= 0) return null;
  const at = steps.findIndex(({ count }) => count >= share * all);
  const low = at > 0 ? steps[at - 1] : { bound: 0, count: 0 };
  const { bound, count } = steps[at];
  if (bound === Infinity) return low.bound;
  return low.bound + (bound - low.bound) * ((share * all - low.count) / (count - low.count));
}
