// Shorthand for the page's elements.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element with classes and what is in it. */
export function element(tag, classes, ...content) {
  const made = document.createElement(tag);
  made.className = classes;
  made.append(...content);
  return made;
}

/** A duration in milliseconds with as many digits as one reads. */
export function milliseconds(value) {
  const digits = value < 1 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ms`;
}
