// Which view is shown, by the address behind the `#`; and when it is read anew.

// The view in sight is read anew so often. Milliseconds.
const EVERY = 10000;

const VIEWS = [
  { name: "overview", title: "Overview", scopes: ["mirrors:read"], mount: overview },
  { name: MIRROR, title: "Mirrors", scopes: ["mirrors:read"], mount: mirrors, one: mirrorView },
  { name: "add", title: "Add", scopes: ["mirrors:write", "batches"], mount: add },
  { name: "jobs", title: "Jobs", scopes: ["mirrors:read"], mount: jobs, one: jobView },
  { name: "deliveries", title: "Deliveries", scopes: ["deliveries"], mount: deliveries },
  { name: "audit", title: "Audit", scopes: ["audit:read"], mount: audit },
  { name: "keys", title: "Keys", scopes: ["keys"], mount: keys },
];

// The view in sight: its key, what it can do, where it is, the reading that runs.
let current = null;
let timer;

function openViews() {
  return VIEWS.filter((it) => it.scopes.some(may));
}

function placeNow() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { path: parts, query: Object.fromEntries(new URLSearchParams(query || "")) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function go(target) {
  if (location.hash === target) follow();
  else location.hash = target;
}

function showViews() {
  dressHeader();
  const tabs = openViews().map((it) => make("a", { href: place(it.name), "data-view": it.name }, it.title));
  $("tabs").replaceChildren(...tabs);
  if (!openViews().length)
    return showNothing("None of your scopes opens a view here. What they do open is told at /docs.");
  return follow();
}

function showNothing(text) {
  leaveView();
  $("content").replaceChildren(card("", empty(text)));
}

// Goes to where the address says.
function follow() {
  if (!session) return;
  const at = placeNow();
  const first = openViews()[0];
  if (!at.path.length && first) {
    history.replaceState(null, "", place(first.name));
    at.path = [first.name];
  }
  const view = VIEWS.find((it) => it.name === at.path[0]);
  for (const it of $("tabs").children) {
    const isIt = it.dataset.view === at.path[0];
    if (isIt && !it.hasAttribute("aria-current")) it.scrollIntoView({ block: "nearest", inline: "center" });
    if (isIt) it.setAttribute("aria-current", "page");
    else it.removeAttribute("aria-current");
  }
  if (!view) return showNothing("There is no view of this address.");
  if (!openViews().includes(view))
    return showNothing(`This view needs the scope ${view.scopes.join(" or ")}, which you lack.`);
  const key = view.one && at.path[1] ? `${view.name}/${at.path[1]}` : view.name;
  if (!current || current.key !== key) mount(view, key, at);
  current.at = at;
  readView(false);
}

function mount(view, key, at) {
  const isFirst = current === null;
  leaveView();
  const id = view.one && at.path[1];
  const [told, box] = [
    make("div", { class: "told", "aria-live": "polite" }),
    make("div", { class: `view view-${view.name}` }),
  ];
  const inner = id ? view.one(box, id) : view.mount(box);
  const fresh = make("span", { class: "fresh" });
  const again = button("↻", "quiet", () => readView(false), {
    "aria-label": "Read this view again",
    title: "Read this view again",
  });
  const heading = id
    ? make("a", { class: "back", href: place(view.name) }, `‹ ${view.title}`)
    : make("h1", {}, view.title);
  const bar = make("div", { class: "view-head" }, heading, make("div", { class: "freshness" }, fresh, again));
  box.append(make("p", { class: "first-read" }, "It is being read…"));
  $("content").replaceChildren(bar, told, box);
  current = { key, view, inner, told, box, fresh, at, running: null };
  if (isFirst) return;
  window.scrollTo(0, 0);
  $("content").focus({ preventScroll: true });
}

function leaveView() {
  clearTimeout(timer);
  if (!current) return;
  if (current.running) current.running.abort();
  if (current.inner.leave) current.inner.leave();
  current = null;
}

function title(view) {
  const own = view.inner.title ? view.inner.title() : view.view.title;
  document.title = `${own} · starkeep`;
}

// Reads the view; one reading at a time, and an older one gives way.
async function readView(timed) {
  const view = current;
  if (!view) return;
  clearTimeout(timer);
  if (view.running) view.running.abort();
  const running = new AbortController();
  view.running = running;
  let pause = EVERY;
  view.box.setAttribute("aria-busy", "true");
  title(view);
  try {
    pause = (await view.inner.show({ ...view.at, signal: running.signal, timed })) || EVERY;
    sayTrouble(view);
    view.fresh.replaceChildren("read ", when(new Date(now()).toISOString()));
    title(view);
  } catch (error) {
    if (wasLeft(error) || running.signal.aborted) return;
    if (error.after) pause = Math.max(EVERY, error.after * 1000);
    if (view === current && session) sayTrouble(view, error);
  } finally {
    if (view.running === running) {
      view.running = null;
      view.box.removeAttribute("aria-busy");
      for (const it of view.box.querySelectorAll(":scope > .first-read")) it.remove();
    }
  }
  if (view === current && !view.running) later(pause);
}

// What goes on being wrong is said once.
function sayTrouble(view, error) {
  const said = error ? error.message : "";
  if (view.said === said) return;
  view.said = said;
  view.told.replaceChildren(...shownOf([error && trouble(error)]));
}

function later(pause) {
  clearTimeout(timer);
  if (document.hidden) return;
  timer = setTimeout(() => (isEdited() ? later(1000) : readView(true)), pause);
}

// After something was done. What is costly is not read again for that.
function readAgain() {
  readView(true);
}

// Nothing is drawn under the hands of somebody who fills in a form or is asked something.
function isEdited() {
  const form = document.activeElement && document.activeElement.closest("form");
  return Boolean(document.querySelector("dialog[open]") || (form && form.dataset.touched));
}

function begin() {
  $("sign-out").addEventListener("click", signOut);
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("content").focus();
  });
  window.addEventListener("hashchange", () => (location.hash.startsWith("#sign-in=") ? enter() : follow()));
  document.addEventListener("visibilitychange", () =>
    document.hidden ? clearTimeout(timer) : current && !current.running && later(0),
  );
  document.addEventListener("keydown", (event) => {
    const isFree =
      event.key === "/" &&
      !event.ctrlKey &&
      !event.metaKey &&
      !event.altKey &&
      !event.target.closest("input, textarea, select, dialog");
    const field = isFree && document.querySelector("main input[type=search]");
    if (!field) return;
    event.preventDefault();
    field.focus();
  });
  setInterval(tickTimes, 5000);
  enter();
}

begin();
