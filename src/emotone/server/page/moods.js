// The mood panel: sliders or chips for a model's emotions, the pad, and the mix as text.

import { paint } from "./colours.js";
import { chip, copy, el, emotionOf, make } from "./dom.js";
import { chineseNames, say, t } from "./i18n.js";
import { checkPlaces, fitting, folded, MixProblem, readWay } from "./mix.js";
import { drawPlaces, listenToPad, showPoint } from "./pad.js";
import { hears, labelsOf, mixText } from "./request.js";
import { changed, state, watch } from "./state.js";
import { EMOTIONS, nearest } from "./vad.js";

/** As many emotions stand in sight; a model's further ones are folded away. */
const IN_SIGHT = 7;
const byFame = (labels) => [...EMOTIONS.filter((label) => labels.includes(label)),
  ...labels.filter((label) => !EMOTIONS.includes(label))];
/** So near to its middle the pad means no emotion. */
const CENTRE = 8;
let rows = new Map(); // label -> what shows its intensity
let held; // the point while the pad moves it
let typing = false; // whether the text is what changes the mix

const mixNow = () => state.stations[state.at];

function setMix(mix) {
  state.stations[state.at] = mix;
  changed();
}

function setStations(stations, places = stations.map(() => null)) {
  state.stations = stations;
  state.places = places;
}

/** Sets an intensity; where a model takes no mixes, the other emotions go. */
function setPart(label, value) {
  const mix = new Map(state.card.mixes ? mixNow() : []);
  if (value) mix.set(label, value);
  else mix.delete(label);
  setMix(mix);
}

function sliderOf(row) {
  const label = String(row.id);
  const least = state.card.mixes ? row.range[0] : 0;
  const slider = make("input", { type: "range", min: least, max: row.range[1], step: 1 });
  const output = make("output");
  const zero = make("button", { type: "button", class: "zero" }, "0");
  say(slider, "name", { emotion: label }, "tLabel");
  say(zero, "reset", { emotion: label }, "tLabel");
  slider.addEventListener("input", () => setPart(label, slider.valueAsNumber));
  slider.addEventListener("dblclick", () => setPart(label, 0));
  slider.addEventListener("keydown", (event) => { if (event.key === "0") setPart(label, 0); });
  zero.addEventListener("click", () => { setPart(label, 0); slider.focus(); });
  const name = emotionOf(label, "span", { class: "name" });
  const line = make("div", { class: "slider" }, name, slider, output, zero);
  if (row.calibrated === false) say(line, "uncalibrated", null, "tTitle").classList.add("guessed");
  paint(line, label);
  rows.set(label, (value) => {
    const at = (place) => `${(100 * (place - least)) / (row.range[1] - least)}%`;
    slider.value = value;
    line.style.setProperty("--from", at(Math.min(0, value)));
    line.style.setProperty("--to", at(Math.max(0, value)));
    output.textContent = value;
    zero.classList.toggle("off", !value);
  });
  return line;
}

function chipsOf(labels) {
  const group = make("fieldset", { class: "chips" }, say(make("legend"), "chooseOne"));
  for (const label of [null, ...labels]) {
    const one = chip("radio", "class", label, label === null ? say(make("span"), "plain") : emotionOf(label));
    const radio = one.firstElementChild;
    radio.addEventListener("change", () => setMix(new Map(label === null ? [] : [[label, 100]])));
    rows.set(label, (value) => { radio.checked = label === null ? !mixNow().size : Boolean(value); });
    group.append(one);
  }
  return group;
}

/** Builds the panel for the chosen model, and keeps of the mix what that model takes. */
export function buildMoods() {
  const { card } = state;
  const labels = labelsOf(card);
  if (!card?.vectors) setStations(state.stations.slice(-1));
  state.stations = state.stations.map((mix) => fitting(mix, card));
  state.at = Math.min(state.at, state.stations.length - 1);
  rows = new Map();
  el("emotions").replaceChildren();
  if (card?.graded) {
    const sliders = byFame(labels).map((label) => sliderOf(card.data.find((row) => row.id === label)));
    const summary = say(make("summary"), "more", { n: sliders.length - IN_SIGHT });
    el("emotions").append(...sliders.slice(0, IN_SIGHT));
    if (sliders.length > IN_SIGHT) {
      el("emotions").append(make("details", { id: "further" }, summary, ...sliders.slice(IN_SIGHT)));
    }
  } else if (labels.length) el("emotions").append(chipsOf(labels));
  el("moods").hidden = el("zero").hidden = !labels.length;
  el("waybox").hidden = !card?.vectors;
  el("mix").placeholder = card?.mixes ? "joy:60 + fear:20" : labels[0] ?? "";
  el("pad").hidden = !drawPlaces(byFame(labels), IN_SIGHT);
  changed();
}

