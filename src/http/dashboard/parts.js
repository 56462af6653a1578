// What the views are made of: badges, buttons, notices, dialogs.

function badge(word, title) {
  return make("span", { class: `badge is-${word}`, title }, spoken(word));
}

function button(text, kind, onclick, more) {
  return make("button", { type: "button", class: kind, onclick, ...more }, text);
}

function card(title, ...children) {
  const [head, kind] = Array.isArray(title) ? title : [title, ""];
  return make("section", { class: `card ${kind}` }, head ? make("h2", {}, head) : "", children);
}

function empty(text) {
  return make("p", { class: "empty" }, text);
}

// Pairs of a name and what it is; those that are nothing are left out.
function facts(pairs) {
  const shown = pairs.filter(([, it]) => it !== undefined && it !== null && it !== false && it !== "");
  return make(
    "dl",
    { class: "facts" },
    shown.map(([name, it]) => make("div", {}, make("dt", {}, name), make("dd", {}, it))),
  );
}

function copyButton(text, what) {
  const it = button("Copy", "small", async () => {
    it.textContent = (await copied(text)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (it.textContent = "Copy"), 2500);
  });
  it.setAttribute("aria-label", `Copy ${what}`);
  return it;
}

// The clipboard is not there over plain http: then the text is selected and copied the old way.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const holder = make("textarea", { class: "aside", readonly: true, "aria-hidden": "true" });
    holder.value = text;
    (document.querySelector("dialog[open]") || document.body).append(holder);
    holder.select();
    const done = document.execCommand("copy");
    holder.remove();
    return done;
  }
}

// A correlation id, which stands in the log too.
function correlation(id) {
  return id
    ? make("span", { class: "correlation" }, make("code", { title: id }, id), copyButton(id, "the correlation id"))
    : "";
}

const MOST_NOTICES = 3;

// A line at the edge of the page. What went well goes by itself, what failed stays.
function notice(kind, title, text, id) {
  const close = button("×", "close", () => it.remove(), { "aria-label": "Dismiss" });
  const words = make(
    "div",
    {},
    make("strong", {}, title),
    text ? make("p", {}, text) : "",
    id ? make("p", { class: "faint" }, "Correlation id ", correlation(id)) : "",
  );
  const it = make("div", { class: `notice ${kind}`, role: kind === "failed" ? "alert" : undefined }, words, close);
  const all = $("notices");
  while (all.childElementCount >= MOST_NOTICES) all.firstElementChild.remove();
  all.append(it);
  if (kind !== "failed") setTimeout(() => it.remove(), 7000);
}

function complain(error) {
  if (wasLeft(error) || (error.status === 401 && !session)) return;
  if (error instanceof Refusal) notice("failed", error.title, error.told, error.correlation);
  else notice("failed", "This page failed", `${error.name}: ${error.message}`);
}

// The same, to stand within a form or a view.
function trouble(error) {
  const told = error instanceof Refusal ? error.told : `This page failed: ${error.message}`;
  const title = error instanceof Refusal ? error.title : "";
  return make(
    "div",
    { class: "trouble", role: "alert" },
    title ? make("strong", {}, title) : "",
    make("p", {}, told),
    error.correlation ? make("p", { class: "faint" }, "Correlation id ", correlation(error.correlation)) : "",
  );
}

// A button that does something once: it cannot be pressed again before that is over.
function doing(text, kind, run, more) {
  const it = button(text, kind, () => hold(it, run).catch(complain), more);
  return it;
}

async function hold(it, run) {
  if (it.getAttribute("aria-disabled") === "true") return undefined;
  it.setAttribute("aria-disabled", "true");
  it.classList.add("working");
  try {
    return await run();
  } finally {
    it.removeAttribute("aria-disabled");
    it.classList.remove("working");
  }
}

let fieldCount = 0;

