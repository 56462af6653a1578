// Steps of running syncs, as they are told (server-sent events).

const STAGES = ["describe", "ensure", "transfer", "record"];
const STAGE_WORDS = {
  describe: "asks GitHub",
  ensure: "prepares the project",
  transfer: "moves packs",
  record: "writes down the proof",
  wiki: "wiki",
  catalog: "reads the catalog",
  done: "done",
  failed: "failed",
};
// How long a job that ended is still shown, and one of which nothing is heard.
const AFTERGLOW = 8000;
const SILENCE = 120000;
const MOST_LIVE = 12;

// Follows the events while the page is in sight. The browser connects again by itself, except after a refusal.
function listen(path, heard, missed) {
  let [source, timer, over] = [undefined, undefined, false];
  const hush = () => {
    clearTimeout(timer);
    if (source) source.close();
    source = undefined;
  };
  const begin = () => {
    hush();
    if (over || document.hidden) return;
    source = new EventSource(API + path);
    source.addEventListener("step", (event) => heard(JSON.parse(event.data)));
    source.addEventListener("gap", missed);
    source.addEventListener("error", () => {
      if (source && source.readyState === EventSource.CLOSED) timer = setTimeout(begin, 15000);
    });
  };
  document.addEventListener("visibilitychange", begin);
  begin();
  return () => {
    over = true;
    document.removeEventListener("visibilitychange", begin);
    hush();
  };
}

// Where the work of each mirror stands, drawn at most twice a second.
function liveSteps(path, { none, onEnd }) {
  const running = new Map();
  const body = make("div", { class: "live" });
  let timer;
  const draw = () => {
    timer = undefined;
    const time = Date.now();
    for (const [id, it] of running) if (time > it.until) running.delete(id);
    const shown = [...running.values()].slice(0, MOST_LIVE);
    redraw(body, [shown, running.size], () => stepRows(shown, running.size, none));
    if (running.size) later(1000);
  };
  const later = (pause) => {
    if (!timer) timer = setTimeout(draw, pause);
  };
  const stop = listen(
    path,
    (step) => {
      const ended = step.stage === "done" || step.stage === "failed";
      nameIs(step.mirror, step.repository);
      running.set(step.mirror, { ...step, until: Date.now() + (ended ? AFTERGLOW : SILENCE) });
      later(400);
      if (ended && onEnd) onEnd(step);
    },
    () => running.clear(),
  );
  draw();
  const leave = () => {
    clearTimeout(timer);
    stop();
  };
  return { element: body, leave };
}

function stepRows(steps, total, none) {
  if (!steps.length) return none ? empty(none) : "";
  const rest = total - steps.length;
  return [
    make("ul", { class: "steps" }, steps.map(stepRow)),
    rest > 0 ? make("p", { class: "faint" }, `and ${count(rest)} more`) : "",
  ];
}

function stepRow(step) {
  const at = STAGES.indexOf(step.stage);
  const ended = step.stage === "done";
  const marks = STAGES.map((it, index) =>
    make("i", { class: ended || index < at ? "past" : index === at ? "at" : "" }),
  );
  const amount = step.stage === "catalog" ? step.bytes && plural(step.bytes, "page") : step.bytes && bytes(step.bytes);
  return make(
    "li",
    { class: `step is-${step.stage}` },
    make("span", { class: "marks", "aria-hidden": "true" }, at >= 0 || ended ? marks : ""),
    step.repository
      ? make("a", { href: place(`${MIRROR}/${step.mirror}`), "data-key": `live-${step.mirror}` }, step.repository)
      : make("span", {}, "a forgotten mirror"),
    make("span", { class: "stage" }, STAGE_WORDS[step.stage] || spoken(step.stage)),
    make("span", { class: "amount" }, amount || ""),
  );
}
