// Moods as text: a mix `joy:60 + fear:20`, a point `valence:-40 arousal:70`, a way
// `joy:0 -> joy:80 @ 24`, or `auto:friend:80`. The grammar is that of emotone.emotions, and for ways
// that of emotone.server.moods.

import { AXES, nearest } from "./vad.js";

const ARROW = "->";
const PLACE = "@";
const MOST_STATIONS = 8;
const OTHER_JOINT = /[,;、&|/]\s*(?![\d_])[\p{L}\p{N}_]|\d\s+(?![\d_])[\p{L}\p{N}_]/u;
const NEXT_AXIS = new RegExp(`(?<=[\\d.])\\s+(?=(?:${AXES.join("|")})\\b)`, "giu");
const JOINT = /(?<!:)\+/;
export const POLICIES = ["friend", "soothe", "mirror", "cheer"];
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)$/;

/** Why a text is no mix: the key of a sentence, and what it names. */
export class MixProblem extends Error {
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** Returns a name as names are compared. */
export const folded = (text) => text.normalize("NFKC").trim().toLowerCase();

/**
 * Returns the mixes that a text writes, and their places in tokens, null for a station without one;
 * or {auto} where the post is to choose. `names` maps folded names to labels; throws MixProblem.
 */
export function readWay(text, names, { graded = true, mixes = true } = {}) {
  if (!text.trim()) return { stations: [new Map()], places: [null] };
  const parts = text.replaceAll("→", ARROW).split(ARROW).map((part) => part.split(PLACE));
  if (parts.length > MOST_STATIONS) throw new MixProblem("tooManyStations", { most: MOST_STATIONS });
  const places = parts.map(([, ...rest]) => {
    if (!rest.length) return null;
    if (!/^[0-9]{1,5}$/.test(rest.join(PLACE).trim())) throw new MixProblem("noPlace");
    return Number(rest[0]);
  });
  checkPlaces(places);
  const autos = parts.map(([mix]) => readAuto(mix));
  if (autos.some(Boolean)) {
    if (parts.length > 1) throw new MixProblem("autoAlone");
    return { auto: autos[0] };
  }
  return { stations: parts.map(([mix]) => readMix(mix, names, { graded, mixes })), places };
}

/** Throws MixProblem where the places of a way do not rise. */
export function checkPlaces(places) {
  const named = places.filter((place) => place !== null);
  if (named.length && places.length < 2) throw new MixProblem("noPlace");
  const first = places[0] === null && named[0] === 0;
  if (first || named.some((place, i) => i > 0 && place <= named[i - 1])) throw new MixProblem("notRising");
}

/** Returns {policy, intensity} of a text such as `auto`, `auto:60` or `auto:cheer:60`; null for any other. */
function readAuto(text) {
  const parts = text.normalize("NFKC").split(JOINT).map((part) => part.split(":").map(folded));
  if (!parts.some(([name]) => name === "auto")) return null;
  if (parts.length > 1) throw new MixProblem("autoAlone");
  const rest = parts[0].slice(1);
  const number = rest.length && !/^\p{L}+$/u.test(rest.at(-1)) ? rest.pop() : "100";
  const [policy = POLICIES[0], ...more] = rest;
  const right = !more.length && POLICIES.includes(policy) && NUMBER.test(number);
  if (!right || Number(number) < 0 || Number(number) > 100) throw new MixProblem("autoForm", { text: text.trim() });
  return { policy, intensity: Number(number) };
}

/** Returns the canonical text of a post that chooses. */
export const writeAuto = ({ policy, intensity }) => `auto:${policy}:${intensity}`;

function readMix(text, names, { graded, mixes }) {
  const plain = text.normalize("NFKC").trim().replace(NEXT_AXIS, " + ");
  if (plain === "none") return new Map();
  if (!plain || OTHER_JOINT.test(plain)) throw new MixProblem("unreadable", { text: plain });
  const mix = new Map();
  const point = new Map();
  for (const piece of plain.replace(/:\s+/g, ":").split(JOINT)) {
    const [, name, value] = /^\s*([^:+]+?)\s*(?::\s*(\S.*?))?\s*$/.exec(piece) ?? [];
    if (!name) throw new MixProblem("unreadable", { text: plain });
    const axis = AXES.find((each) => each === folded(name) && !names.has(each));
    const label = axis ?? names.get(folded(name));
    if (label === undefined) throw new MixProblem("unknownEmotion", { name });
    if (mix.has(label) || point.has(label)) throw new MixProblem("twice", { name: label });
    if (value !== undefined && !NUMBER.test(value)) throw new MixProblem("noNumber", { name, value });
    const intensity = value === undefined ? 100 : Math.round(Number(value) * 1e4) / 1e4;
    if (Math.abs(intensity) > 100) throw new MixProblem("outOfRange", { name, value });
    if (!axis && !graded && intensity !== 100) throw new MixProblem("onlyFull", { name: label });
    (axis ? point : mix).set(label, intensity);
  }
  if (point.size) {
    if (mix.size) throw new MixProblem("axisBeside");
    const near = nearest(point, [...new Set(names.values())], mixes ? 3 : 1);
    if (!near.size) throw new MixProblem("noneNear");
    return graded ? near : new Map([...near.keys()].map((label) => [label, 100]));
  }
  for (const [label, intensity] of mix) if (!intensity) mix.delete(label);
  if (!mixes && mix.size > 1) throw new MixProblem("onlyOne");
  return mix;
}

/** Returns the canonical text of a mix, labels in a model's order; "" for none. */
export function writeMix(mix, labels = [...mix.keys()]) {
  return labels.filter((label) => mix.get(label)).map((label) => `${label}:${mix.get(label)}`).join(" + ");
}

/** Returns the canonical text of a way; "" where it asks for nothing. */
export function writeWay(stations, labels, places = []) {
  const texts = stations.map((mix) => writeMix(mix, labels));
  if (!texts.some(Boolean) || texts.length < 2) return texts[0];
  const placed = (text, i) => (Number.isInteger(places[i]) ? `${text} ${PLACE} ${places[i]}` : text);
  return texts.map((text, i) => placed(text || "none", i)).join(` ${ARROW} `);
}

/** Returns what of a mix another model can be asked for; `card` is its answer of /v1/emotions. */
export function fitting(mix, card) {
  const labels = new Set((card?.data ?? []).map((row) => row.id));
  const parts = [...mix].filter(([label, value]) => labels.has(label) && value)
    .filter(([, value]) => card.mixes || value > 0);
  if (card?.mixes) return new Map(parts);
  const [most] = parts.sort((a, b) => b[1] - a[1]);
  return new Map(most ? [[most[0], card.graded ? most[1] : 100]] : []);
}
