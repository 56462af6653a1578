// One mirror: what is known of it, in parts that are places of their own.

const MIRROR_PARTS = [
  ["", "Facts"],
  ["history", "History"],
  ["kept", "Kept refs"],
  ["refs", "Refs of both sides"],
  ["files", "LFS"],
  ["catalog", "Catalog"],
];

function mirrorView(box, id) {
  const [head, body] = [make("div", {}), make("div", {})];
  const live = liveSteps(`/events?mirror=${encodeURIComponent(id)}`, { onEnd: () => readAgain() });
  let shown;
  box.append(head, live.element, body);
  return {
    title: () => names.get(id) || "Mirror",
    async show({ path, query, signal, timed }) {
      const part = path[2] || "";
      const it = await read(`/mirrors/${encodeURIComponent(id)}`, signal);
      nameIs(id, it.repository);
      redraw(head, [it, part], () => mirrorHead(it, part));
      const draw = PART_VIEWS[part] || PART_VIEWS[""];
      const isNew = shown !== part;
      if (isNew) {
        forget(body);
        body.append(empty("It is being read…"));
      }
      shown = part;
      await draw(body, it, { query, signal, timed: timed && !isNew });
    },
    leave: live.leave,
  };
}

const PART_VIEWS = {
  "": factsPart,
  history: historyPart,
  kept: keptPart,
  refs: refsPart,
  files: filesPart,
  catalog: catalogPart,
};

function mirrorHead(it, part) {
  const tabs = MIRROR_PARTS.map(([name, title]) =>
    make(
      "a",
      {
        href: place(`${MIRROR}/${it.id}${name ? `/${name}` : ""}`),
        "aria-current": name === part ? "page" : undefined,
        "data-key": `part-${name}`,
      },
      title,
    ),
  );
  return [
    make(
      "div",
      { class: "mirror-head" },
      make(
        "div",
        { class: "mirror-name" },
        make("h1", {}, it.repository),
        badge(it.status, STATUS_WORDS[it.status]),
        make("span", { class: "links" }, atGitHub(it.repository), atOneDev(it.onedev)),
      ),
      mirrorActions(it),
    ),
    it.error ? mirrorError(it) : "",
    make("nav", { class: "parts", "aria-label": "Parts of this mirror" }, tabs),
  ];
}

function mirrorError(it) {
  const { code, message, since } = it.error;
  const attempts = it.attempts ? ` · ${plural(it.attempts, "attempt")}` : "";
  const isBrake = code === "mass_delete" && may("mirrors:write");
  return make(
    "div",
    { class: "trouble" },
    make("strong", {}, make("code", { class: "code" }, code)),
    make("p", {}, sentence(message)),
    make(
      "p",
      { class: "faint" },
      "For ",
      lasting(since),
      attempts,
      it.next_sync_at ? [" · looked at again ", when(it.next_sync_at)] : "",
    ),
    isBrake
      ? make(
          "div",
          { class: "buttons" },
          button("Sync and let it delete…", "danger small", () => allowMassDelete(it), { "data-key": "allow-delete" }),
        )
      : "",
  );
}

// A wiki that is not known is not asked for again and again.
async function wikiOf(body, path, signal, timed) {
  if (timed && body.dataset.wiki === "none") return null;
  try {
    const wiki = await read(`${path}/wiki`, signal);
    delete body.dataset.wiki;
    return wiki;
  } catch (error) {
    if (error.status !== 404) throw error;
    body.dataset.wiki = "none";
    return null;
  }
}

async function factsPart(body, it, { signal, timed }) {
  const path = `/mirrors/${it.id}`;
  const [wiki, lists, syncs] = await Promise.all([
    wikiOf(body, path, signal, timed),
    read(`${path}/lists`, signal),
    read(`${path}/syncs?limit=5`, signal),
  ]);
  redraw(body, [it, wiki, lists, syncs], () => [
    make(
      "div",
      { class: "columns even" },
      make("div", { class: "stack" }, proofCard(it)),
      make("div", { class: "stack" }, upstreamCard(it, lists.items), wiki ? wikiCard(wiki) : ""),
    ),
    notLevelCard(it.not_level),
    card(
      "Last syncs",
      syncTable(syncs.items),
      make(
        "p",
        { class: "after" },
        make("a", { href: place(`${MIRROR}/${it.id}/history`), "data-key": "all-syncs" }, "All of them"),
        " · ",
        make("a", { href: place("jobs", { mirror: it.id }), "data-key": "its-jobs" }, "Its jobs"),
      ),
    ),
  ]);
}

