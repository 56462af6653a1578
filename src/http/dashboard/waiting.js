// What waits for a person, the most urgent first.

function waitingCard({ overview: state, ready, vanished, stars, failing }) {
  const items = [
    componentItems(ready),
    state.allowances.filter(isClosed).map(closedItem),
    ((vanished && vanished.items) || []).map(vanishedItem),
    ((stars && stars.items) || []).map(starItem),
    deadItem(state.jobs),
    failingItem(state.mirrors.error, failing),
  ];
  const shown = shownOf(items);
  if (!shown.length)
    return card(
      ["Needs you", "calm"],
      make(
        "p",
        { class: "calm-words" },
        "Nothing needs you. ",
        make("span", { class: "faint" }, "No mirror is in error, no job is dead, nothing waits for a word."),
      ),
    );
  return card("Needs you", make("ul", { class: "waiting" }, shown));
}

function waitingItem(kind, title, text, ...more) {
  return make(
    "li",
    { class: `waiting-item ${kind}` },
    make("div", { class: "waiting-words" }, make("h3", {}, title), text ? make("p", {}, text) : "", more),
  );
}

const COMPONENTS = { github: "GitHub", onedev: "OneDev", database: "The database" };

function componentItems(ready) {
  if (!ready) return "";
  const unwell = Object.entries(ready.components).filter(([, it]) => it.status !== "ok");
  return unwell.map(([name, it]) =>
    waitingItem(
      it.status === "unavailable" ? "bad" : "warn",
      `${COMPONENTS[name] || name} is ${it.status}`,
      it.detail ? sentence(it.detail) : "",
    ),
  );
}

function closedItem(it) {
  return waitingItem("warn", `GitHub's credential ${it.credential} is closed`, [
    "GitHub refuses it for ",
    it.resource === "all" ? "everything" : spoken(it.resource),
    "; it is tried again ",
    when(it.closed_until),
    ".",
  ]);
}

// The brake: an owner's mirrors vanished in such numbers that nothing is settled without a word.
function vanishedItem(it) {
  const title = `${plural(it.mirrors, "mirror")} of ${it.whose} vanished at GitHub`;
  const text = [
    "For ",
    lasting(it.since),
    ". That is so many that nothing is settled until you say so. Look at ",
    atGitHub(it.whose, `${it.whose} at GitHub`),
    " first.",
  ];
  if (!may("mirrors:write")) return waitingItem("warn", title, text);
  return waitingItem(
    "warn",
    title,
    text,
    make(
      "div",
      { class: "buttons" },
      button("They are gone", "danger small", () => answerVanished(it, true), { "data-key": `gone-${it.whose}` }),
      button("Look again", "small", () => answerVanished(it, false), { "data-key": `again-${it.whose}` }),
    ),
  );
}

async function answerVanished(it, confirm) {
  const gone = [
    `GitHub is asked again about ${plural(it.mirrors, "mirror")}, and what it still lacks is taken for gone. `,
    "The copies stay in OneDev. Only say so if you have looked.",
  ];
  const again = `GitHub is asked again about ${plural(it.mirrors, "mirror")}; nothing else changes.`;
  const done = await dialog({
    title: confirm ? `${it.whose}: are they gone?` : `${it.whose}: look again?`,
    body: make("p", {}, confirm ? gone : again),
    yes: confirm ? "They are gone" : "Look again",
    danger: confirm,
    run: () => post("/vanished", { confirm, whose: it.whose }),
  });
  if (!done) return;
  notice(
    "done",
    confirm ? "Confirmed" : "Looking again",
    `${plural(done.mirrors, "mirror")} of ${it.whose} ${done.mirrors === 1 ? "is" : "are"} looked at again.`,
  );
  readAgain();
}

// A list of stars that lacks too many at once, or cannot be read.
function starItem(it) {
  if (!it.watched) return "";
  const name = it.name || it.login;
  if (it.held) {
    const text = ["For ", lasting(it.held.since), ". None of them is let go until you say so."];
    const keys =
      may("mirrors:write") &&
      make(
        "div",
        { class: "buttons" },
        button("They were taken back", "danger small", () => lookAtStars(it, true), {
          "data-key": `let-go-${it.login}`,
        }),
        button("Look again", "small", () => lookAtStars(it, false), { "data-key": `look-${it.login}` }),
      );
    return waitingItem("warn", `${plural(it.held.stars, "star")} of ${name} are missing at once`, text, keys);
  }
  if (it.error) return waitingItem("warn", `The stars of ${name} cannot be read`, errorWords(it.error));
  return "";
}

async function lookAtStars(it, allow) {
  const body = allow
    ? `All ${plural(it.held.stars, "star")} that the list lacks count as taken back, this once.`
    : "The list is read again; nothing else changes.";
  const done = await dialog({
    title: allow ? `${it.login}: were the stars taken back?` : `${it.login}: look again?`,
    body: make("p", {}, body),
    yes: allow ? "They were taken back" : "Look again",
    danger: allow,
    run: () => post(`/stars/${encodeURIComponent(it.login)}`, allow ? { allow_mass_gone: true } : {}),
  });
  if (!done) return;
  notice("done", "Looking", `The stars of ${it.login} are looked at next.`);
  readAgain();
}

function deadItem(jobs) {
  const dead = jobs.filter((it) => it.state === "dead");
  const total = dead.reduce((sum, it) => sum + it.count, 0);
  if (!total) return "";
  const kinds = dead.map((it) => `${count(it.count)} ${spoken(it.kind)}`).join(", ");
  const link = make("a", { href: place("jobs", { state: "dead" }), "data-key": "dead-jobs" }, "Look at them");
  return waitingItem("bad", `${plural(total, "job")} ${total === 1 ? "was" : "were"} given up`, [
    `${kinds}. They are tried again only if you say so. `,
    link,
    ".",
  ]);
}

function failingItem(total, failing) {
  if (!total) return "";
  const some = (failing && failing.items) || [];
  for (const it of some) nameIs(it.id, it.repository);
  const rows = some.map((it) =>
    make(
      "li",
      {},
      make("a", { class: "name", href: place(`${MIRROR}/${it.id}`), "data-key": `failing-${it.id}` }, it.repository),
      " ",
      errorWords(it.error),
    ),
  );
  const rest =
    total > some.length
      ? make(
          "a",
          { href: place(MIRROR, { status: "error" }), "data-key": "failing-all" },
          `All ${count(total)} of them`,
        )
      : "";
  return waitingItem("bad", `${plural(total, "mirror")} in error`, "", make("ul", { class: "plain" }, rows), rest);
}
