// The page of one rater. What is asked comes from the API; words of the page itself from words.json.
// Texts are only ever put in as text.

const token = location.pathname.split("/").pop();
const $ = (id) => document.getElementById(id);
const SCREENS = ["loading", "consent", "guide", "item", "paused", "end"];
const PENDING = "unsent"; // in the session, so that a reload sends it again with the same key

let words = {};
let study = null;
let state = null;
let lang = "en";
let screen = "loading";
let practice = -1; // number of the practice item shown; -1 for none
let explained = false; // whether its answer is shown
let values = {}; // criterion -> value, of the item shown
let sending = false;
let shownAt = 0; // when the item came up
let away = 0; // milliseconds it was not in sight
let leftAt = null; // since when it is not

// -- words -------------------------------------------------------------------------------------

const say = (key, filled = {}) =>
  Object.entries(filled).reduce((text, [k, v]) => text.replace(`{${k}}`, v), words[lang][key]);

const put = (id, text) => { $(id).textContent = text; };

const element = (tag, properties = {}, ...inside) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
};

const paragraphs = (id, text) =>
  $(id).replaceChildren(...text.split("\n").map((line) => element("p", { textContent: line })));

// -- the API -----------------------------------------------------------------------------------

const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function call(path, body) {
  const headers = { authorization: `Bearer ${token}` };
  if (body) headers["content-type"] = "application/json";
  const how = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  return fetch(`../api/${path}`, how);
}

// Sends until it is saved: the key makes sure that it is there once.
async function send(path, body) {
  sending = true;
  sessionStorage.setItem(PENDING, JSON.stringify({ token, path, body }));
  try {
    for (;;) {
      let answer = null;
      try { answer = await call(path, body); } catch { /* no network: try again */ }
      if (answer?.ok) {
        state = await answer.json();
        wrong("");
        return true;
      }
      if (answer && answer.status < 500 && answer.status !== 429) {
        const { error } = await answer.json();
        state = await (await call("next")).json();
        wrong(say("failed", { message: error.message }));
        return false;
      }
      wrong(say("retry"));
      await wait(Number(answer?.headers.get("retry-after")) || 3);
    }
  } finally {
    sending = false;
    sessionStorage.removeItem(PENDING);
  }
}

const key = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

// -- screens -----------------------------------------------------------------------------------

function wrong(text) {
  put("wrong", text);
  $("wrong").hidden = !text;
}

function show(name) {
  screen = name;
  for (const each of SCREENS) $(each).hidden = each !== name;
  $("pause").hidden = name !== "item" || practice >= 0;
  $("track").hidden = !state || !["item", "paused", "end"].includes(name) || practice >= 0;
}

function translate() {
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  document.title = study.title[lang];
  put("title", study.title[lang]);
  put("language", say("other"));
  $("language").lang = lang === "zh" ? "en" : "zh-CN";
  for (const [id, name] of Object.entries({
    pause: "pause", "consent-head": "consentHead", "agree-text": "agree", "agree-send": "begin",
    "guide-head": "guideHead", "guide-keys": "keys", "post-who": "post", "asked-who": "asked",
    undo: "undo", skip: "skip", "auto-text": "auto", "paused-head": "pausedHead",
    "paused-text": "pausedText", resume: "resume", "end-head": "endHead", "end-undo": "undo",
    "skip-head": "skipHead", "reason-text": "reason", "note-text": "note", "skip-no": "cancel",
    "skip-yes": "skip",
  })) put(id, say(name));
  put("guide-go", say(study.practice.length ? "practise" : "start"));
  paragraphs("consent-text", study.consent[lang]);
  paragraphs("guide-text", study.instructions[lang]);
  $("reason").replaceChildren(
    ...study.skip.map((r) => element("option", { value: r.name, textContent: r.text[lang] })),
  );
  if (state) progress();
  if (shown()) present(shown());
}

