// Received webhooks, taken once more alone or as a range; and the audit log.

const DELIVERY_STATES = ["accepted", "processed", "failed", "ignored"];

function deliveries(box) {
  const columns = [
    { name: "Received", kind: "time", cell: (it) => when(it.received_at) },
    {
      name: "Event",
      kind: "head",
      cell: (it) => [
        make("span", { title: it.id }, it.event),
        it.action ? make("span", { class: "faint" }, ` ${it.action}`) : "",
      ],
    },
    { name: "Repository", cell: deliveryRepository },
    { name: "Sender", cell: (it) => it.sender && it.sender.login },
    { name: "State", cell: (it) => badge(it.state) },
    {
      name: "Jobs",
      cell: (it) => it.jobs.map((id, index) => [index ? ", " : "", may("mirrors:read") ? jobLink(id) : `#${id}`]),
    },
    {
      name: "",
      kind: "actions",
      cell: deliveryActions,
    },
  ];
  return listView(box, {
    path: "deliveries",
    api: "/deliveries",
    fields: [
      { name: "state", label: "Any state", options: words(DELIVERY_STATES) },
      { name: "event", label: "An event", about: "as GitHub calls it: push, star, repository" },
    ],
    columns,
    caption: "Deliveries",
    none: "No webhook was received yet.",
    above: replayPanel(),
  });
}

function deliveryRepository(it) {
  if (!it.repository) return "";
  const name = it.repository.repository;
  return may("mirrors:read") ? make("a", { href: place(MIRROR, { q: name }), "data-key": `of-${it.id}` }, name) : name;
}

function deliveryActions(it) {
  const more = () =>
    tell(`Delivery of ${it.event}`, [
      facts([
        ["GUID", [make("code", {}, it.id), " ", copyButton(it.id, "the GUID")]],
        ["Event", it.action ? `${it.event} ${it.action}` : it.event],
        ["Repository", it.repository && `${it.repository.repository} (${it.repository.github_id})`],
        ["Sender", it.sender && `${it.sender.login} (${it.sender.id})`],
        ["Outcome", spoken(it.outcome)],
        ["State", badge(it.state)],
        ["Received", exact(it.received_at)],
        ["Correlation id", correlation(it.correlation_id)],
      ]),
    ]);
  return make(
    "div",
    { class: "buttons" },
    button("Details", "small", more, { "data-key": `more-${it.id}` }),
    doing("Replay…", "small", () => replay(it), { "data-key": `replay-${it.id}` }),
  );
}

// What it would do is asked first, and shown.
async function replay(it) {
  const path = `/deliveries/${encodeURIComponent(it.id)}/replay`;
  const plan = await post(path, { dry_run: true });
  const about = it.repository ? ` of ${it.repository.repository}` : "";
  const done = await dialog({
    title: "Take it once more?",
    body: make(
      "p",
      {},
      `${it.event}${about}, received `,
      when(it.received_at),
      ", would ask for: ",
      make("strong", {}, spoken(plan.asks_for)),
      ".",
    ),
    yes: "Replay",
    run: () => post(path, {}),
  });
  if (!done) return;
  notice(
    "done",
    "Taken once more",
    done.jobs.length ? ["Its jobs: ", done.jobs.map((id) => [jobLink(id), " "])] : "It asked for nothing.",
  );
  readAgain();
}

// A range is first only looked at, then replayed, a hundred at a time.
function replayPanel() {
  const [from, to] = [0, 1].map(() => make("input", { type: "datetime-local", step: "1" }));
  const event = textInput({ placeholder: "any" });
  const told = make("div", { "aria-live": "polite" });
  to.value = new Date(now()).toISOString().slice(0, 19);
  from.value = new Date(now() - HOUR * 1000).toISOString().slice(0, 19);
  const run = async () => {
    if (!from.value || !to.value) refuse("Give both ends of the range.");
    const [first, last] = [from, to].map((it) => new Date(`${it.value}Z`).toISOString());
    const range = { from: first, to: last, event: event.value.trim() || undefined };
    told.replaceChildren(rangePlan(range, await post("/deliveries/replay", { ...range, dry_run: true }), told));
  };
  const rows = make("div", { class: "row" }, field("From (UTC)", from), field("To (UTC)", to), field("Event", event));
  return make(
    "details",
    { class: "card panel" },
    make("summary", {}, "Replay a range"),
    make(
      "p",
      { class: "about" },
      "What GitHub sent in that time is taken once more, the oldest first. It is shown before it is done.",
    ),
    form([rows], "Look what it comes to", run),
    told,
  );
}

