// The form: which model is asked, and with which options. What nobody touched is left to the server.

import { byId } from "./dom.js";

const TASKS = { classify: "Classifiers", detect: "Detectors" };

/** Fills the form with `models` and calls `changed` when the reader changes it. */
export function offer(models, changed) {
  const [form, select] = ["options", "model"].map(byId);
  const groups = Object.entries(TASKS).map(([task, label]) => group(models, task, label));
  select.replaceChildren(...groups.filter((one) => one.children.length > 0));
  const asked = () => {
    const model = models[select.value];
    return model && { model, options: touched(form, model.task) };
  };
  const showModel = () => {
    const { task, description } = models[select.value];
    byId("description").textContent = description ?? "";
    for (const part of form.querySelectorAll("[data-task]")) part.hidden = part.dataset.task !== task;
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => touch(target));
  form.addEventListener("change", ({ target }) => {
    if (target === select) showModel();
    if (form.reportValidity()) changed();
  });
  byId("reset").addEventListener("click", () => {
    inputs(form).forEach(untouch);
    changed();
  });
  inputs(form).forEach(untouch);
  if (models.length > 0) showModel();
  return asked;
}

function group(models, task, label) {
  const made = document.createElement("optgroup");
  made.label = label;
  models.forEach((model, position) => {
    if (model.task !== task) return;
    const versions = models.filter((other) => other.name === model.name).length;
    const text = versions > 1 ? `${model.name}, version ${model.version}` : model.name;
    made.append(new Option(text, position));
  });
  return made;
}

const inputs = (form) => [...form.querySelectorAll("input")];

function touched(form, task) {
  const applies = (input) => (input.closest("[data-task]")?.dataset.task ?? task) === task;
  const set = inputs(form).filter((input) => input.dataset.touched && input.value !== "" && applies(input));
  return Object.fromEntries(set.map((input) => [input.name, input.value]));
}

function touch(input) {
  input.dataset.touched = "yes";
  tell(input, Number(input.value).toFixed(2));
}

function untouch(input) {
  delete input.dataset.touched;
  input.value = input.defaultValue;
  tell(input, "default");
}

function tell(input, text) {
  const output = input.parentElement.querySelector("output");
  if (output) output.textContent = text;
}
