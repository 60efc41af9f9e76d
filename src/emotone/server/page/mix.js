// Mixes as text: `joy:60 + fear:20`, or a way `joy:0 -> joy:80 @ 24`. The grammar is that of
// emotone.emotions, and for ways that of emotone.server.moods.

const ARROW = "->";
const PLACE = "@";
const MOST_STATIONS = 8;
const OTHER_JOINT = /[,;、&|/]\s*(?![\d_])[\p{L}\p{N}_]|\d\s+(?![\d_])[\p{L}\p{N}_]/u;
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
 * `names` maps folded names to labels; throws MixProblem.
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
  return { stations: parts.map(([mix]) => readMix(mix, names, { graded, mixes })), places };
}

/** Throws MixProblem where the places of a way do not rise. */
export function checkPlaces(places) {
  const named = places.filter((place) => place !== null);
  if (named.length && places.length < 2) throw new MixProblem("noPlace");
  const first = places[0] === null && named[0] === 0;
  if (first || named.some((place, i) => i > 0 && place <= named[i - 1])) throw new MixProblem("notRising");
}

function readMix(text, names, { graded, mixes }) {
  const plain = text.normalize("NFKC").trim();
  if (plain === "none") return new Map();
  if (!plain || OTHER_JOINT.test(plain)) throw new MixProblem("unreadable", { text: plain });
  const mix = new Map();
  for (const piece of plain.replace(/:\s+/g, ":").split(/(?<!:)\+/)) {
    const [, name, value] = /^\s*([^:+]+?)\s*(?::\s*(\S.*?))?\s*$/.exec(piece) ?? [];
    if (!name) throw new MixProblem("unreadable", { text: plain });
    const label = names.get(folded(name));
    if (label === undefined) throw new MixProblem("unknownEmotion", { name });
    if (mix.has(label)) throw new MixProblem("twice", { name: label });
    if (value !== undefined && !NUMBER.test(value)) throw new MixProblem("noNumber", { name, value });
    const intensity = value === undefined ? 100 : Math.round(Number(value) * 1e4) / 1e4;
    if (Math.abs(intensity) > 100) throw new MixProblem("outOfRange", { name, value });
    if (!graded && intensity !== 100) throw new MixProblem("onlyFull", { name: label });
    mix.set(label, intensity);
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
