// What the page asks of the server, and what an answer that is none looks like.

/** A failure as the server tells it: title, detail and a stable code. */
export class Problem extends Error {
  constructor({ title, detail, code }) {
    super(detail);
    Object.assign(this, { title, detail, code });
  }
}

/** The models that are ready, as `/v1/models` lists them. */
export async function readyModels() {
  const { models } = await (await reached("/v1/models")).json();
  return models.filter((model) => model.state === "ready" && model.task);
}

/** Path and query that ask `model`, with only the options that were set. */
export function address(model, options) {
  const query = new URLSearchParams({ model: model.name, version: model.version, ...options });
  return `/${model.task}?${query}`;
}

/** What the server says of `picture`. */
export async function ask(path, picture, signal) {
  const body = picture;
  const headers = { "Content-Type": "application/octet-stream" };
  return (await reached(path, { method: "POST", body, headers, signal })).json();
}

/** The same request, for a shell. */
export function curlLine(path, name) {
  return `curl --data-binary ${quoted(`@${name}`)} \\\n  ${quoted(location.origin + path)}`;
}

/** A text or JSON that is polled; the answer is never a stored one. */
export async function polled(path) {
  return reached(path, { cache: "no-store" });
}

async function reached(path, request) {
  const response = await fetch(path, request).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "No answer", detail: "The server can’t be reached.", code: "unreachable" });
  });
  if (response.ok) return response;
  const fallback = { title: response.statusText || "Error", detail: "", code: String(response.status) };
  throw new Problem(await response.json().catch(() => fallback));
}

function quoted(word) {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
