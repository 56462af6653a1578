// The queue: looking at jobs, trying dead ones again, calling waiting ones off.

const JOB_KINDS = ["sync", "verify", "wiki", "remove", "mark", "drill", "catalog"];

function jobs(box) {
  const columns = [
    { name: "Job", cell: (it) => jobLink(it.id) },
    { name: "Kind", cell: (it) => spoken(it.kind) },
    { name: "State", cell: (it) => badge(it.state) },
    { name: "Mirror", kind: "head", cell: (it) => mirrorLink(it.mirror) },
    { name: "Attempts", kind: "number", cell: attemptsOf },
    { name: "When", kind: "time", cell: jobTime },
    { name: "Error", kind: "wide", cell: (it) => errorWords(it.error) },
  ];
  if (may("mirrors:write")) columns.push({ name: "", kind: "actions", cell: jobAction });
  return listView(box, {
    path: "jobs",
    api: "/jobs",
    fields: [
      { name: "state", label: "Any state", options: words(JOB_STATES) },
      { name: "kind", label: "Any kind", options: words(JOB_KINDS) },
      { name: "mirror", label: "Id of a mirror" },
    ],
    columns,
    caption: "Jobs",
    none: "There are no jobs.",
  });
}

function attemptsOf(it) {
  return `${count(it.attempts)}${it.crashes ? ` (${plural(it.crashes, "crash", "crashes")})` : ""}`;
}

function jobTime(it) {
  if (it.state === "queued")
    return Date.parse(it.run_after) > now() ? ["due ", when(it.run_after)] : ["queued ", when(it.created_at)];
  if (it.state === "running") return ["began ", when(it.updated_at)];
  return when(it.finished_at || it.updated_at);
}

function jobAction(it) {
  if (!may("mirrors:write")) return "";
  if (it.state === "dead" || it.state === "cancelled")
    return doing("Try again", "small", () => actOn(it, "retry"), { "data-key": `act-${it.id}` });
  if (it.state === "queued")
    return doing("Call off", "small", () => actOn(it, "cancel"), { "data-key": `act-${it.id}` });
  return "";
}

async function actOn(it, what) {
  const after = await post(`/jobs/${it.id}/${what}`);
  const joined = after.id !== it.id ? [" It runs as ", jobLink(after.id), "."] : "";
  notice("done", what === "retry" ? "It is tried again" : "It is called off", [
    `${spoken(it.kind)} #${it.id}.`,
    joined,
  ]);
  readAgain();
}

function jobView(box, id) {
  const body = make("div", {});
  box.append(body);
  return {
    title: () => `Job ${id}`,
    async show({ signal }) {
      const it = await read(`/jobs/${encodeURIComponent(id)}`, signal);
      redraw(body, it, () => [
        make(
          "div",
          { class: "mirror-head" },
          make("div", { class: "mirror-name" }, make("h1", {}, `Job #${it.id}`), badge(it.state)),
          jobAction(it),
        ),
        it.error
          ? make(
              "div",
              { class: "trouble" },
              make("strong", {}, make("code", { class: "code" }, it.error.code)),
              make("p", {}, sentence(it.error.message)),
            )
          : "",
        card("", jobFacts(it)),
      ]);
    },
  };
}

function jobFacts(it) {
  return facts([
    ["Kind", spoken(it.kind)],
    ["Mirror", mirrorLink(it.mirror)],
    ["Attempts", attemptsOf(it)],
    ["Priority", String(it.priority)],
    ["Queued", when(it.created_at)],
    ["Not before", when(it.run_after)],
    ["Changed", when(it.updated_at)],
    ["Lease until", it.lease_until && when(it.lease_until)],
    ["Ended", it.finished_at && when(it.finished_at)],
    ["Delivery", it.delivery && make("code", {}, it.delivery)],
    ["Correlation id", correlation(it.correlation_id)],
  ]);
}
