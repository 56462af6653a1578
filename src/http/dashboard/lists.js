// Tables, their filters and pages, and how they are drawn anew without getting in anybody's way.

// Draws what was read, if it is not what is shown already. Whoever has the focus keeps it, what was unfolded stays
// so, and nothing is drawn under a selection.
function redraw(box, data, draw) {
  const told = JSON.stringify(data);
  if (box.drawn === told || isSelectedIn(box)) return;
  const held = box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const unfolded = [...box.querySelectorAll("details[open][data-key]")].map((it) => it.dataset.key);
  box.replaceChildren(...shownOf([draw(data)]));
  box.drawn = told;
  for (const it of box.querySelectorAll("details[data-key]")) if (unfolded.includes(it.dataset.key)) it.open = true;
  const again = held && box.querySelector(`[data-key="${CSS.escape(held)}"]`);
  if (again) again.focus({ preventScroll: true });
}

function isSelectedIn(box) {
  const it = document.getSelection();
  return Boolean(it && !it.isCollapsed && it.toString() && box.contains(it.anchorNode));
}

function forget(box) {
  box.drawn = undefined;
  box.replaceChildren();
}

// A table; on a narrow screen each row is a card. A column is `{ name, cell, kind }`, a row whatever `cell` takes.
function table(caption, columns, rows, none) {
  if (!rows.length) return empty(none || "There is nothing here.");
  const head = make("tr", { role: "row" }, columns.map(headOf));
  const body = rows.map((row) =>
    make(
      "tr",
      { role: "row" },
      columns.map((it) => cellOf(it, row)),
    ),
  );
  const inner = make(
    "table",
    { role: "table" },
    make("caption", { class: "aside" }, caption),
    make("thead", { role: "rowgroup" }, head),
    make("tbody", { role: "rowgroup" }, body),
  );
  return make("div", { class: "table" }, inner);
}

function headOf(column) {
  const name = column.name || make("span", { class: "aside" }, "What can be done");
  return make("th", { role: "columnheader", scope: "col", class: column.kind }, name);
}

function cellOf(column, row) {
  const shown = shownOf([column.cell(row)]);
  const kind = `${column.kind || ""}${shown.length ? "" : " nothing"}`;
  return make("td", { role: "cell", class: kind, "data-label": column.name }, make("div", {}, shown));
}

// Pages by cursor are places of their own: Back works, and a reload stays on the page.
function pager(path, query, next, words = ["Newest", "Older"]) {
  const { cursor, ...rest } = query;
  const first = cursor
    ? make("a", { class: "button", href: place(path, rest), "data-key": "page-first" }, `« ${words[0]}`)
    : "";
  const more = next
    ? make(
        "a",
        { class: "button", href: place(path, { ...rest, cursor: next }), "data-key": "page-more" },
        `${words[1]} »`,
      )
    : "";
  return first || more ? make("nav", { class: "pager", "aria-label": "Pages" }, first, more) : "";
}

// Fields that narrow a list. Each change is a place of its own; typing replaces it.
function filters(path, fields, more) {
  const inputs = fields.map(({ name, label, options, about }) => {
    const more = { "aria-label": label, title: about };
    const input = options
      ? choice([["", label], ...options], "", more)
      : make("input", {
          type: "search",
          placeholder: label,
          autocomplete: "off",
          spellcheck: "false",
          maxlength: "200",
          ...more,
        });
    let timer;
    const go = (replaces) => {
      clearTimeout(timer);
      narrow(path, inputs, replaces);
    };
    if (options) input.addEventListener("change", () => go(false));
    else {
      input.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(go, 350, true);
      });
      input.addEventListener("keydown", (event) => event.key === "Enter" && go(true));
    }
    return { name, input };
  });
  const clear = make("a", { href: place(path), class: "clear" }, "Clear");
  const element = make(
    "div",
    { class: "filters", role: "search" },
    inputs.map((it) => it.input),
    clear,
    more,
  );
  const set = (query) => {
    for (const { name, input } of inputs) {
      if (document.activeElement !== input || input.tagName === "SELECT") input.value = query[name] || "";
      input.classList.toggle("chosen", Boolean(query[name]));
    }
    clear.hidden = !inputs.some((it) => query[it.name]);
  };
  return { element, set };
}

function narrow(path, inputs, replaces) {
  const query = Object.fromEntries(inputs.map((it) => [it.name, it.input.value.trim()]));
  const target = place(path, query);
  if (target === location.hash) return;
  if (replaces) history.replaceState(null, "", target);
  else history.pushState(null, "", target);
  follow();
}

function words(all) {
  return all.map((it) => [it, spoken(it)]);
}

// A list with filters and pages: reads a page, draws it, and says when there is nothing.
function listView(box, { path, api, fields, columns, caption, none, above, pages, extra }) {
  const bar = filters(path, fields, extra);
  const body = make("div", {});
  box.append(...shownOf([above, fields.length ? bar.element : "", body]));
  return {
    async show({ query, signal }) {
      bar.set(query);
      const found = await read(asked(api, { ...query, limit: 50 }), signal);
      const isNarrowed = fields.some((it) => query[it.name]);
      const nothing = isNarrowed ? "Nothing fits these filters." : none;
      redraw(body, [found, query], () => [
        table(caption, columns, found.items, nothing),
        pager(path, query, found.next_cursor, pages),
      ]);
    },
  };
}

const MIRROR = "mirrors";

// A mirror of which only the id is known: its name comes when it was asked for.
function mirrorLink(id) {
  if (!id) return "";
  const it = make(
    "a",
    { href: place(`${MIRROR}/${encodeURIComponent(id)}`), "data-key": `mirror-${id}` },
    names.get(id) || `mirror ${id.slice(0, 8)}…`,
  );
  if (!names.has(id)) wantName(id, (name) => (it.textContent = name));
  return it;
}

function jobLink(id) {
  return make("a", { href: place(`jobs/${id}`), "data-key": `job-${id}` }, `#${id}`);
}

function errorWords(error) {
  if (!error) return "";
  const since = error.since ? make("span", { class: "faint" }, " for ", lasting(error.since)) : "";
  return make(
    "span",
    { class: "why" },
    make("code", { class: "code" }, error.code),
    since,
    make("span", { class: "message", title: error.message }, error.message),
  );
}
