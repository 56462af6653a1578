// Adding: one repository, or many with a plan first.

function add(box) {
  const progress = make("div", {});
  const forms = [may("mirrors:write") ? addOne() : "", may("batches") ? addMany() : ""];
  box.append(progress, make("div", { class: "columns even" }, shownOf(forms)));
  return {
    async show({ query, signal }) {
      if (!query.batch || !may("batches")) {
        forget(progress);
        return undefined;
      }
      const batch = await read(`/batches/${encodeURIComponent(query.batch)}`, signal);
      redraw(progress, batch, batchCard);
      return batch.state === "reading" ? 1500 : batch.state === "queued" ? 3000 : undefined;
    },
  };
}

// A name, or the address of a repository as it stands in the browser.
function nameIn(text) {
  const it = text
    .trim()
    .replace(/^(https?:\/\/)?(www\.)?github\.com\//i, "")
    .replace(/^git@github\.com:/i, "");
  const [owner, name] = it.split(/[?#]/)[0].split("/");
  return owner && name ? `${owner}/${name.replace(/\.git$/, "")}` : it;
}

function addOne() {
  const input = textInput({ placeholder: "octocat/hello-world", maxlength: "200" });
  const told = make("div", { "aria-live": "polite" });
  const run = async () => {
    const repository = nameIn(input.value);
    if (!/^[^/\s]+\/[^/\s]+$/.test(repository)) refuse("Write it as OWNER/NAME, or paste its address.");
    const it = await post("/mirrors", { repository });
    nameIs(it.id, it.repository);
    input.value = "";
    told.replaceChildren(
      make(
        "p",
        { class: "good" },
        make("a", { href: place(`${MIRROR}/${it.id}`) }, it.repository),
        " ",
        badge(it.status),
        it.status === "paused" ? " is paused; resume it there." : " is synced next.",
      ),
    );
  };
  return card(
    "One repository",
    make("p", { class: "about" }, "It is kept even if nobody stars it."),
    form([field("Repository at GitHub", input, "OWNER/NAME or its address")], "Add", run),
    told,
  );
}

function addMany() {
  const user = textInput({ placeholder: "octocat", maxlength: "39" });
  const list = make("textarea", {
    rows: "5",
    spellcheck: "false",
    placeholder: "octocat/hello-world\noctocat/spoon-knife",
  });
  const plan = async (body) => {
    const batch = await post("/batches", { ...body, dry_run: true });
    go(place("add", { batch: batch.id }));
  };
  const byUser = async () => {
    const login = user.value.trim().replace(/^@/, "");
    if (!login) refuse("Write whose stars.");
    await plan({ starred_by: login });
  };
  const byNames = async () => {
    const all = [
      ...new Set(
        list.value
          .split(/[\s,]+/)
          .map(nameIn)
          .filter(Boolean),
      ),
    ];
    if (!all.length) refuse("Write at least one name.");
    if (all.length > 500) refuse(`These are ${count(all.length)} names; at most 500 go into one batch.`);
    await plan({ repositories: all });
  };
  return card(
    "Many at once",
    make("p", { class: "about" }, "First comes a plan: nothing is done before you have seen it."),
    form([field("All stars of a user", user, "a login at GitHub")], "Make a plan", byUser),
    make("hr", {}),
    form([field("A list of names", list, "one a line, at most 500")], "Make a plan", byNames),
  );
}

const BATCH_WORDS = {
  reading: "The list is being read…",
  failed: "The list could not be read.",
  planned: "This is what it would come to.",
  queued: "The mirrors are being made.",
  done: "Nothing is left to do.",
};

function batchCard(it) {
  const whose = it.starred_by
    ? `All stars of ${it.starred_by}`
    : it.repositories
      ? plural(it.repositories.length, "named repository", "named repositories")
      : "A batch";
  const isPlan = it.dry_run;
  return card(
    [`${isPlan ? "Plan" : "Batch"}: ${whose}`, "batch"],
    make("p", {}, badge(it.state), " ", BATCH_WORDS[it.state] || ""),
    it.error ? make("div", { class: "trouble" }, errorWords(it.error)) : "",
    it.state === "reading"
      ? gauge("Read", it.listed, it.total)
      : isPlan || it.state === "failed"
        ? ""
        : gauge("Proven", it.done, it.total, it.failed),
    isPlan ? planFacts(it) : batchFacts(it),
    missingNames(it),
    isPlan && it.state === "planned"
      ? make(
          "div",
          { class: "buttons" },
          runButton(it),
          make("a", { class: "button", href: place("add"), "data-key": "drop-plan" }, "Drop the plan"),
        )
      : "",
    isPlan
      ? ""
      : make(
          "p",
          { class: "after" },
          make(
            "a",
            { href: place(MIRROR, { source: "batch" }), "data-key": "batch-mirrors" },
            "Mirrors that batches made",
          ),
        ),
  );
}

function gauge(label, number, total, failed) {
  const share = (it) => `${total ? Math.min(100, (100 * it) / total) : 0}%`;
  const [fill, bad] = [make("i", {}), make("i", { class: "low" })];
  fill.style.width = share(number);
  bad.style.width = share(failed || 0);
  const of = total ? ` of ${count(total)}` : "";
  const words = `${label} ${count(number)}${of}${failed ? `, ${count(failed)} failed` : ""}`;
  const bar = make(
    "div",
    {
      class: "gauge",
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": "0",
      "aria-valuemax": String(total || 0),
      "aria-valuenow": String(number),
    },
    fill,
    failed ? bad : "",
  );
  return make("div", { class: "progress" }, make("div", { class: "line" }, words), bar);
}

function planFacts(it) {
  const plan = it.plan;
  const over = plan.bytes_beyond
    ? make("span", { class: "bad" }, `, ${bytes(plan.bytes_beyond)} more than policy.max_total_bytes allows`)
    : "";
  return facts([
    ["New", make("strong", {}, count(plan.new))],
    ["Kept already", count(plan.existing)],
    ["Renamed", plan.renamed > 0 && count(plan.renamed)],
    ["Conflicts", plan.conflicts > 0 && make("span", { class: "bad" }, count(plan.conflicts))],
    ["Too large", plan.too_large > 0 && count(plan.too_large)],
    ["Size", [bytes(plan.bytes), over]],
    ["Calls to GitHub", count(plan.api_calls)],
    ["Lasts at least", plan.seconds !== null && span(plan.seconds)],
    ["Not understood", it.not_understood > 0 && count(it.not_understood)],
  ]);
}

function batchFacts(it) {
  return facts([
    ["On the list", count(it.total)],
    ["Queued", count(it.queued)],
    ["Done", count(it.done)],
    ["Failed", it.failed > 0 ? make("span", { class: "bad" }, count(it.failed)) : "0"],
    ["Not understood", it.not_understood > 0 && count(it.not_understood)],
    ["Asked", when(it.created_at)],
  ]);
}

function missingNames(it) {
  if (!it.missing.length) return "";
  return make(
    "details",
    { "data-key": "missing" },
    make("summary", { "data-key": "missing-names" }, `${plural(it.missing.length, "name")} that GitHub does not know`),
    make(
      "ul",
      { class: "plain" },
      it.missing.map((name) => make("li", {}, make("code", {}, name))),
    ),
  );
}

function runButton(it) {
  const fresh = it.plan.new;
  const run = async () => {
    const body = it.starred_by ? { starred_by: it.starred_by } : { repositories: it.repositories };
    const batch = await post("/batches", { ...body, dry_run: false });
    notice("done", "The batch runs", plural(fresh, "new mirror"));
    go(place("add", { batch: batch.id }));
  };
  return doing(fresh ? `Make ${plural(fresh, "mirror")}` : "Run it all the same", "primary", run, {
    "data-key": "run-batch",
  });
}
