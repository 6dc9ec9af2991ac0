// The page: a picture goes to the chosen model, and what comes back is shown.

import { byId, element, milliseconds } from "./dom.js";
import { clearBoxes, showFindings } from "./findings.js";
import { followServer } from "./live.js";
import { offer } from "./options.js";
import { watchForPictures } from "./picture.js";
import { Problem, address, ask, curlLine, readyModels } from "./server.js";
import { showTimings } from "./timings.js";

let picture = null;
let asked = () => undefined;
let underWay = new AbortController();

async function start() {
  followServer();
  watchForPictures(choose, (title, detail) => showProblem(new Problem({ title, detail, code: "camera" })));
  byId("again").addEventListener("click", askModel);
  byId("copy").addEventListener("click", copyCurl);
  byId("preview").addEventListener("error", () => showPreview(false));
  try {
    const models = await readyModels();
    if (models.length === 0) {
      throw new Problem({ title: "No model is ready", detail: "See /v1/models for the reasons.", code: "no_model" });
    }
    asked = offer(models, askModel);
    askModel();
  } catch (problem) {
    showProblem(problem);
  }
}

function choose(file) {
  picture = file;
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.alt = `The picture ${file.name}`;
  showPreview(true);
  byId("empty").hidden = true;
  byId("shown").hidden = false;
  byId("again").disabled = false;
  byId("file-name").textContent = file.name;
  clearBoxes();
  askModel();
}

function showPreview(showable) {
  byId("preview").hidden = !showable;
  byId("unshowable").hidden = showable;
}

async function askModel() {
  const question = asked();
  if (!picture || !question) return;
  underWay.abort();
  underWay = new AbortController();
  const { signal } = underWay;
  const path = address(question.model, question.options);
  byId("curl").textContent = curlLine(path, picture.name);
  byId("request").hidden = false;
  document.body.classList.add("asking");
  try {
    const answer = await ask(path, picture, signal);
    if (!signal.aborted) showAnswer(answer);
  } catch (problem) {
    if (!signal.aborted) showProblem(problem);
  }
  if (!signal.aborted) document.body.classList.remove("asking");
}

function showAnswer(answer) {
  byId("problem").hidden = true;
  const words = showFindings(answer);
  byId("summary").textContent = `${words} · ${milliseconds(answer.timings_ms.total)}`;
  showTimings(answer.timings_ms);
  byId("json").textContent = JSON.stringify(answer, null, 2);
  setAnswered(true);
}

/** Only an answer has findings, times and JSON. */
function setAnswered(answered) {
  for (const id of ["result", "time", "answered"]) byId(id).hidden = !answered;
}

function showProblem({ title, detail, code, message }) {
  byId("summary").textContent = "";
  setAnswered(false);
  clearBoxes();
  const parts = [element("strong", "", title ?? "The page failed"), element("p", "", detail ?? message)];
  if (code) parts.push(element("code", "", code));
  byId("problem").replaceChildren(...parts);
  byId("problem").hidden = false;
}

async function copyCurl() {
  const [line, button] = ["curl", "copy"].map(byId);
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(line.textContent);
    button.textContent = "Copied";
  } else {
    // without TLS a browser lets no page write the clipboard
    getSelection().selectAllChildren(line);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

start();
