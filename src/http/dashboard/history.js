// The long lists of one mirror: its syncs, kept refs, the refs of both sides, LFS objects, the catalog.

function partPath(it, part) {
  return `${MIRROR}/${it.id}/${part}`;
}

async function historyPart(body, it, { query, signal }) {
  const found = await read(asked(`/mirrors/${it.id}/syncs`, { limit: 50, cursor: query.cursor }), signal);
  redraw(body, [found, query], () => [
    syncTable(found.items),
    pager(partPath(it, "history"), query, found.next_cursor),
  ]);
}

// Code or wiki, as links: each is a place.
function sides(it, part, query) {
  const one = (name, title) =>
    make(
      "a",
      {
        href: place(partPath(it, part), { part: name === "code" ? "" : name }),
        "aria-current": (query.part || "code") === name ? "true" : undefined,
        "data-key": `side-${name}`,
      },
      title,
    );
  return make("nav", { class: "sides", "aria-label": "Code or wiki" }, one("code", "Code"), one("wiki", "Wiki"));
}

const KEPT_WORDS = {
  overwritten: "upstream overwrote it",
  deleted: "upstream deleted it",
  moved_in_onedev: "somebody had moved it in OneDev",
  foreign: "it was there before starkeep needed its name",
};

async function keptPart(body, it, { query, signal }) {
  const found = await read(
    asked(`/mirrors/${it.id}/kept`, { limit: 50, cursor: query.cursor, part: query.part }),
    signal,
  );
  const canBranch = may("mirrors:write") && query.part !== "wiki";
  const columns = [
    { name: "Ref", kind: "head", cell: (kept) => make("code", { title: kept.kept_ref }, kept.ref) },
    { name: "Tip", cell: (kept) => short(kept.oid) },
    { name: "Why", cell: (kept) => make("span", {}, KEPT_WORDS[kept.reason] || spoken(kept.reason)) },
    { name: "Kept", kind: "time", cell: (kept) => when(kept.kept_at) },
  ];
  if (canBranch)
    columns.push({
      name: "",
      kind: "actions",
      cell: (kept) =>
        button("Make a branch of it…", "small", () => makeBranch(it, kept), { "data-key": `branch-${kept.id}` }),
    });
  redraw(body, [found, query], () => [
    sides(it, "kept", query),
    make(
      "p",
      { class: "about" },
      "Tips that upstream overwrote or deleted, or that somebody had moved in OneDev. ",
      "They stay in the project and are fetched by their kept ref.",
    ),
    table("Kept refs", columns, found.items, "Nothing had to be kept."),
    pager(partPath(it, "kept"), query, found.next_cursor),
  ]);
}

