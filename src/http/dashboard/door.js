// Signing in and out.

// The code of the one-time address, which is taken out of the address bar and the history at once.
function takeCode() {
  const code = /^#sign-in=(.+)$/.exec(location.hash);
  if (!code) return undefined;
  history.replaceState(null, "", location.pathname + location.search);
  return code[1];
}

// Leads in whoever has a session or a one-time address, everybody else to the door.
async function enter() {
  const code = takeCode();
  if (code) return enterFirst(code);
  try {
    session = await call("GET", "/session");
  } catch (error) {
    return error.status === 401 ? showDoor() : showDoor(error, enter);
  }
  return showViews();
}

async function enterFirst(code) {
  leaveView();
  $("content").replaceChildren(make("p", { class: "door-wait" }, "Signing in…"));
  try {
    const made = await call("POST", "/session/first", { body: { code } });
    session = made.session;
    showFirstKey(made.full_key);
  } catch (error) {
    // Whoever is signed in already stays so.
    const known = await call("GET", "/session").catch(() => null);
    session = known;
    if (!known) return showDoor(error, error.status === 401 ? undefined : () => enterFirst(code));
    complain(error);
    showViews();
  }
  return undefined;
}

function showFirstKey(key) {
  dressHeader();
  document.title = "Signed in · starkeep";
  const words = [
    "You are signed in. This is the admin key, for scripts, the command line and for signing in here again. ",
    make("strong", {}, "It is not shown again: put it away now, in a password manager."),
  ];
  $("tabs").hidden = true;
  $("content").replaceChildren(make("div", { class: "door" }, shownOnce("Your admin key", key, words, showViews)));
}

// Why somebody stands at the door, if there is something to say, and what else may be tried.
function doorWords(why, again) {
  if (!why) return "";
  if (typeof why === "string") return make("p", { class: "door-why", role: "status" }, why);
  return [trouble(why), again ? make("p", { class: "door-again" }, doing("Try again", "small", again)) : ""];
}

function showDoor(why, again) {
  leaveView();
  session = null;
  for (const it of document.querySelectorAll("dialog[open]")) it.close();
  dressHeader();
  document.title = "Sign in · starkeep";
  const token = make("input", {
    type: "password",
    autocomplete: "current-password",
    spellcheck: "false",
    required: true,
  });
  const account = make("input", { type: "text", autocomplete: "username", value: "starkeep", hidden: true });
  const run = async () => {
    const value = token.value.trim();
    if (!value) refuse("Paste the admin token or an API key.");
    // A header carries nothing else, so nothing else is a token.
    if (!/^[\x21-\x7e]+$/.test(value)) refuse("This is no token: it has a blank or a letter that none has.");
    session = await call("POST", "/session", { bearer: value });
    token.value = "";
    showViews();
  };
  const about = "the admin token, an API key, or a token of your issuer; it is not kept in this browser";
  const inner = form([account, field("Token", token, about)], "Sign in", run);
  const first = make(
    "p",
    { class: "faint" },
    "The very first time, open the one-time address that ",
    make("code", {}, "starkeep serve"),
    " printed when it started.",
  );
  $("content").replaceChildren(
    make(
      "div",
      { class: "door" },
      make("section", { class: "card" }, make("h1", {}, "Sign in"), doorWords(why, again), inner, first),
    ),
  );
  token.focus();
}

async function signOut() {
  try {
    await call("DELETE", "/session");
  } catch (error) {
    if (error.status !== 401) return complain(error);
  }
  // Nothing of this session shall be found by whoever comes next.
  names.clear();
  $("notices").replaceChildren();
  history.replaceState(null, "", location.pathname);
  return showDoor("You are signed out.");
}

function dressHeader() {
  const isIn = session !== null;
  $("tabs").hidden = !isIn;
  $("sign-out").hidden = !isIn;
  $("who").hidden = !isIn;
  $("who").textContent = isIn ? session.actor : "";
  $("who").title = isIn
    ? `Signed in with the scopes ${session.scopes.join(", ")}, until ${exact(session.expires_at)}`
    : "";
}

// The session ended while somebody was at work: he comes back to where he was.
whenOver = (error) => {
  if (!session) return;
  const why =
    error.code === "session_over"
      ? "Your session is over. Sign in again; you come back to where you were."
      : error.told;
  showDoor(why);
};