function rangePlan(range, plan, told) {
  if (!plan.items.length) return empty("Nothing arrived in that time.");
  const counts = new Map();
  for (const it of plan.items) counts.set(it.asks_for, (counts.get(it.asks_for) || 0) + 1);
  const sums = [...counts].map(([wish, number]) => `${count(number)} × ${spoken(wish)}`).join(", ");
  const more = plan.next_cursor ? " There are more after these." : "";
  const run = async () => {
    const done = await post("/deliveries/replay", { ...range, cursor: range.cursor, dry_run: false });
    const next = { ...range, cursor: done.next_cursor };
    const queuedJobs = done.items.reduce((sum, it) => sum + it.jobs.length, 0);
    notice("done", `${plural(done.items.length, "delivery", "deliveries")} taken once more`, plural(queuedJobs, "job"));
    readAgain();
    if (!done.next_cursor) told.replaceChildren();
    else told.replaceChildren(rangePlan(next, await post("/deliveries/replay", { ...next, dry_run: true }), told));
  };
  return make(
    "div",
    { class: "plan" },
    make("p", {}, make("strong", {}, plural(plan.items.length, "delivery", "deliveries")), `: ${sums}.${more}`),
    make(
      "div",
      { class: "buttons" },
      doing("Replay these", "primary", run),
      button("Leave it", "", () => told.replaceChildren()),
    ),
  );
}

function audit(box) {
  const columns = [
    { name: "When", kind: "time", cell: (it) => when(it.at) },
    { name: "Who", cell: (it) => make("span", { class: "break" }, it.actor) },
    { name: "Did", kind: "head", cell: (it) => make("code", { class: "code" }, it.action) },
    { name: "To what", cell: (it) => make("span", { class: "break" }, it.subject) },
    {
      name: "Outcome",
      cell: (it) => (it.outcome === "ok" ? badge("ok") : make("span", { class: "badge is-failed" }, it.outcome)),
    },
    { name: "From", cell: (it) => it.address },
    { name: "", kind: "actions", cell: auditDetail },
  ];
  return listView(box, {
    path: "audit",
    api: "/audit",
    fields: [
      { name: "actor", label: "Who", about: "admin, the prefix of a key, or the subject of a token, in full" },
      { name: "action", label: "Did what", about: "in full, as in mirror.sync" },
      { name: "subject", label: "To what", about: "in full" },
    ],
    columns,
    caption: "Audit log",
    none: "Nothing was written down yet.",
  });
}

function auditDetail(it) {
  const shown = (value) => make("code", {}, typeof value === "string" ? value : JSON.stringify(value));
  const pairs = Object.entries(it.detail).map(([name, value]) => [spoken(name), shown(value)]);
  const more = () =>
    tell(`${it.action}: ${it.subject}`, [
      facts([
        ["Who", it.actor],
        ["From", it.address],
        ["Outcome", it.outcome],
        ["Time", exact(it.at)],
        ["Correlation id", correlation(it.correlation_id)],
        ["Place in the chain", it.seq === null ? "not yet" : count(it.seq)],
        ["Hash", it.hash && make("code", { class: "digest" }, it.hash)],
      ]),
      pairs.length ? make("h3", {}, "What else there is to know") : "",
      facts(pairs),
    ]);
  return button("Details", "small", more, { "data-key": `entry-${it.id}` });
}
