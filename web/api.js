// REST calls. An error carries the server's text. `error.login`: a login is required;
// `error.unreachable`: the server did not reply.

// A busy server takes its time. A change is not sent again by itself, so it is waited for longer.
const TIMEOUT_MS = 15000, CHANGE_TIMEOUT_MS = 40000;

export class ApiError extends Error {
  constructor(message, {login = false, unreachable = false} = {}) {
    super(message);
    this.login = login;
    this.unreachable = unreachable;
  }
}

async function detailOf(response) {
  try {
    const detail = (await response.json()).detail;
    if (typeof detail === "string" && detail)
      return detail;
  } catch {
    // Not JSON: show the status only.
  }
  return `The server answered ${response.status} ${response.statusText}`.trim() + ".";
}

let changes = 0; // requests of this page that may have changed something, answered or given up

export async function call(method, path, body, timeoutMs = method === "GET" ? TIMEOUT_MS : CHANGE_TIMEOUT_MS) {
  try {
    return await request(method, path, body, timeoutMs);
  } finally {
    if (method !== "GET")
      changes++;
  }
}

// What `read` returns. Replies may cross: one that was asked for before a change was answered can be from
// before it, and would bring back a camera that has just been removed. It is then asked for again.
export async function current(read) {
  for (;;) {
    const before = changes;
    const found = await read();
    if (changes === before)
      return found;
  }
}

async function request(method, path, body, timeoutMs) {
  let response;
  try {
    response = await fetch(`/api/v2/${path}`, {
      method,
      headers: body === undefined ? {} : {"Content-Type": "application/json"},
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch {
    throw new ApiError("No reply from the server.", {unreachable: true});
  }
  if (!response.ok)
    throw new ApiError(await detailOf(response), {
      login: response.status === 401,
      unreachable: response.status >= 502 && response.status <= 504,
    });
  if (response.status === 204)
    return null;
  try {
    return await response.json();
  } catch {
    throw new ApiError("The server's reply was interrupted.", {unreachable: true});
  }
}

export const cameraPath = (name, rest = "") => `cameras/${encodeURIComponent(name)}${rest}`;

// Back-off from 0.5 s to 15 s; the jitter keeps many pages from reconnecting at the same time.
export function backOff(attempt) {
  return Math.min(15000, 500 * 2 ** attempt) * (0.75 + 0.5 * Math.random());
}
