// What is asked of the server, and what it refuses.

const API = "/api/v1";
// Longer than any call takes that the server answers.
const PATIENCE = 90000;
// A call that was not answered keeps its key for so long, so that another try is the same call.
const KEY_LIFE = 120000;

// Who is signed in: actor, scopes, csrf_token, expires_at.
let session = null;
const unsettled = new Map();
// Called with why, when the session is over.
let whenOver = () => {};

function may(scope) {
  return session !== null && (session.scopes.includes("admin") || session.scopes.includes(scope));
}

// What a call was refused with: a problem document, or what stands for one.
class Refusal extends Error {
  constructor(status, problem, after) {
    super(problem.detail || problem.title || "the call failed");
    this.name = "Refusal";
    this.status = status;
    this.problem = problem;
    this.code = String(problem.type || "")
      .split(":")
      .pop();
    this.correlation = problem.correlation_id;
    this.after = after;
  }

  get title() {
    if (this.code === "unreachable") return "starkeep cannot be reached";
    return this.problem.title || `Refused (${this.status})`;
  }

  // For people: what is wrong, and when to come again.
  get told() {
    const words = [sentence(this.message)];
    const scope = /scope `([^`]+)`/.exec(this.message);
    if (this.code === "scope_missing" && scope)
      words.splice(0, 1, `You are signed in without the scope ${scope[1]}, which this needs.`);
    if (this.after) words.push(`Come again in ${span(this.after)}, at ${exact(now() + this.after * 1000).slice(11)}.`);
    return words.join(" ");
  }
}

function sentence(text) {
  const it = String(text).trim();
  const isName = /^(starkeep|[a-z]+[._][a-z])/.test(it);
  const first = isName ? it : it.slice(0, 1).toUpperCase() + it.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

function wasLeft(error) {
  return error.name === "AbortError";
}

function unreachable(error) {
  const why = error.name === "TimeoutError" ? "there was no answer in time" : "the connection failed";
  return new Refusal(0, {
    type: "urn:starkeep:problem:unreachable",
    detail: `${why}; look whether it was done, and try again`,
  });
}

// Ends with the view that asked, or when it takes too long.
function bounded(outer) {
  const own = new AbortController();
  const timer = setTimeout(() => own.abort(new DOMException("too slow", "TimeoutError")), PATIENCE);
  const pass = () => own.abort(outer.reason);
  if (outer && outer.aborted) pass();
  else if (outer) outer.addEventListener("abort", pass, { once: true });
  const done = () => {
    clearTimeout(timer);
    if (outer) outer.removeEventListener("abort", pass);
  };
  return { signal: own.signal, done };
}

async function refusalOf(response) {
  const after = Number(response.headers.get("Retry-After")) || undefined;
  const problem = await response.json().catch(() => ({}));
  const plain = {
    title: `Refused (${response.status})`,
    detail: response.statusText || `the answer was ${response.status}`,
  };
  return new Refusal(response.status, problem && problem.type ? problem : plain, after);
}

function keyOf(what) {
  for (const [it, known] of unsettled) if (known.until < Date.now()) unsettled.delete(it);
  const known = unsettled.get(what) || { key: randomKey(), until: Date.now() + KEY_LIFE };
  unsettled.set(what, known);
  return known.key;
}

// Whether nothing more can become of the call than what was answered.
function isSettled(status, code) {
  return status >= 200 && status < 500 && status !== 408 && status !== 429 && code !== "idempotency_under_way";
}

function headersFor(method, path, text, bearer) {
  const headers = { Accept: "application/json" };
  if (text !== undefined) headers["Content-Type"] = "application/json";
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (method !== "GET" && session) headers["X-CSRF-Token"] = session.csrf_token;
  if (method === "POST" && path.startsWith(API)) headers["Idempotency-Key"] = keyOf(`${path} ${text}`);
  return headers;
}

// One call; its answer as JSON, `null` without one.
async function call(method, path, { body, bearer, signal } = {}) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const bound = bounded(signal);
  try {
    const headers = headersFor(method, path, text, bearer);
    const options = {
      method,
      headers,
      body: text,
      signal: bound.signal,
      credentials: "same-origin",
      redirect: "error",
      cache: "no-store",
    };
    const response = await fetch(path, options);
    heedClock(response.headers.get("Date"));
    const refusal = response.ok ? undefined : await refusalOf(response);
    if (isSettled(response.status, refusal && refusal.code)) unsettled.delete(`${path} ${text}`);
    if (refusal) throw refusal;
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    if (error instanceof Refusal || wasLeft(error)) throw error;
    throw unreachable(bound.signal.aborted ? bound.signal.reason : error);
  } finally {
    bound.done();
  }
}

// A call in the session: the CSRF token is read again once, and a session that is over leads to the door.
async function admin(method, path, options = {}) {
  try {
    return await call(method, API + path, options);
  } catch (error) {
    if (error.status === 403 && error.code.includes("csrf") && (await renewed()))
      return call(method, API + path, options);
    if (error.status === 401 && session) whenOver(error);
    throw error;
  }
}

async function renewed() {
  session = await call("GET", "/session").catch(() => session);
  return session !== null;
}

const read = (path, signal) => admin("GET", path, { signal });
const post = (path, body, signal) => admin("POST", path, { body, signal });

// A path with its parameters, without those that are empty.
function asked(path, query) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== null && value !== "") all.set(name, value);
  const text = all.toString();
  return text ? `${path}?${text}` : path;
}

// `/readyz` answers 503 with the same components in a problem document.
async function readiness(signal) {
  try {
    return await call("GET", "/readyz", { signal });
  } catch (error) {
    if (error.status === 503 && error.problem.components)
      return { status: "unavailable", components: error.problem.components };
    throw error;
  }
}

// Names of mirrors by their ids, as far as they were seen.
const names = new Map();
const MOST_NAMES = 5000;

function nameIs(id, repository) {
  if (names.size >= MOST_NAMES) names.clear();
  if (repository) names.set(id, repository);
}

// Asks for the names that are wanted, a few at a time.
const nameless = { queue: [], running: 0 };

function wantName(id, told) {
  nameless.queue.push({ id, told });
  askNames();
}

async function askNames() {
  while (nameless.running < 3 && nameless.queue.length) {
    const { id, told } = nameless.queue.shift();
    if (names.has(id)) {
      told(names.get(id));
      continue;
    }
    nameless.running += 1;
    read(`/mirrors/${encodeURIComponent(id)}`)
      .then(
        (it) => nameIs(id, it.repository),
        (error) => error.status === 404 && nameIs(id, "a forgotten mirror"),
      )
      .finally(() => {
        nameless.running -= 1;
        if (names.has(id)) told(names.get(id));
        askNames();
      });
  }
}
