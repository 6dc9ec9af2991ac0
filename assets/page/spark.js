// A line of what a number was, newest on the right.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [120, 32];

/** A drawing of at most `most` values; `draw` takes them, null where there was none. */
export function sparkline(most) {
  const root = shape("svg", { viewBox: `0 -1 ${WIDTH} ${HEIGHT + 2}`, preserveAspectRatio: "none", class: "spark" });
  const [area, line] = ["area", "line"].map((name) => shape("path", { class: name }));
  root.setAttribute("aria-hidden", "true");
  root.append(area, line);
  const draw = (values) => {
    const highest = Math.max(...values.map((value) => value ?? 0)) || 1;
    const x = (at) => WIDTH - ((values.length - 1 - at) * WIDTH) / (most - 1);
    const runs = unbroken(values).map((run) => run.map(({ at, value }) => `${x(at)} ${HEIGHT * (1 - value / highest)}`));
    line.setAttribute("d", runs.map((points) => `M${points.join("L")}${points.length > 1 ? "" : "h.01"}`).join(""));
    area.setAttribute("d", runs.map((points) => `M${points.join("L")}V${HEIGHT}H${points[0].split(" ")[0]}Z`).join(""));
  };
  return { root, draw };
}

/** The values with their places, a list for each part without a gap. */
function unbroken(values) {
  const runs = [[]];
  values.forEach((value, at) => {
    if (value === null) runs.push([]);
    else runs.at(-1).push({ at, value });
  });
  return runs.filter((run) => run.length > 0);
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
