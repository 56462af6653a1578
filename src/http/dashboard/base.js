"use strict";
// The dashboard. Its files are one script, in this order: base.js, calls.js, parts.js, lists.js, live.js, overview.js,
// waiting.js, mirrors.js, mirror.js, history.js, add.js, jobs.js, deliveries.js, keys.js, door.js, views.js.
// Everything that is shown goes through textContent: nothing that a server says is ever read as markup.

const $ = (id) => document.getElementById(id);

// An element. What is a function is called on that event; what is false or missing is left out.
function make(name, attributes, ...children) {
  const it = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") it.addEventListener(key.slice(2), value);
    else it.setAttribute(key, value === true ? "" : value);
  }
  it.append(...shownOf(children));
  return it;
}

function shownOf(children) {
  return children.flat(4).filter((it) => it !== undefined && it !== null && it !== false && it !== "");
}

// The server's clock, as its answers tell it: what is "3 min ago" shall not depend on this machine's.
const clock = { skew: 0 };

function now() {
  return Date.now() + clock.skew;
}

function heedClock(date) {
  const told = Date.parse(date || "");
  if (Number.isNaN(told)) return;
  const skew = told - Date.now();
  clock.skew = Math.abs(skew) > 5000 ? skew : 0;
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

// 75 becomes "1 min".
function span(seconds) {
  const it = Math.max(0, Math.round(seconds));
  if (it < MINUTE) return `${it} s`;
  if (it < HOUR) return `${Math.floor(it / MINUTE)} min`;
  if (it < 2 * DAY) return `${Math.floor(it / HOUR)} h`;
  if (it < 100 * DAY) return `${Math.round(it / DAY)} days`;
  if (it < 730 * DAY) return `${Math.round(it / (30.44 * DAY))} months`;
  return `${Math.round(it / (365.25 * DAY))} years`;
}

function distance(at) {
  const seconds = (now() - Date.parse(at)) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

// 2026-01-31 12:00:00 UTC
function exact(at) {
  const it = new Date(at);
  return Number.isNaN(it.getTime()) ? String(at) : `${it.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

// How long something has lasted: "23 h".
function lasting(at) {
  return make("time", { datetime: at, title: exact(at), "data-lasts": true }, lasted(at));
}

function lasted(at) {
  return span((now() - Date.parse(at)) / 1000);
}

// How long ago; the exact time is in its title.
function when(at, none = "never") {
  if (!at) return make("span", { class: "faint" }, none);
  return make("time", { datetime: at, title: exact(at) }, distance(at));
}

function tickTimes() {
  for (const it of document.querySelectorAll("time[datetime]")) {
    const told = it.dataset.lasts === undefined ? distance(it.dateTime) : lasted(it.dateTime);
    if (it.textContent !== told) it.textContent = told;
  }
}

function count(number) {
  return Number(number).toLocaleString("en-US");
}

function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many || `${one}s`}`;
}

function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [it, unit] = [Number(number) || 0, 0];
  while (it >= 1024 && unit < units.length - 1) [it, unit] = [it / 1024, unit + 1];
  return `${it >= 100 || unit === 0 ? Math.round(it) : it.toFixed(1)} ${units[unit]}`;
}

function milliseconds(number) {
  if (number === null || number === undefined) return "";
  if (number < 1000) return `${number} ms`;
  return number < 60000 ? `${(number / 1000).toFixed(1)} s` : span(number / 1000);
}

const SPOKEN = { moved_in_onedev: "moved in OneDev", cut_off: "cut off", lfs: "LFS" };

// A word of the API for people.
function spoken(word) {
  return SPOKEN[word] || String(word).replaceAll("_", " ");
}

// The first letters of an object id; all of it is in the title.
function short(oid) {
  if (!oid) return make("span", { class: "faint" }, "none");
  return make("code", { title: oid }, String(oid).slice(0, 10));
}

// A link to another site; what is no web address is only text.
function outward(address, text, title) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return make("span", {}, text);
  }
  if (!["https:", "http:"].includes(url.protocol)) return make("span", {}, text);
  return make("a", { href: url.href, target: "_blank", rel: "noopener noreferrer", class: "outward", title }, text);
}

// A repository, or whoever has some.
function atGitHub(name, text = "GitHub") {
  const path = String(name).split("/").map(encodeURIComponent).join("/");
  return outward(`${session.github_url}/${path}`, text, `${name} at GitHub`);
}

function atOneDev(project, text = "OneDev") {
  return project && project.url ? outward(project.url, text, `${project.path || "the project"} in OneDev`) : "";
}

// `#/mirrors?status=error`, without what is empty.
function place(path, query) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) if (value) all.set(name, value);
  const text = all.toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}

// Random words in hexadecimal; crypto.randomUUID is not there over plain http.
function randomKey() {
  const all = crypto.getRandomValues(new Uint8Array(16));
  return [...all].map((it) => it.toString(16).padStart(2, "0")).join("");
}
