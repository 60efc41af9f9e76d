// One post, answered side by side: by several systems, or in several intensities of one emotion.

import { card, sentence, write } from "./api.js";
import { announce, banner, chip, el, emotionOf, make, small } from "./dom.js";
import { factsOf } from "./facts.js";
import { say, t } from "./i18n.js";
import { fitting, writeWay } from "./mix.js";
import { autoOn, bodyOf, hears, labelsOf, mixText, seedAsked } from "./request.js";
import { state, watch } from "./state.js";

const STEPS = [0, 25, 50, 75, 100];
const MOST = 4;
let running = null;

/** Tells whether replies are being written. */
export const comparing = () => running !== null;

/** Ends them. */
export const stopComparing = () => running?.abort();

const kind = () => el("ways").querySelector("input:checked").value;
const picked = (id) => [...el(id).querySelectorAll("input:checked")].map((box) => box.value);

/** Returns what each column asks: {name (an element), model, card, mix}. */
async function columns() {
  if (kind() === "intensities") {
    const label = el("compared").value;
    return picked("steps").map((step) => {
      const some = Number(step) > 0;
      const name = make("h2", {}, some ? emotionOf(label) : say(make("span"), "none"), some ? ` ${step}` : null);
      return { name, model: state.model, card: state.card, mix: some ? `${label}:${step}` : "" };
    });
  }
  return Promise.all(picked("rivals").map(async (model) => {
    const own = model === state.model ? state.card : await card(model);
    if (autoOn()) return { name: make("h2", {}, model), model, card: own, mix: hears(own) ? mixText() : "" };
    const stations = state.stations.map((mix) => fitting(mix, own)).slice(own.vectors ? 0 : -1);
    const mix = writeWay(stations, labelsOf(own), state.places);
    return { name: make("h2", {}, model), model, card: own, mix };
  }));
}

async function fill(column, post, seed, signal) {
  const text = make("div", { class: "text" });
  const foot = make("div", {}, small("waiting", "writingNow"));
  const mood = column.mix ? make("p", { class: "small" }, column.mix) : null;
  const article = make("article", { "aria-busy": "true" }, column.name, mood, text, foot);
  el("columns").append(article);
  const began = performance.now();
  try {
    const body = bodyOf([{ role: "user", content: post }], { ...column, seed, stream: false, meter: false });
    const reply = await write(body, { signal });
    reply.seconds = Math.round((performance.now() - began) / 100) / 10;
    text.textContent = reply.text;
    foot.replaceChildren(...factsOf(reply, column.mix));
  } catch (error) {
    const problem = signal.aborted ? t("stopped") : sentence(error);
    foot.replaceChildren(make("p", { class: "small problem" }, problem));
  }
  article.removeAttribute("aria-busy");
}

async function run() {
  const post = el("comparepost").value.trim();
  if (running || !state.card) return;
  const own = running = new AbortController();
  showRunning();
  try {
    const seed = seedAsked() ?? Math.floor(Math.random() * 2 ** 31); // the same for all
    const asked = await columns();
    if (!post || !asked.length) throw new Error(t(post ? "pick" : "writePost"));
    banner("");
    el("columns").replaceChildren();
    await Promise.all(asked.map((column) => fill(column, post, seed, own.signal)));
    announce(t("compared", { n: asked.length }));
  } catch (error) {
    banner(sentence(error));
  }
  running = null;
  showRunning();
}

function showRunning() {
  el("comparestop").hidden = !running;
  el("go").hidden = Boolean(running);
}

/** Builds the choices for the models and the emotions that are there. */
export function buildChoices() {
  const labels = labelsOf(state.card);
  const asked = [el("compared").value, ...state.stations.at(-1).keys(), "joy", labels[0]];
  el("compared").replaceChildren(...labels.map((label) => emotionOf(label, "option", { value: label })));
  el("compared").value = asked.find((label) => labels.includes(label)) ?? "";
  const steps = state.card?.graded ? STEPS : [STEPS[0], STEPS.at(-1)];
  offer("rivals", state.models, [...new Set([state.model, ...state.models])].slice(0, 2));
  offer("steps", steps.map(String), ["0", "50", "100"]);
  el("ways").querySelector("[value=intensities]").disabled = !labels.length;
  if (!labels.length) el("ways").querySelector("[value=models]").checked = true;
  choose();
}

/** Offers choices; what was picked before stays so, and at first some are. */
function offer(id, values, first) {
  const before = picked(id).length ? picked(id) : first;
  el(id).replaceChildren(...values.map((value) => chip("checkbox", id, value, value, before.includes(value))));
}

function choose() {
  el("intensities").hidden = kind() !== "intensities";
  el("systems").hidden = kind() !== "models";
  for (const id of ["steps", "rivals"]) {
    const full = picked(id).length >= MOST;
    for (const box of el(id).querySelectorAll("input")) box.disabled = full && !box.checked;
  }
}

/** Wires the view. */
export function startCompare() {
  watch(() => {
    const last = state.turns.findLast((turn) => turn.role === "user");
    if (!el("comparepost").value && last) el("comparepost").value = last.content;
  });
  el("comparing").addEventListener("change", choose);
  el("comparing").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  el("comparestop").addEventListener("click", stopComparing);
}
