// The first view: how many mirrors stand where, the queue, GitHub's allowances, and what runs just now.

const STATUSES = ["healthy", "partial", "syncing", "pending", "error", "paused", "archived", "gone"];
const STATUS_WORDS = {
  healthy: "verified level with upstream",
  partial: "all that OneDev accepts is level",
  syncing: "between the first write and the proof",
  pending: "known, never synced",
  error: "the last sync failed",
  paused: "stopped by an admin or a bound",
  archived: "un-starred; the copy stays",
  gone: "upstream vanished; the copy stays",
};
const JOB_STATES = ["queued", "running", "dead", "done", "cancelled"];

function overview(box) {
  const parts = { tiles: make("div", {}), waiting: make("div", {}), side: make("div", { class: "stack" }) };
  const live = liveSteps("/events", { none: "Nothing is being synced at the moment." });
  box.append(
    parts.tiles,
    make(
      "div",
      { class: "columns" },
      make("div", { class: "stack" }, parts.waiting, card("Running now", live.element)),
      parts.side,
    ),
  );
  return {
    async show({ signal }) {
      const told = await readOverview(signal);
      const state = told.overview;
      redraw(parts.tiles, state.mirrors, tiles);
      redraw(parts.waiting, told, waitingCard);
      redraw(parts.side, state, sideCards);
    },
    leave: live.leave,
  };
}

// What is of no use alone is asked for together; what was refused is left out, for the rest is worth seeing.
async function readOverview(signal) {
  const optional = (asking) =>
    asking.catch((error) => {
      if (wasLeft(error) || error.status === 401) throw error;
      return undefined;
    });
  const [state, ready, vanished, stars] = await Promise.all([
    read("/overview", signal),
    optional(readiness(signal)),
    optional(read("/vanished", signal)),
    optional(read("/stars", signal)),
  ]);
  const failing = state.mirrors.error ? await optional(read("/mirrors?status=error&limit=5", signal)) : undefined;
  return { overview: state, ready, vanished, stars, failing };
}

function tiles(mirrors) {
  const total = STATUSES.reduce((sum, it) => sum + (mirrors[it] || 0), 0);
  const all = make(
    "a",
    { class: "tile all", href: place(MIRROR), "data-key": "tile-all" },
    make("b", {}, count(total)),
    make("span", {}, "mirrors"),
  );
  const each = STATUSES.map((it) =>
    make(
      "a",
      {
        class: `tile is-${it}${mirrors[it] ? "" : " none"}`,
        href: place(MIRROR, { status: it }),
        title: STATUS_WORDS[it],
        "data-key": `tile-${it}`,
      },
      make("b", {}, count(mirrors[it] || 0)),
      make("span", {}, spoken(it)),
    ),
  );
  return make("nav", { class: "tiles", "aria-label": "Mirrors by status" }, all, each);
}

function sideCards(state) {
  return [
    card("Proof", proofWords(state)),
    card("Queue", queue(state.jobs)),
    card("GitHub allowances", allowances(state.allowances)),
    make("p", { class: "faint version" }, `starkeep ${state.version}`),
  ];
}

function proofWords(state) {
  const oldest = state.oldest_verification_at;
  if (!oldest) return empty("Nothing was verified yet.");
  return make(
    "p",
    {},
    "The oldest comparison of a live copy with its upstream was ",
    make("strong", {}, when(oldest)),
    ".",
  );
}

function queue(jobs) {
  if (!jobs.length) return empty("The queue is empty.");
  const kinds = [...new Set(jobs.map((it) => it.kind))];
  const states = JOB_STATES.filter((state) => jobs.some((it) => it.state === state));
  const cell = (kind, state) => {
    const found = jobs.find((it) => it.kind === kind && it.state === state);
    if (!found) return make("td", { class: "number faint" }, "·");
    const link = make(
      "a",
      {
        href: place("jobs", { state, kind }),
        class: state === "dead" ? "bad" : "",
        "data-key": `queue-${kind}-${state}`,
      },
      count(found.count),
    );
    return make("td", { class: "number" }, link);
  };
  const head = make(
    "tr",
    {},
    make("th", {}, "Kind"),
    states.map((it) => make("th", { class: "number", scope: "col" }, spoken(it))),
  );
  const rows = kinds.map((kind) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, spoken(kind)),
      states.map((state) => cell(kind, state)),
    ),
  );
  return make(
    "table",
    { class: "small-table" },
    make("caption", { class: "aside" }, "Jobs by kind and state"),
    make("thead", {}, head),
    make("tbody", {}, rows),
  );
}

function isClosed(allowance) {
  return Boolean(allowance.closed_until) && Date.parse(allowance.closed_until) > now();
}

// A credential of which nothing was told, and which is open, says nothing.
function allowances(all) {
  const told = all.filter((it) => it.limit !== null || isClosed(it));
  if (!told.length) return empty("GitHub has told nothing yet.");
  return make("ul", { class: "allowances" }, told.map(allowance));
}

function allowance(it) {
  const known = it.limit !== null && it.remaining !== null;
  const share = known && it.limit > 0 ? it.remaining / it.limit : 1;
  const fill = make("i", { class: isClosed(it) || share < 0.1 ? "low" : share < 0.3 ? "medium" : "" });
  fill.style.width = `${Math.round(100 * share)}%`;
  const left = known ? `${count(it.remaining)} of ${count(it.limit)} left` : "not told yet";
  const note = isClosed(it)
    ? ["closed; opens ", when(it.closed_until)]
    : it.resets_at && known
      ? ["full again ", when(it.resets_at)]
      : "";
  return make(
    "li",
    {},
    make(
      "div",
      { class: "line" },
      make("span", {}, make("b", {}, it.credential), " ", make("span", { class: "faint" }, spoken(it.resource))),
      make("span", {}, left),
    ),
    make("div", { class: "gauge", "aria-hidden": "true" }, known ? fill : ""),
    note ? make("div", { class: isClosed(it) ? "bad" : "faint" }, note) : "",
  );
}
