// Keys of this API: made, rotated, revoked.

const SCOPES = [
  ["mirrors:read", "read mirrors, jobs and stars"],
  ["mirrors:write", "add, change, sync and forget mirrors; retry and cancel jobs"],
  ["batches", "queue batches and follow them"],
  ["deliveries", "read deliveries and replay them"],
  ["audit:read", "read the audit log"],
  ["keys", "make, list, rotate and revoke keys"],
  ["sync:commits", "tell of commits"],
  ["read:repos", "read the repositories that a client may push to"],
  ["admin", "everything"],
];
const LIVES = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "a year"],
  ["730", "two years"],
  ["", "never"],
];
const OVERLAPS = [
  ["0s", "the old one ends at once"],
  ["1h", "1 hour"],
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
];

function keys(box) {
  const columns = [
    { name: "Name", kind: "head", cell: (it) => make("span", { class: "break" }, it.name) },
    { name: "Key", cell: (it) => make("code", {}, `${it.prefix}…`) },
    { name: "Status", cell: (it) => badge(it.status) },
    {
      name: "Scopes",
      kind: "wide",
      cell: (it) =>
        make(
          "span",
          { class: "chips" },
          it.scopes.map((scope) => make("span", { class: "chip" }, scope)),
        ),
    },
    { name: "Used", kind: "time", cell: keyUse },
    {
      name: "Ends",
      kind: "time",
      cell: (it) => (it.revoked_at ? ["revoked ", when(it.revoked_at)] : when(it.expires_at)),
    },
    {
      name: "Made",
      kind: "time",
      cell: (it) => [when(it.created_at), make("small", { class: "under" }, `by ${it.created_by}`)],
    },
    { name: "", kind: "actions", cell: (it) => keyActions(it, secret) },
  ];
  const secret = make("div", {});
  const above = make("div", {}, secret, newKeyPanel(secret));
  return listView(box, {
    path: "keys",
    api: "/api-keys",
    fields: [{ name: "include_revoked", label: "Without revoked ones", options: [["true", "With revoked ones"]] }],
    columns,
    caption: "API keys",
    none: "There are no keys.",
    above,
  });
}

function keyUse(it) {
  if (!it.last_used_at) return make("span", { class: "faint" }, "never");
  const from = it.last_used_ip ? ` from ${it.last_used_ip}` : "";
  return [when(it.last_used_at), make("small", { class: "under" }, `${plural(it.usage_count, "time")}${from}`)];
}

function isMine(it) {
  return session !== null && session.actor === it.prefix;
}

function keyActions(it, secret) {
  if (it.status === "revoked") return "";
  return make(
    "div",
    { class: "buttons" },
    it.status === "active"
      ? button("Rotate…", "small", () => rotateKey(it, secret), { "data-key": `rotate-${it.id}` })
      : "",
    button("Revoke…", "danger small", () => revokeKey(it), { "data-key": `revoke-${it.id}` }),
  );
}

// Nobody hands out more than he has.
function newKeyPanel(secret) {
  const name = textInput({ maxlength: "100", placeholder: "backup script" });
  const all = SCOPES.filter(([scope]) => may(scope)).map(([scope, about]) => ({
    scope,
    ...check([make("code", {}, scope), make("small", {}, about)], { value: scope }),
  }));
  const life = choice(LIVES, "90");
  const run = async () => {
    const scopes = all.filter((it) => it.input.checked).map((it) => it.scope);
    if (!name.value.trim()) refuse("Give it a name, so that you know later what it is for.");
    if (!scopes.length) refuse("Choose at least one scope.");
    const made = await post("/api-keys", {
      name: name.value.trim(),
      scopes,
      expires_in_days: life.value ? Number(life.value) : undefined,
    });
    showKey(secret, made, `The key ${made.name}`);
    name.value = "";
    for (const it of all) it.input.checked = false;
    panel.open = false;
    readAgain();
  };
  const scopes = make(
    "fieldset",
    { class: "scopes" },
    make("legend", {}, "Scopes"),
    all.map((it) => it.row),
  );
  const rows = [make("div", { class: "row" }, field("Name", name), field("Ends after", life)), scopes];
  const panel = make("details", { class: "card panel" }, make("summary", {}, "Make a key"), form(rows, "Make it", run));
  return panel;
}

function showKey(secret, made, title) {
  const words = made.expires_at ? [" It ends ", when(made.expires_at), "."] : "";
  secret.replaceChildren(
    shownOnce(title, made.full_key, ["This key is not shown again. Put it where the script finds it.", words], () =>
      secret.replaceChildren(),
    ),
  );
  secret.scrollIntoView({ block: "nearest" });
}

async function rotateKey(it, secret) {
  const overlap = choice(OVERLAPS, "24h");
  const mine = isMine(it)
    ? make("p", { class: "bad" }, "You are signed in with this key: when it ends, so does this session.")
    : "";
  const done = await dialog({
    title: `Rotate ${it.name}?`,
    body: [
      make("p", {}, "A new key of the same name, scopes and length of life is made."),
      mine,
      field("Both are valid for", overlap),
    ],
    yes: "Rotate",
    run: () => post(`/api-keys/${it.id}/rotate`, { overlap: overlap.value }),
  });
  if (!done) return;
  showKey(secret, done, `The new key ${done.name}`);
  readAgain();
}

async function revokeKey(it) {
  const mine = isMine(it)
    ? make("p", { class: "bad" }, "You are signed in with this key: this session ends with it.")
    : "";
  const done = await dialog({
    title: `Revoke ${it.name}?`,
    body: [
      make("p", {}, make("code", {}, it.prefix), " opens nothing any more, at once. That cannot be taken back."),
      mine,
    ],
    yes: "Revoke",
    danger: true,
    run: () => admin("DELETE", `/api-keys/${it.id}`),
  });
  if (!done) return;
  notice("done", "Revoked", it.name);
  readAgain();
}
