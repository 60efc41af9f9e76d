// The conversation: posts, replies that grow, and what can be done with them.

import { sentence, write } from "./api.js";
import { announce, banner, button, copy, el, make, small } from "./dom.js";
import { factsOf } from "./facts.js";
import { say, t } from "./i18n.js";
import { Tinted } from "./meter.js";
import { asked, bodyOf, mixText, seedAsked } from "./request.js";
import { changed, state, watch } from "./state.js";

let running = null; // the AbortController of the reply that is being written
let compareWith = () => {};

/** Tells whether a reply is being written. */
export const busy = () => running !== null;

/** Ends the reply that is being written. */
export const stop = () => running?.abort();

const postOf = (content) => ({ role: "user", content, mix: mixText() });

/** Returns the conversation with what stands in the field, as the next request would send it. */
export function nextTurns() {
  const draft = el("post").value.trim();
  if (draft || !state.turns.length) return [...state.turns, postOf(draft || t("sample1"))];
  return state.turns.slice(0, state.turns.at(-1).role === "assistant" ? -1 : undefined);
}

const nearEnd = () => el("scroll").scrollHeight - el("scroll").scrollTop - el("scroll").clientHeight < 80;
const toEnd = () => { el("scroll").scrollTop = el("scroll").scrollHeight; };
const heading = (key) => say(make("h2", { class: "hidden" }), key);

function itemOf(turn) {
  const mood = turn.mix ? make("p", { class: "small" }, turn.mix) : null;
  return make("li", { class: "user" }, heading("you"), make("div", { class: "text" }, turn.content), mood);
}

/** Gives the last post, which got no reply, back to the field. */
function giveBack() {
  const { content, item } = state.turns.pop();
  item.remove();
  el("post").value = [content, el("post").value].filter(Boolean).join("\n");
}

/** Asks for the reply to the conversation as it stands. */
async function answer(body) {
  const turn = state.turns.at(-1);
  const tinted = new Tinted(asked());
  const waiting = small("waiting", "writingNow");
  const foot = make("div", { class: "foot" });
  const item = make("li", { class: "assistant", "aria-busy": "true" },
    heading("reply"), tinted.element, waiting, tinted.legend, foot);
  el("turns").append(item);
  toEnd();
  const own = running = new AbortController();
  banner("");
  changed();
  const began = performance.now();
  let reply = { text: "", told: {} };
  let problem = "";
  const piece = (text, meter) => {
    const follow = nearEnd();
    reply.text += text;
    tinted.add(text, meter);
    if (follow) toEnd();
  };
  try {
    reply = await write(body, { signal: own.signal, piece });
    if (!reply.ended) problem = t("cut");
  } catch (error) {
    problem = own.signal.aborted ? t("stopped") : sentence(error);
  }
  running = null;
  if (!item.isConnected) return changed(); // a new conversation began meanwhile
  const follow = nearEnd();
  waiting.remove();
  item.removeAttribute("aria-busy");
  if (problem && !own.signal.aborted) banner(problem);
  if (problem && !reply.text) {
    item.remove();
    giveBack();
  } else {
    reply.seconds = Math.round((performance.now() - began) / 100) / 10;
    tinted.finish();
    foot.append(...factsOf(reply, turn.mix));
    if (problem) foot.append(make("p", { class: "small problem" }, problem));
    foot.append(actionsOf(reply, turn.content));
    state.turns.push({ role: "assistant", content: reply.text, item });
    if (follow) toEnd();
  }
  announce(problem || t("ready", { text: reply.text }));
  changed();
}

function actionsOf(reply, post) {
  const { seed } = reply.told;
  return make("div", { class: "row actions" },
    button("regenerate", again, { class: "again" }), button("copy", () => copy(reply.text)),
    Number.isSafeInteger(seed) ? button("pin", () => { el("seed").value = seed; changed(); }) : null,
    button("compareThis", () => compareWith(post)));
}

/** Runs something that reads the fields; shows the sentence of one that is wrong. */
function reading(act) {
  try {
    return act();
  } catch (error) {
    banner(error.message);
    return undefined;
  }
}

/** Writes the last reply again: with the next seed where one is set, else with any. */
async function again() {
  const turn = { ...state.turns.at(-2), mix: mixText() };
  const body = reading(() => {
    const seed = seedAsked();
    if (seed !== undefined) el("seed").value = seed + 1;
    return bodyOf([...state.turns.slice(0, -2), turn]);
  });
  if (running || !body || !state.card) return;
  state.turns.pop().item.remove();
  const old = state.turns.pop().item;
  turn.item = itemOf(turn);
  old.replaceWith(turn.item);
  state.turns.push(turn);
  el("post").focus({ preventScroll: true });
  await answer(body);
}

async function send() {
  const turn = postOf(el("post").value.trim());
  if (!turn.content || running || !state.card) return;
  const body = reading(() => bodyOf([...state.turns, turn]));
  if (!body) return;
  turn.item = itemOf(turn);
  el("turns").append(turn.item);
  state.turns.push(turn);
  el("post").value = "";
  await answer(body);
}

function clear() {
  stop();
  state.turns = [];
  el("turns").replaceChildren();
  changed();
  el("post").focus();
}

function show() {
  const empty = el("turns").childElementCount === 0;
  el("stop").hidden = !running;
  el("send").hidden = Boolean(running);
  el("welcome").hidden = !empty;
  el("clear").hidden = empty;
  el("turns").classList.toggle("busy", Boolean(running));
}

/** Wires the conversation; `compare(post)` opens the other view. */
export function startChat(compare) {
  compareWith = compare;
  watch(show);
  el("samples").append(...["sample1", "sample2", "sample3"].map((key) => button(key, () => {
    el("post").value = t(key);
    el("post").focus();
    changed();
  })));
  el("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  el("post").addEventListener("keydown", (event) => {
    // Enter that ends the input of Chinese signs sends nothing.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    send();
  });
  el("post").addEventListener("input", changed);
  el("stop").addEventListener("click", () => { stop(); el("post").focus(); });
  el("clear").addEventListener("click", clear);
}
