// All mirrors, and what is done with one of them.

const SOURCES = ["star", "batch", "manual", "owned", "declared"];

function mirrors(box) {
  const columns = [
    { name: "Repository", kind: "head", cell: repositoryCell },
    { name: "Status", cell: (it) => badge(it.status, STATUS_WORDS[it.status]) },
    { name: "Source", cell: (it) => spoken(it.source) },
    { name: "Refs", kind: "number", cell: (it) => (it.ref_count === null ? "" : count(it.ref_count)) },
    { name: "Last synced", kind: "time", cell: (it) => when(it.last_synced_at) },
    { name: "Verified", kind: "time", cell: (it) => when(it.proof && it.proof.verified_at) },
    { name: "Error", kind: "wide", cell: (it) => errorWords(it.error) },
  ];
  const add =
    may("mirrors:write") || may("batches") ? make("a", { class: "button primary", href: place("add") }, "Add") : "";
  return listView(box, {
    path: MIRROR,
    api: "/mirrors",
    fields: [
      { name: "q", label: "Find a repository", about: "a part of its name" },
      { name: "status", label: "Any status", options: words(STATUSES) },
      { name: "source", label: "Any source", options: words(SOURCES) },
    ],
    columns,
    caption: "Mirrors",
    none: "There is no mirror yet. Star a repository, or add one.",
    pages: ["First page", "More"],
    extra: add,
  });
}

function repositoryCell(it) {
  nameIs(it.id, it.repository);
  return [
    make("a", { class: "name", href: place(`${MIRROR}/${it.id}`), "data-key": `mirror-${it.id}` }, it.repository),
    make("span", { class: "links" }, atGitHub(it.repository), atOneDev(it.onedev)),
  ];
}

// What may be done with a mirror, as buttons.
function mirrorActions(it) {
  if (!may("mirrors:write")) return "";
  const path = `/mirrors/${it.id}`;
  const isAsleep = it.status === "paused" || it.status === "archived";
  const isPaused = it.status === "paused";
  return make(
    "div",
    { class: "buttons" },
    isAsleep ? "" : doing("Sync now", "primary", () => queued("sync", it, {}), { "data-key": "sync" }),
    isPaused ? doing("Resume", "primary", () => setPaused(it, false), { "data-key": "pause" }) : "",
    it.status === "archived" ? doing("Wake it up", "primary", () => wake(it), { "data-key": "wake" }) : "",
    it.onedev.project_id ? doing("Verify", "", () => queued("verify", it), { "data-key": "verify" }) : "",
    isAsleep ? "" : doing("Pause", "", () => setPaused(it, true), { "data-key": "pause" }),
    button("Forget…", "danger", () => forgetMirror(it, path), { "data-key": "forget" }),
  );
}

async function queued(what, it, body) {
  const job = await post(`/mirrors/${it.id}/${what}`, body);
  notice("done", what === "sync" ? "A sync is queued" : "A comparison is queued", [
    it.repository,
    " ",
    may("mirrors:read") ? ["(job ", jobLink(job.id), ")"] : "",
  ]);
  readAgain();
}

// Asking for what already is changes nothing, so no tag of the state that was seen is needed.
async function setPaused(it, paused) {
  await admin("PATCH", `/mirrors/${it.id}`, { body: { paused } });
  notice("done", paused ? "Paused" : "Resumed", it.repository);
  readAgain();
}

// Adding an archived mirror again is how it is synced again.
async function wake(it) {
  await post("/mirrors", { repository: it.repository });
  notice("done", "Awake again", `${it.repository} is synced next.`);
  readAgain();
}

// The brake of one mirror: upstream would take away more than the policy allows.
async function allowMassDelete(it) {
  const words =
    "Upstream's deletions and overwrites are carried out, this once. What they take away stays in the kept refs.";
  const done = await dialog({
    title: "Sync and let it delete?",
    body: [make("p", {}, words), make("p", { class: "message" }, it.error.message)],
    yes: "Sync and let it delete",
    danger: true,
    run: () => post(`/mirrors/${it.id}/sync`, { allow_mass_delete: true }),
  });
  if (!done) return;
  notice("done", "A sync is queued", it.repository);
  readAgain();
}

async function forgetMirror(it, path) {
  const hasProject = Boolean(it.onedev.project_id);
  const keep = make("input", { type: "radio", name: "fate", value: "keep", checked: true });
  const drop = make("input", { type: "radio", name: "fate", value: "delete" });
  const typed = textInput({ placeholder: it.repository });
  const proof = make("div", { class: "typed" }, field(`Type ${it.repository} to delete its project`, typed));
  const rows = [
    make(
      "p",
      {},
      "starkeep forgets this mirror and its history. ",
      "If a watched user still stars it, it comes back at the next look.",
    ),
    make(
      "label",
      { class: "check" },
      keep,
      make("span", {}, "Keep the project in OneDev", make("small", {}, it.onedev.path || "there is none yet")),
    ),
    hasProject
      ? make(
          "label",
          { class: "check" },
          drop,
          make(
            "span",
            {},
            "Delete the project in OneDev too",
            make("small", {}, "the copy and all kept refs are gone; nobody can bring them back"),
          ),
        )
      : "",
    hasProject ? proof : "",
  ];
  const body = make(
    "fieldset",
    { class: "fate" },
    make("legend", { class: "aside" }, "What becomes of the project"),
    rows,
  );
  const isReady = () => {
    proof.hidden = !drop.checked;
    return !drop.checked || typed.value.trim() === it.repository;
  };
  const run = () => admin("DELETE", `${path}?project=${drop.checked ? "delete" : "keep"}`);
  const done = await dialog({
    title: `Forget ${it.repository}?`,
    body,
    yes: "Forget",
    danger: true,
    ready: isReady,
    run,
  });
  if (!done) return;
  notice("done", "Forgotten", it.repository);
  go(place(MIRROR));
}
