// Starts the page, and wires what stands around the conversation.

import * as api from "./api.js";
import { startAuto } from "./auto.js";
import { busy, nextTurns, startChat, stop } from "./chat.js";
import { buildChoices, comparing, startCompare, stopComparing } from "./compare.js";
import { banner, copy, el, make } from "./dom.js";
import { buildEmpathy, empathyText, startEmpathy, takeEmpathy } from "./empathy.js";
import { speak, spoken, t, translate } from "./i18n.js";
import { buildMoods, startMoods, takeText } from "./moods.js";
import { bodyOf, hears, mixText } from "./request.js";
import { fragmentOf, readFragment } from "./share.js";
import * as snippets from "./snippets.js";
import { changed, state, watch } from "./state.js";
import { recall, remember } from "./stored.js";

const root = document.documentElement;

// -- the model -----------------------------------------------------------------------------------

/** Asks what a model takes, and shows it. */
async function chooseModel(name) {
  state.model = el("model").value = name;
  el("send").disabled = el("go").disabled = true;
  const slow = setTimeout(() => banner(t("loading")), 400);
  const card = await api.card(name).catch(api.sentence);
  clearTimeout(slow);
  if (state.model !== name) return; // another was chosen meanwhile
  banner(typeof card === "string" ? card : "");
  state.card = typeof card === "string" ? null : card;
  el("send").disabled = el("go").disabled = !state.card;
  el("tintbox").hidden = el("tinthint").hidden = !hears(state.card);
  buildMoods();
  buildEmpathy(state.card);
  buildChoices();
}

async function awaitModels() {
  for (;;) {
    const status = await api.health();
    banner(status === "ok" ? "" : t(status));
    if (status === "ok") return;
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
}

// -- link, code, key -----------------------------------------------------------------------------

/** Fills the page with what a link holds; sends nothing. */
async function openLink() {
  if (location.hash.length < 2) return;
  const link = readFragment(location.hash);
  const served = state.models.includes(link.model);
  if (served && link.model !== state.model) await chooseModel(link.model);
  el("seed").value = link.seed;
  el("post").value = link.post || el("post").value;
  takeEmpathy(link.empathy);
  const problem = takeText(link.mix);
  banner(link.model && !served ? t("notServed", { name: link.model }) : problem);
  changed();
}

function shareLink() {
  const post = state.turns[0]?.content ?? el("post").value.trim();
  const empathy = state.card?.empathy ? empathyText() : "";
  const link = fragmentOf({ model: state.model, mix: mixText(), empathy, seed: el("seed").value, post });
  history.replaceState(null, "", link);
  copy(location.href, "shared");
}

function showSnippet() {
  if (!el("code").open) return;
  const writer = snippets[el("code").querySelector("input:checked").value];
  try {
    const body = bodyOf(nextTurns(), { meter: false });
    el("snippet").textContent = writer(body, `${location.origin}/v1`, api.keyed());
  } catch (problem) {
    el("snippet").textContent = problem.message;
  }
}

let asking = null;

/** Returns a key that the reader gives, "" for none; several requests share one question. */
function askKey(again) {
  asking ??= new Promise((resolve) => {
    const box = el("keybox");
    el("key").value = box.returnValue = "";
    el("keywrong").hidden = !again;
    box.addEventListener("close", () => { asking = null; resolve(box.returnValue); }, { once: true });
    box.showModal();
  });
  return asking;
}

// -- what stands around --------------------------------------------------------------------------

const VIEWS = ["chat", "compare"];

function showView(name) {
  for (const view of VIEWS) {
    el(view).hidden = view !== name;
    el(`tab-${view}`).setAttribute("aria-selected", view === name);
    el(`tab-${view}`).tabIndex = view === name ? 0 : -1;
  }
}

let opener = null; // the button that opened the panel on a phone

function showSheet(button) {
  document.body.classList.toggle("sheeted", Boolean(button));
  for (const each of document.querySelectorAll(".sheet")) each.setAttribute("aria-expanded", Boolean(button));
  (button ? el("closesheet") : opener)?.focus();
  opener = button;
}

function showLanguage() {
  el("language").textContent = spoken() === "en" ? "中文" : "EN";
  el("language").lang = spoken() === "en" ? "zh-CN" : "en";
}

function escape(event) {
  if (event.key !== "Escape" || el("keybox").open) return;
  if (busy() || comparing()) {
    stop();
    stopComparing();
  } else if (opener) showSheet(null);
}

function wire() {
  const on = (id, kind, act) => el(id).addEventListener(kind, act);
  for (const view of VIEWS) {
    on(`tab-${view}`, "click", () => showView(view));
    on(`tab-${view}`, "keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const other = VIEWS.find((name) => name !== view);
      showView(other);
      el(`tab-${other}`).focus();
    });
  }
  on("model", "change", () => chooseModel(el("model").value));
  on("share", "click", shareLink);
  on("language", "click", () => { speak(spoken() === "en" ? "zh" : "en"); showLanguage(); changed(); });
  on("theme", "click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
    remember("localStorage", "emotone-theme", root.dataset.theme);
  });
  on("dismiss", "click", () => banner(""));
  for (const each of document.querySelectorAll(".sheet")) each.addEventListener("click", () => showSheet(each));
  on("closesheet", "click", () => showSheet(null));
  on("keyform", "submit", (event) => { event.preventDefault(); el("keybox").close(el("key").value.trim()); });
  on("nokey", "click", () => el("keybox").close(""));
  on("copysnippet", "click", () => copy(el("snippet").textContent));
  for (const kind of ["change", "input", "toggle"]) el("panel").addEventListener(kind, showSnippet, true);
  document.addEventListener("keydown", escape);
  window.addEventListener("hashchange", openLink);
  watch(showSnippet);
}

async function start() {
  const theme = recall("localStorage", "emotone-theme");
  if (["light", "dark"].includes(theme)) root.dataset.theme = theme;
  translate();
  showLanguage();
  api.onKey(askKey);
  wire();
  startMoods();
  startAuto();
  startEmpathy();
  startCompare();
  startChat((post) => { el("comparepost").value = post; showView("compare"); el("comparepost").focus(); });
  try {
    await awaitModels();
    state.models = await api.models();
    const limits = await api.limits();
    el("longest").max = limits.max_tokens;
    el("model").replaceChildren(...state.models.map((name) => make("option", { value: name }, name)));
    const linked = readFragment(location.hash).model;
    await chooseModel(state.models.includes(linked) ? linked : limits.default);
    await openLink();
  } catch (problem) {
    banner(api.sentence(problem));
  }
}

start();