function showNote() {
  const { card } = state;
  const names = new Intl.DisplayNames(document.documentElement.lang, { type: "language" });
  const named = (code) => { try { return names.of(code); } catch { return String(code); } };
  const languages = (card?.languages ?? []).map(named).join(", ");
  el("modelnote").textContent = !card ? "" : [
    !card.data.length && t("noEmotion"), card.data.length && !card.graded && t("classes"),
    !card.history && t("lastOnly"), languages && t("reads", { languages }),
  ].filter(Boolean).join(" ");
}

function showStations() {
  const group = el("stations");
  const last = state.stations.length - 1;
  el("way").checked = last > 0;
  group.hidden = last === 0;
  if (group.children.length !== last + 2) {
    group.replaceChildren(group.firstElementChild, ...state.stations.map((_, i) => {
      const key = { 0: "start", [last]: "end" }[i];
      const one = chip("radio", "station", i, key ? say(make("span"), key) : String(i + 1));
      one.firstElementChild.addEventListener("change", () => { state.at = i; changed(); });
      return one;
    }));
  }
  for (const radio of group.querySelectorAll("input")) radio.checked = Number(radio.value) === state.at;
  el("placebox").hidden = last === 0;
  if (document.activeElement !== el("place")) el("place").value = state.places[state.at] ?? "";
}

/** Takes the token at which the shown station is reached; returns the sentence of what is wrong. */
function takePlace() {
  const place = el("place").value === "" ? null : el("place").valueAsNumber;
  const places = state.places.with(state.at, place);
  try {
    if (!el("place").validity.valid) throw new MixProblem("noPlace");
    checkPlaces(places);
  } catch (problem) {
    return t(problem.key);
  }
  state.places = places;
  changed();
  return "";
}

function show() {
  const mix = mixNow();
  for (const [label, set] of rows) set(mix.get(label) ?? 0);
  if (el("further")?.querySelector(".zero:not(.off)")) el("further").open = true;
  showPoint(mix, labelsOf(state.card), held);
  showStations();
  showNote();
  if (!typing) {
    el("mix").value = mixText();
    el("mixproblem").textContent = "";
  }
  const short = state.card?.data.length ? mixText() || t("plain") : "";
  for (const text of document.querySelectorAll(".sheet b")) text.textContent = short;
}

/** Takes a text as the mix; returns the sentence of what is wrong with it, "" for nothing. */
export function takeText(text) {
  const labels = labelsOf(state.card);
  const aliases = (state.card?.data ?? []).flatMap((row) => (row.aliases ?? []).map((alias) => [alias, row.id]));
  const names = new Map(labels.map((label) => [folded(label), label]));
  for (const [name, label] of [...aliases, ...chineseNames()]) {
    if (labels.includes(label) && !names.has(folded(name))) names.set(folded(name), label);
  }
  try {
    const { auto, stations, places } = readWay(text, names, state.card ?? {});
    if (auto && !hears(state.card)) throw new MixProblem("noEars");
    if (stations?.length > 1 && !state.card?.vectors) throw new MixProblem("noWay");
    state.auto = { ...state.auto, ...auto, on: Boolean(auto) };
    if (stations) setStations(stations, places);
  } catch (problem) {
    if (!(problem instanceof MixProblem)) throw problem;
    return t(problem.key, problem.values);
  }
  state.at = Math.min(state.at, state.stations.length - 1);
  changed();
  return "";
}

/** Wires the panel. */
export function startMoods() {
  watch(show);
  listenToPad((valence, arousal) => {
    held = [valence, arousal];
    const near = nearest(new Map(Object.entries({ valence, arousal })), labelsOf(state.card), state.card.mixes ? 3 : 1);
    const far = Math.hypot(valence, arousal) >= CENTRE;
    setMix(far ? fitting(near, state.card) : new Map());
    if (far && !near.size) el("mixproblem").textContent = t("noneNear");
    held = undefined;
  });
  el("mix").addEventListener("input", () => {
    typing = true;
    el("mixproblem").textContent = takeText(el("mix").value);
    typing = false;
  });
  el("mix").addEventListener("change", () => {
    if (!el("mixproblem").textContent) el("mix").value = mixText();
  });
  el("copymix").addEventListener("click", () => copy(mixText()));
  el("place").addEventListener("input", () => { el("mixproblem").textContent = takePlace(); });
  el("zero").addEventListener("click", () => { takeText(""); });
  el("way").addEventListener("change", () => {
    setStations(el("way").checked ? [mixNow(), new Map(mixNow())] : [mixNow()]);
    state.at = state.stations.length - 1;
    changed();
  });
}