function progress() {
  $("bar").max = state.total;
  $("bar").value = state.done;
  $("bar").setAttribute("aria-label", say("progress", state));
  put("count", say("progress", state));
  put("end-text", say("endText", state));
  $("skip").hidden = practice >= 0 || !study.skip.length;
  $("undo").hidden = practice >= 0;
  $("undo").disabled = !state.done && !Object.keys(values).length;
}

const shown = () => (screen !== "item" ? null : practice >= 0 ? study.practice[practice] : state.item);

// Goes where the state says.
function go() {
  values = {};
  explained = false;
  put("feedback", "");
  if (!state.consented) show("consent");
  else if (!state.practised && practice < 0) show("guide");
  else if (practice < 0 && state.finished) show("end");
  else {
    show("item");
    present(shown());
    [shownAt, away, leftAt] = [performance.now(), 0, document.hidden ? performance.now() : null];
    scrollTo(0, 0);
  }
  progress();
  const head = document.querySelector(`#${screen} h1`);
  head.tabIndex = -1;
  head.focus({ preventScroll: true });
}

function present(item) {
  const place = practice >= 0 ? practice + 1 : item.place;
  const total = practice >= 0 ? study.practice.length : state.total;
  put("item-head", say(practice >= 0 ? "practice" : "item", { place, total }));
  $("shown").lang = study.lang === "zh" ? "zh-CN" : "en";
  put("post", item.post);
  $("asked-row").hidden = !item.asked;
  put("asked", item.asked ? item.asked[lang] : "");
  $("replies").replaceChildren(...item.replies.flatMap((text, i) => [
    element("p", { className: "who", textContent: item.replies.length > 1 ? words[lang].replies[i] : say("reply") }),
    element("div", { className: "bubble reply", textContent: text }),
  ]));
  for (const who of document.querySelectorAll("#shown .who, #asked-row")) who.lang = document.documentElement.lang;
  $("criteria").replaceChildren(...study.criteria.map(criterion));
  if (explained) explain();
  mark();
}

function criterion(one) {
  const row = element("div", { className: `levels of-${one.levels.length}` });
  for (const level of one.levels) {
    const id = `${one.name}-${level.value}`;
    const input = element("input", { type: "radio", name: one.name, id, value: level.value });
    input.checked = values[one.name] === level.value;
    input.addEventListener("click", (event) => choose(one.name, level.value, event.detail > 0));
    row.append(input, element("label", { htmlFor: id },
      element("kbd", { textContent: level.value }),
      element("span", { textContent: level.text[lang] })));
  }
  return element("fieldset", { id: `of-${one.name}` },
    element("legend", {}, element("b", { textContent: one.title[lang] }), ` ${one.question[lang]}`), row);
}

const open = () => study.criteria.find((c) => !(c.name in values));

function mark() {
  const next = explained ? null : open();
  for (const one of study.criteria) $(`of-${one.name}`).classList.toggle("now", one === next);
  for (const input of $("criteria").querySelectorAll("input")) input.disabled = explained;
  put("send", say(explained ? (practice + 1 < study.practice.length ? "next" : "start") : "send"));
  $("auto-row").hidden = practice >= 0;
  $("undo").disabled = !state.done && !Object.keys(values).length;
}

function explain() {
  const right = study.practice[practice];
  const off = study.criteria.filter((c) => right.values[c.name] !== values[c.name]);
  const answers = off.map((c) => `${c.title[lang]} ${right.values[c.name]}`).join(", ");
  put("feedback", `${off.length ? say("differs", { answers }) : say("right")} ${right.why[lang]}`);
  $("feedback").className = off.length ? "off" : "right";
}

// -- what a rater does -------------------------------------------------------------------------

function choose(name, value, finishes) {
  if (sending || explained) return;
  values[name] = value;
  $(`${name}-${value}`).checked = true;
  mark();
  if (finishes && !open() && $("auto").checked && practice < 0) submit();
}

async function submit() {
  if (sending || screen !== "item") return;
  if (explained) return nextPractice();
  const missing = open();
  if (missing) {
    put("said", say("missing", { name: missing.title[lang] }));
    $("criteria").querySelector(".now input").focus();
    return;
  }
  if (practice >= 0) {
    explained = true;
    explain();
    mark();
    $("send").focus();
    return;
  }
  await act("rate", { place: state.item.place, values, seconds: seconds() }, "saved");
}