async function makeBranch(it, kept) {
  const was = kept.ref.replace(/^refs\/(heads|tags|notes)\//, "");
  const input = textInput({ required: true, maxlength: "200" });
  input.value = `kept/${was}-${kept.kept_at.slice(0, 10)}`;
  const about = "It is yours from then on: no sync touches it.";
  const done = await dialog({
    title: "Make a branch of it",
    body: [
      make("p", {}, make("code", {}, kept.ref), " as it was ", when(kept.kept_at), ", at ", short(kept.oid)),
      field("Name of the new branch in OneDev", input, about),
    ],
    yes: "Make the branch",
    ready: () => input.value.trim() !== "",
    run: () => post(`/mirrors/${it.id}/kept/${kept.id}/branch`, { branch: input.value.trim() }),
  });
  if (done) notice("done", "The branch is there", [make("code", {}, done.branch), " at ", short(done.commit)]);
}

const REF_WORDS = {
  level: "the same on both sides",
  differs: "on both sides, at different objects",
  missing: "upstream only",
  extra: "in OneDev only",
  kept: "a kept ref of starkeep",
  alias: "an alias ref of starkeep",
};

// Each page asks both servers anew, so it is only read when somebody comes for it.
async function refsPart(body, it, { query, signal, timed }) {
  if (timed) return;
  if (!it.onedev.project_id) {
    redraw(body, "none", () => empty("The mirror has no project in OneDev yet, so there is nothing to compare."));
    return;
  }
  forget(body);
  body.append(sides(it, "refs", query), empty("Both sides are being read; that may take a while…"));
  let found;
  try {
    found = await read(asked(`/mirrors/${it.id}/refs`, { limit: 200, cursor: query.cursor, part: query.part }), signal);
  } catch (error) {
    if (wasLeft(error)) throw error;
    body.replaceChildren(
      sides(it, "refs", query),
      trouble(error),
      doing("Read again", "", () => readView(false)),
    );
    return;
  }
  redraw(body, [found, query], () => refsShown(it, query, found));
}

function refsShown(it, query, found) {
  const after = textInput({
    placeholder: "refs/heads/m",
    "aria-label": "Show the refs after this name",
    "data-key": "after",
  });
  const jump = (event) => {
    event.preventDefault();
    if (after.value.trim()) go(place(partPath(it, "refs"), { part: query.part, cursor: after.value.trim() }));
  };
  const rows = make("div", {});
  const only = check("Only what is not level", { onchange: () => draw() });
  const columns = [
    { name: "Ref", kind: "head", cell: (ref) => make("code", {}, ref.ref) },
    { name: "State", cell: (ref) => badge(ref.state, REF_WORDS[ref.state]) },
    { name: "Upstream", cell: (ref) => short(ref.upstream) },
    { name: "OneDev", cell: (ref) => short(ref.onedev) },
  ];
  const draw = () => {
    const shown = only.input.checked
      ? found.items.filter((ref) => ref.state === "differs" || ref.state === "missing")
      : found.items;
    rows.replaceChildren(
      table(
        "Refs of both sides",
        columns,
        shown,
        only.input.checked ? "On this page everything is level." : "There are no refs.",
      ),
    );
  };
  draw();
  const jumpForm = make(
    "form",
    { class: "inline", onsubmit: jump },
    after,
    make("button", { type: "submit", class: "small" }, "Go to"),
  );
  return [
    sides(it, "refs", query),
    make(
      "div",
      { class: "filters" },
      jumpForm,
      only.row,
      make("span", { class: "faint" }, "read ", when(new Date(now()).toISOString())),
      doing("Read again", "small", () => readView(false)),
    ),
    rows,
    pager(partPath(it, "refs"), query, found.next_cursor, ["First page", "More"]),
  ];
}

async function filesPart(body, it, { query, signal }) {
  const found = await read(asked(`/mirrors/${it.id}/lfs`, { limit: 50, cursor: query.cursor }), signal);
  const columns = [
    { name: "Object", kind: "head", cell: (file) => short(file.oid) },
    { name: "Size", kind: "number", cell: (file) => bytes(file.size) },
    { name: "State", cell: (file) => badge(file.state) },
    {
      name: "Needed",
      cell: (file) => (file.reachable ? "yes" : make("span", { class: "faint" }, "by no ref any more")),
    },
    { name: "Brought by", cell: (file) => spoken(file.origin) },
    {
      name: "Why not",
      kind: "wide",
      cell: (file) =>
        file.reason && [
          make("span", { class: "message" }, file.reason),
          file.next_try_at ? make("span", { class: "faint" }, " tried again ", when(file.next_try_at)) : "",
        ],
    },
  ];
  redraw(body, [found, query], () => [
    table("LFS objects", columns, found.items, "It has no LFS objects."),
    pager(partPath(it, "files"), query, found.next_cursor, ["First page", "More"]),
  ]);
}

async function catalogPart(body, it, { signal }) {
  const path = `/mirrors/${it.id}/catalog`;
  const found = await read(path, signal);
  const acts =
    may("mirrors:write") &&
    found.state !== "off" &&
    make(
      "div",
      { class: "buttons" },
      doing("Read it now", "", () => readCatalog(it, path), { "data-key": "catalog" }),
      button("Read everything anew…", "", () => readCatalogAnew(it, path), { "data-key": "catalog-anew" }),
    );
  redraw(body, found, () => catalogShown(found, acts));
}

function catalogShown(found, acts) {
  const items = Object.entries(found.items);
  const kinds = items.map(([kind, number]) => [spoken(kind), count(number)]);
  const feeds = [
    { name: "Feed", kind: "head", cell: (feed) => spoken(feed.feed) },
    { name: "Known until", kind: "time", cell: (feed) => when(feed.known_until, "nothing yet") },
    { name: "Last read", kind: "time", cell: (feed) => when(feed.last_read_at) },
    { name: "Now", cell: (feed) => (feed.reading ? `reads page ${count(feed.page)}` : "") },
    { name: "Problem", kind: "wide", cell: (feed) => feed.problem },
  ];
  const missing = found.files.reasons.map((it) =>
    make("li", {}, make("code", {}, it.name), make("span", { class: "message" }, it.reason)),
  );
  return [
    make(
      "p",
      { class: "about" },
      "What git does not carry: issues, pull requests, releases and their files. ",
      "It lies in the project under a ref of its own.",
    ),
    acts,
    found.error ? make("div", { class: "trouble" }, errorWords(found.error)) : "",
    make(
      "div",
      { class: "columns even" },
      card(
        "Where it stands",
        make("p", {}, badge(found.state)),
        facts([
          ["Ref", found.ref && make("code", {}, found.ref)],
          ["Tip", found.tip && short(found.tip)],
          ["Commits", count(found.commits)],
          ["Waiting", count(found.waiting)],
          ["Last looked at", when(found.last_looked_at)],
          ["Last changed", when(found.last_changed_at)],
          ["Looked at next", found.next_at && when(found.next_at)],
        ]),
      ),
      card(
        "What it holds",
        kinds.length ? facts(kinds) : empty("Nothing yet."),
        facts([["Files", `${count(found.files.stored)} stored, ${count(found.files.missing)} missing`]]),
        missing.length ? make("ul", { class: "plain" }, missing) : "",
      ),
    ),
    found.feeds.length ? card("GitHub's lists", table("Feeds", feeds, found.feeds)) : "",
  ];
}

async function readCatalog(it, path) {
  await post(path);
  notice("done", "The catalog is read next", it.repository);
  readAgain();
}

async function readCatalogAnew(it, path) {
  const done = await dialog({
    title: "Read everything anew?",
    body: make(
      "p",
      {},
      "What the database knows of this catalog is forgotten, and all of it is read again, which takes many of ",
      "GitHub's calls. What stands in OneDev stays.",
    ),
    yes: "Read everything anew",
    run: () => admin("DELETE", path),
  });
  if (done) notice("done", "The catalog is read anew", it.repository);
  if (done) readAgain();
}
