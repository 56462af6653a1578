"use strict";
// Everything that is shown goes through textContent: nothing that a server says is ever read as markup.

const MOST = 200000;
const $ = (id) => document.getElementById(id);

function make(name, attributes, ...children) {
  const it = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined) it.setAttribute(key, value);
  }
  it.append(...children.filter((child) => child !== undefined && child !== ""));
  return it;
}

function resolved(api, schema) {
  let it = schema || {};
  while (it.$ref) it = it.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
  return it;
}

// An example of a body, made of its shape.
function example(api, schema, depth = 0) {
  const it = resolved(api, schema);
  if (it.example !== undefined) return it.example;
  if (it.examples && it.examples.length) return it.examples[0];
  if (it.default !== undefined) return it.default;
  if (it.enum) return it.enum[0];
  const choice = (it.oneOf || it.anyOf || []).find((one) => one.type !== "null");
  if (choice) return example(api, choice, depth);
  const kind = [].concat(it.type || []).find((one) => one !== "null");
  if (kind === "object" && depth < 4) {
    const required = it.required || [];
    const entries = Object.entries(it.properties || {});
    const wanted = required.length ? entries.filter(([name]) => required.includes(name)) : entries.slice(0, 1);
    return Object.fromEntries(wanted.map(([name, one]) => [name, example(api, one, depth + 1)]));
  }
  if (kind === "array") return [example(api, it.items, depth + 1)];
  if (kind === "boolean") return false;
  if (kind === "integer" || kind === "number") return it.minimum || 1;
  if (it.format === "date-time") return new Date().toISOString();
  return "";
}

function kindOf(api, schema) {
  const it = resolved(api, schema);
  if (it.enum) return it.enum.join(" | ");
  const bounds = it.minimum !== undefined && it.maximum !== undefined ? ` ${it.minimum}–${it.maximum}` : "";
  return [].concat(it.type || "any").join(" or ") + (it.format ? ` (${it.format})` : "") + bounds;
}

function field(api, parameter) {
  const input = make("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const about = `${parameter.in}, ${kindOf(api, parameter.schema)}${parameter.required ? ", needed" : ""}`;
  const told = parameter.description ? `${about}. ${parameter.description}` : about;
  const row = make("label", { class: "field" }, make("code", {}, parameter.name), input, make("small", {}, told));
  return { parameter, input, row };
}

function requestOf(path, fields) {
  let target = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, input } of fields) {
    const value = input.value;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "" && parameter.in === "query") query.append(parameter.name, value);
    else if (value !== "" && parameter.in === "header") headers[parameter.name] = value;
  }
  const text = query.toString();
  return { target: text ? `${target}?${text}` : target, headers };
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// The answer is shown as it comes, and no more of it than can be looked at.
async function show(response, body) {
  const reader = response.body ? response.body.getReader() : undefined;
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = reader ? await reader.read() : { done: true };
    if (done) break;
    text = (text + decoder.decode(value, { stream: true })).slice(-MOST);
    body.textContent = text;
  }
  body.textContent = pretty(text) || "(no body)";
}

async function send(method, path, fields, text, output, signal) {
  const { target, headers } = requestOf(path, fields);
  const token = $("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (text !== undefined && text.trim() !== "") headers["Content-Type"] = "application/json";
  const body = text !== undefined && text.trim() !== "" ? text : undefined;
  const head = make("pre", {}, `${method.toUpperCase()} ${target}`);
  const told = make("pre", {}, "…");
  output.replaceChildren(head, told);
  try {
    const options = { method: method.toUpperCase(), headers, body, signal, credentials: "omit", redirect: "error" };
    const response = await fetch(target, options);
    const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
    head.textContent += `\n\n${response.status} ${response.statusText}\n${lines.join("\n")}`;
    head.className = response.ok ? "" : "failed";
    await show(response, told);
  } catch (error) {
    if (error.name !== "AbortError") told.textContent = `The call failed: ${error.message}`;
  }
}

function answers(call) {
  return Object.entries(call.responses || {}).map(([status, it]) => `${status} ${it.description}`).join(" · ");
}

function open(api, box, method, path, call) {
  const fields = (call.parameters || []).map((one) => field(api, one));
  const content = call.requestBody && call.requestBody.content["application/json"];
  const text = content && make("textarea", { spellcheck: "false", "aria-label": "body" });
  if (text && call.requestBody.required !== false) text.value = JSON.stringify(example(api, content.schema), null, 2);
  const output = make("div", { class: "answer", "aria-live": "polite" });
  const go = make("button", { type: "button", class: "send" }, "Send");
  const stop = make("button", { type: "button" }, "Stop");
  let running;
  stop.disabled = true;
  stop.addEventListener("click", () => running && running.abort());
  go.addEventListener("click", async () => {
    running = new AbortController();
    go.disabled = true;
    stop.disabled = false;
    await send(method, path, fields, text && text.value, output, running.signal);
    go.disabled = false;
    stop.disabled = true;
  });
  const scope = call.security && call.security[0] ? `Needs the scope ${call.security[0].bearer[0]}.` : "Open to everybody.";
  box.append(
    make("p", {}, call.description || ""),
    make("p", { class: "note" }, scope),
    ...fields.map((it) => it.row),
    text ? make("h3", {}, "Body") : "",
    text || "",
    make("div", {}, go, stop),
    make("p", { class: "note" }, `Answers: ${answers(call)}`),
    output,
  );
}

function list(api) {
  const groups = new Map();
  for (const [path, calls] of Object.entries(api.paths)) {
    for (const [method, call] of Object.entries(calls)) {
      const group = (call.tags || ["other"])[0];
      const title = make("summary", {}, make("b", {}, method.toUpperCase()), make("code", {}, path), make("span", {}, call.summary));
      const box = make("details", { "data-call": call.operationId }, title);
      box.addEventListener("toggle", () => box.childElementCount === 1 && open(api, box, method, path, call));
      box.dataset.words = `${method} ${path} ${call.summary} ${call.description}`.toLowerCase();
      if (!groups.has(group)) groups.set(group, make("section", {}, make("h2", {}, group)));
      groups.get(group).append(box);
    }
  }
  $("calls").replaceChildren(...groups.values());
}

function narrow() {
  const word = $("find").value.trim().toLowerCase();
  for (const box of document.querySelectorAll("details")) box.hidden = !box.dataset.words.includes(word);
}

async function begin() {
  $("find").addEventListener("input", narrow);
  try {
    const response = await fetch("/openapi.json", { credentials: "omit" });
    list(await response.json());
  } catch (error) {
    $("calls").textContent = `The description could not be read: ${error.message}`;
  }
}

begin();