// A label, its input and what it means.
function field(label, input, about) {
  fieldCount += 1;
  input.id = input.id || `field-${fieldCount}`;
  const told = about ? make("small", { id: `${input.id}-about` }, about) : "";
  if (about) input.setAttribute("aria-describedby", `${input.id}-about`);
  return make("div", { class: "field" }, make("label", { for: input.id }, label), input, told);
}

function textInput(more) {
  return make("input", { type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...more });
}

function choice(options, chosen, more) {
  const it = make("select", { ...more });
  for (const [value, text] of options) it.append(make("option", { value, selected: value === chosen }, text));
  return it;
}

function check(label, more) {
  const input = make("input", { type: "checkbox", ...more });
  return { input, row: make("label", { class: "check" }, input, make("span", {}, label)) };
}

// A form that a person fills in: what is refused is told in it, and while it is edited nothing is read anew.
function form(rows, submit, run) {
  const told = make("div", { "aria-live": "polite" });
  const go = make("button", { type: "submit", class: "primary" }, submit);
  const it = make("form", { class: "form", novalidate: true }, rows, told, make("div", { class: "buttons" }, go));
  const work = async () => {
    await run();
    delete it.dataset.touched;
  };
  it.addEventListener("input", () => (it.dataset.touched = "yes"));
  it.addEventListener("submit", (event) => {
    event.preventDefault();
    told.replaceChildren();
    hold(go, work).catch((error) => wasLeft(error) || told.replaceChildren(trouble(error)));
  });
  return it;
}

// What a form refuses itself.
function refuse(detail) {
  throw new Refusal(0, { title: "Not yet", detail });
}

// Asks before something is done. `run` is done while the dialog is there, so that what it is refused with is told in
// it; the promise is `undefined` when the person thought better of it.
function dialog({ title, body, yes, danger, ready, run }) {
  return new Promise((resolve) => {
    const told = make("div", { "aria-live": "polite" });
    const go = make("button", { type: "submit", class: danger ? "danger" : "primary" }, yes);
    const no = button("Cancel", "", () => box.close());
    const inner = make(
      "form",
      { novalidate: true },
      make("h2", { id: "dialog-title" }, title),
      body,
      told,
      make("div", { class: "buttons" }, no, go),
    );
    const box = make("dialog", { "aria-labelledby": "dialog-title" }, inner);
    let result;
    const look = () => (go.disabled = ready ? !ready() : false);
    inner.addEventListener("input", look);
    inner.addEventListener("submit", (event) => {
      event.preventDefault();
      const work = async () => {
        result = (await run()) ?? true;
        box.close();
      };
      if (!go.disabled) hold(go, work).catch((error) => told.replaceChildren(trouble(error)));
    });
    box.addEventListener("close", () => {
      box.remove();
      resolve(result);
    });
    look();
    document.body.append(box);
    box.showModal();
  });
}

// More about something, to be looked at and closed.
function tell(title, body) {
  const close = button("Close", "", () => box.close());
  const inner = make(
    "div",
    { class: "told-more" },
    make("h2", {}, title),
    body,
    make("div", { class: "buttons" }, close),
  );
  const box = make("dialog", { "aria-label": title, onclose: () => box.remove() }, inner);
  document.body.append(box);
  box.showModal();
  close.focus();
}

// A secret that is shown this once. `done` is called when the person has put it away.
function shownOnce(title, key, words, done) {
  const value = make("input", {
    type: "text",
    readonly: true,
    class: "secret",
    "aria-label": title,
    onfocus: () => value.select(),
  });
  value.value = key;
  const put = button("I have put it away", "primary", () => {
    window.removeEventListener("beforeunload", warn);
    done();
  });
  window.addEventListener("beforeunload", warn);
  return make(
    "section",
    { class: "card once", role: "alert" },
    make("h2", {}, title),
    make("p", {}, words),
    make("div", { class: "copy" }, value, copyButton(key, "the key")),
    make("div", { class: "buttons" }, put),
  );
}

function warn(event) {
  if (document.querySelector(".once")) event.preventDefault();
}