function proofCard(it) {
  const proof = it.proof;
  const words = proof
    ? ["Both sides were read again and compared ", when(proof.verified_at), "."]
    : "Both sides were not compared yet.";
  return card(
    "The copy",
    make("p", { class: proof ? "" : "faint" }, words),
    facts([
      ["Proof", proof && make("code", { class: "digest", title: proof.digest }, proof.digest)],
      ["Refs", it.ref_count !== null && count(it.ref_count)],
      ["Head", it.head && [short(it.head), it.default_branch ? [" on ", make("code", {}, it.default_branch)] : ""]],
      [
        "Project",
        it.onedev.path && [
          atOneDev(it.onedev, it.onedev.path) || it.onedev.path,
          make("span", { class: "faint" }, ` #${it.onedev.project_id}`),
        ],
      ],
      ["Last synced", when(it.last_synced_at)],
      ["Last changed", when(it.last_changed_at)],
      ["Looked at next", it.next_sync_at ? when(it.next_sync_at) : make("span", { class: "faint" }, "not planned")],
      ["Mirror since", when(it.created_at)],
      ["Id", make("code", { class: "id" }, it.id)],
    ]),
  );
}

function upstreamCard(it, lists) {
  const { private: secret, archived, fork, size_kib: size, pushed_at: pushed } = it.upstream;
  const is = [secret && "private", archived && "archived", fork && "a fork"].filter(Boolean);
  const shown = lists.map((list) =>
    make("span", { class: "chip", title: `folder ${list.folder}${list.private ? ", private" : ""}` }, list.name),
  );
  return card(
    "At GitHub",
    facts([
      ["Repository", atGitHub(it.repository, it.repository)],
      ["Numeric id", make("code", {}, String(it.github_id))],
      ["Source", spoken(it.source)],
      ["Kind", secret === null ? make("span", { class: "faint" }, "not asked yet") : is.join(", ") || "public"],
      ["Size", size !== null && bytes(size * 1024)],
      ["Pushed", pushed && when(pushed)],
      ["Star lists", shown.length > 0 && make("span", { class: "chips" }, shown)],
    ]),
  );
}

function wikiCard(wiki) {
  const level = wiki.not_level.length ? plural(wiki.not_level.length, "thing") : "";
  return card(
    "Wiki",
    make("p", {}, badge(wiki.state), " ", atOneDev(wiki.onedev)),
    wiki.error ? make("div", { class: "trouble" }, errorWords(wiki.error)) : "",
    facts([
      ["Refs", wiki.ref_count !== null && count(wiki.ref_count)],
      ["Verified", wiki.proof && when(wiki.proof.verified_at)],
      ["Not level", level],
      ["Looked at", when(wiki.looked_at)],
      ["Looked at next", wiki.next_look_at && when(wiki.next_look_at)],
    ]),
  );
}

const MOST_NOT_LEVEL = 8;

function notLevelCard(all) {
  if (!all.length) return "";
  const row = (it) =>
    make(
      "li",
      {},
      make("code", {}, it.ref),
      make("span", { class: "message" }, it.reason),
      it.alias ? make("span", { class: "faint" }, "held by ", make("code", {}, it.alias)) : "",
    );
  const rest = all.slice(MOST_NOT_LEVEL);
  const more = rest.length
    ? make(
        "details",
        { "data-key": "not-level" },
        make("summary", { "data-key": "not-level-more" }, `and ${count(rest.length)} more`),
        make("ul", { class: "plain spread" }, rest.map(row)),
      )
    : "";
  return card(
    [`Not level (${count(all.length)})`, "warned"],
    make("ul", { class: "plain spread" }, all.slice(0, MOST_NOT_LEVEL).map(row)),
    more,
  );
}

function syncTable(items) {
  const refs = ({ created, moved, deleted, kept, aliased }) => {
    const all = [
      ["+", created],
      ["~", moved],
      ["−", deleted],
      ["kept ", kept],
      ["alias ", aliased],
    ];
    return all
      .filter(([, it]) => it)
      .map(([sign, it]) => `${sign}${count(it)}`)
      .join(" · ");
  };
  const changes = (it) => {
    if (!it.changes.length) return it.error ? errorWords(it.error) : "";
    const lines = it.changes.map((line) => String(line)).join("\n");
    const shown = make(
      "details",
      { "data-key": `changes-${it.id}` },
      make("summary", { "data-key": `changes-of-${it.id}` }, plural(it.changes.length, "change")),
      make("pre", {}, lines),
    );
    return [it.error ? errorWords(it.error) : "", shown];
  };
  return table(
    "Syncs",
    [
      { name: "Begun", kind: "time", cell: (it) => when(it.started_at) },
      { name: "Outcome", cell: (it) => badge(it.outcome) },
      {
        name: "How",
        cell: (it) => [it.engine, it.part === "code" ? "" : make("span", { class: "faint" }, ` · ${it.part}`)],
      },
      { name: "Took", kind: "number", cell: (it) => milliseconds(it.duration_ms) },
      {
        name: "In / out",
        kind: "number",
        cell: (it) => (it.bytes.in || it.bytes.out ? `${bytes(it.bytes.in)} / ${bytes(it.bytes.out)}` : ""),
      },
      { name: "Refs", cell: (it) => refs(it.refs) },
      { name: "Job", cell: (it) => (it.job === null ? "" : jobLink(it.job)) },
      { name: "What changed", kind: "wide", cell: changes },
    ],
    items,
    "It was not synced yet.",
  );
}