async function nextPractice() {
  practice += 1;
  if (practice >= study.practice.length) {
    practice = -1;
    await send("practised", {});
  }
  go();
}

async function act(kind, body, done) {
  if (sending) return;
  const saved = await send(kind, { key: key(), ...body });
  go();
  put("said", saved ? say(done, state) : "");
}

function undo() {
  const last = study.criteria.filter((c) => c.name in values).pop();
  if (explained || (practice >= 0 && !last)) return;
  if (last && screen === "item") {
    delete values[last.name];
    for (const input of document.getElementsByName(last.name)) input.checked = false;
    mark();
  } else if (state.done) act("undo", {}, "undone");
}

const seconds = () => Math.round(performance.now() - shownAt - away) / 1000;

function leave(gone) {
  if (gone && leftAt === null) leftAt = performance.now();
  if (!gone && leftAt !== null) {
    away += performance.now() - leftAt;
    leftAt = null;
  }
}

function pause() {
  leave(true);
  put("said", "");
  show("paused");
  $("resume").focus();
  call("pause", {}).catch(() => {});
}

function resume() {
  leave(false);
  show("item");
  mark();
  call("resume", {}).catch(() => {});
}

const skipping = () => { if (!sending && study.skip.length) $("skipping").showModal(); };

$("consent-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await send("consent", {});
  go();
});
$("guide-go").addEventListener("click", nextPractice);
$("answer").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("undo").addEventListener("click", undo);
$("end-undo").addEventListener("click", undo);
$("skip").addEventListener("click", skipping);
$("skip-no").addEventListener("click", () => $("skipping").close());
$("skip-form").addEventListener("submit", () => {
  const body = { place: state.item.place, reason: $("reason").value, note: $("note").value };
  $("note").value = "";
  act("skip", { ...body, seconds: seconds() }, "skipped");
});
$("pause").addEventListener("click", pause);
$("resume").addEventListener("click", resume);
$("language").addEventListener("click", () => {
  lang = lang === "zh" ? "en" : "zh";
  localStorage.setItem("lang", lang);
  put("said", "");
  translate();
});
$("auto").checked = localStorage.getItem("auto") !== "no";
$("auto").addEventListener("change", () => localStorage.setItem("auto", $("auto").checked ? "yes" : "no"));
document.addEventListener("visibilitychange", () => { if (screen === "item") leave(document.hidden); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || $("skipping").open) return;
  if (screen === "paused" && event.key.toLowerCase() === "p") return resume();
  if (screen === "end" && ["u", "Backspace"].includes(event.key)) return undo();
  if (screen !== "item" || sending) return;
  const pressed = event.key.toLowerCase();
  const now = open();
  if (/^[0-9]$/.test(pressed) && now && !explained) {
    if (now.levels.some((level) => level.value === Number(pressed))) choose(now.name, Number(pressed), true);
  } else if (pressed === "u" || pressed === "backspace") undo();
  else if (pressed === "s" && practice < 0) skipping();
  else if (pressed === "p" && practice < 0) pause();
  else if (pressed === "enter" && event.target.tagName !== "BUTTON") submit();
  else return;
  event.preventDefault();
});

// -- begin -------------------------------------------------------------------------------------

async function begin() {
  const [text, about, next] = await Promise.all([fetch("../static/words.json"), call("study"), call("next")]);
  words = await text.json();
  if (!about.ok || !next.ok) {
    lang = navigator.language.startsWith("zh") ? "zh" : "en";
    wrong(say(about.status === 401 ? "gone" : "retry"));
    if (about.status === 401) return;
    await wait(5);
    return begin();
  }
  [study, state] = [await about.json(), await next.json()];
  lang = ["en", "zh"].find((one) => one === localStorage.getItem("lang")) ?? study.lang;
  wrong("");
  translate();
  const unsent = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
  if (unsent?.token === token) await send(unsent.path, unsent.body);
  go();
}

begin();
