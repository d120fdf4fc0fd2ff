// The device's HTTP interface: one call, one error, the token in its header.

import { ask, token } from "./token.js";
import { has, text } from "./texts.js";

// What went wrong, in words for a person: `code` is the service's, "unreachable" when there was no answer at all.
export class ServiceError extends Error {
  constructor(code, message, hint = "", status = 0) {
    super(message);
    Object.assign(this, { code, hint, status });
  }
}

export async function get(path) {
  return (await request("GET", path)).json();
}

export async function post(path, facts) {
  const body = facts === undefined ? undefined : JSON.stringify(facts);
  return (await request("POST", path, body, body && "application/json")).json();
}

// As a form, so that the picture brings its name into the history.
export async function postPicture(path, file, name, facts = {}) {
  const form = new FormData();
  form.append("picture", file, name || "picture");
  for (const [field, value] of Object.entries(facts)) form.append(field, value);
  return (await request("POST", path, form)).json();
}

export async function getBlob(path) {
  return (await request("GET", path)).blob();
}

async function request(method, path, body, kind) {
  for (;;) {
    const response = await sent(method, path, body, kind);
    if (response.ok) return response;
    const error = await told(response);
    if (response.status !== 401 && response.status !== 429) throw error;
    await ask(refusal(response));
  }
}

async function sent(method, path, body, kind) {
  const headers = {};
  if (token()) headers.Authorization = `Bearer ${token()}`;
  if (kind) headers["Content-Type"] = kind;
  try {
    return await fetch(path, { method, headers, body, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch {
    throw new ServiceError("unreachable", text("error.unreachable"), text("error.unreachable.hint"));
  }
}

// The service's own words, but for the few answers that have words of ours.
async function told(response) {
  const facts = await response.json().catch(() => ({}));
  const { code = "other", message = text("error.other"), hint = "" } = facts.error ?? {};
  const own = { 503: "error.busy", 413: "error.large" }[response.status];
  if (!own) return new ServiceError(code, message, hint, response.status);
  return new ServiceError(code, text(own), has(`${own}.hint`) ? text(`${own}.hint`) : "", response.status);
}

function refusal(response) {
  if (response.status === 429) return text("token.later", { n: Number(response.headers.get("Retry-After") ?? 60) });
  return token() ? text("token.wrong") : "";
}
