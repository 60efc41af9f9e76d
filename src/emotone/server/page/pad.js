// The valence-arousal pad: a point that stands for a mix of nearby emotions.
// Source: in spirit the circumplex of Russell 1980; the numbers are our own.

import { paint } from "./colours.js";
import { el } from "./dom.js";
import { emotionName, say } from "./i18n.js";

/** Where emotions lie: label -> [valence, arousal], each from -1 to 1. */
export const PLACES = new Map(Object.entries({
  joy: [0.8, 0.5], love: [0.9, 0.2], calm: [0.6, -0.7], sadness: [-0.7, -0.5], anger: [-0.6, 0.8],
  fear: [-0.7, 0.7], disgust: [-0.7, 0.3], surprise: [0.1, 0.8], pride: [0.6, 0.4],
  gratitude: [0.8, -0.1], amusement: [0.7, 0.6], curiosity: [0.3, 0.4], hope: [0.6, 0.2],
  embarrassment: [-0.4, 0.3], loneliness: [-0.6, -0.4], jealousy: [-0.5, 0.5], boredom: [-0.4, -0.8],
  happiness: [0.8, 0.5], like: [0.9, 0.2],
}));

/** Inside of this radius the point means no emotion. */
const CENTRE = 0.08;
/** Radians that are added to each gap, so that an emotion straight ahead does not drown the next. */
const SOFT = 0.12;
const LEAST_SHARE = 0.2;
/** Intensities are multiples of this. */
const STEP = 5;

/** Returns the mix of the labels nearest to a point's direction, as strong as the point is far out. */
export function mixAt(valence, arousal, labels, most = 3) {
  const radius = Math.min(1, Math.hypot(valence, arousal));
  if (radius < CENTRE) return new Map();
  const direction = Math.atan2(arousal, valence);
  const near = labels.filter((label) => PLACES.has(label)).map((label) => {
    const [x, y] = PLACES.get(label);
    const gap = Math.abs(Math.atan2(y, x) - direction) % (2 * Math.PI);
    return [label, 1 / (Math.min(gap, 2 * Math.PI - gap) + SOFT)];
  }).sort((a, b) => b[1] - a[1]).slice(0, most);
  const sum = (pairs) => pairs.reduce((total, [, weight]) => total + weight, 0);
  const loud = near.filter(([, weight]) => weight >= LEAST_SHARE * sum(near));
  return new Map(loud
    .map(([label, weight]) => [label, STEP * Math.round((100 * radius * weight) / sum(loud) / STEP)])
    .filter(([, intensity]) => intensity));
}

/** Returns the point [valence, arousal] of a mix: the mean of its directions, as far out as it is strong. */
export function pointOf(mix) {
  let [x, y, total] = [0, 0, 0];
  for (const [label, intensity] of mix) {
    const [valence, arousal] = PLACES.get(label) ?? [0, 0];
    const length = Math.hypot(valence, arousal) || 1;
    x += (intensity * valence) / length;
    y += (intensity * arousal) / length;
    total += Math.abs(intensity);
  }
  return total ? [x, y].map((sum) => sum / Math.max(total, 100)) : [0, 0];
}

const KEYS = {
  ArrowLeft: ["pleasant", -5], ArrowRight: ["pleasant", 5], ArrowDown: ["energy", -5], ArrowUp: ["energy", 5],
};
const SVG = "http://www.w3.org/2000/svg";

/** Shows the labels of a model on the pad, the first ones with names; returns whether it knows some. */
export function drawPlaces(labels, named) {
  const known = labels.filter((label) => PLACES.has(label));
  el("places").replaceChildren(...known.map((label) => {
    const [x, y] = PLACES.get(label);
    const [group, dot, name, title] = ["g", "circle", "text", "title"]
      .map((tag) => document.createElementNS(SVG, tag));
    group.dataset.label = label;
    group.setAttribute("transform", `translate(${100 * x} ${-100 * y})`);
    dot.setAttribute("r", "4");
    name.setAttribute("x", x < 0.3 ? 7 : -7); // names stand towards the middle
    name.setAttribute("y", 4);
    name.setAttribute("text-anchor", x < 0.3 ? "start" : "end");
    group.classList.toggle("named", labels.indexOf(label) < named);
    for (const text of [name, title]) say(text, "name", { emotion: label });
    paint(group, label);
    group.append(title, dot, name);
    return group;
  }).reverse()); // the first ones lie on top
  return known.length > 1;
}

/** Moves the point to a mix, and names the emotions that are in it. */
export function showPoint(mix, point = pointOf(mix)) {
  const [x, y] = point.map((value) => Math.round(100 * value));
  el("point").setAttribute("cx", x);
  el("point").setAttribute("cy", -y);
  for (const group of [...el("places").children]) {
    if (group.classList.toggle("on", mix.has(group.dataset.label))) el("places").append(group);
  }
  const parts = [...mix].map(([label, intensity]) => `${emotionName(label)} ${intensity}`);
  for (const [id, value] of [["pleasant", x], ["energy", y]]) {
    el(id).value = value;
    el(id).setAttribute("aria-valuetext", [value, ...parts].join(", "));
  }
}

/** Calls `moved(valence, arousal)` when the point is moved by pointer or keys. */
export function listenToPad(moved) {
  const field = el("field");
  const follow = (event) => {
    const box = field.getBoundingClientRect();
    const half = (box.width / 2) * (100 / 110);
    const [x, y] = [event.clientX - box.left - box.width / 2, box.top + box.height / 2 - event.clientY];
    const [valence, arousal] = [x / half, y / half];
    const far = Math.max(1, Math.hypot(valence, arousal));
    moved(valence / far, arousal / far);
  };
  field.addEventListener("pointerdown", (event) => {
    field.setPointerCapture(event.pointerId);
    el("pleasant").focus({ preventScroll: true });
    event.preventDefault();
    follow(event);
  });
  field.addEventListener("pointermove", (event) => {
    if (field.hasPointerCapture(event.pointerId)) follow(event);
  });
  const keys = () => moved(el("pleasant").valueAsNumber / 100, el("energy").valueAsNumber / 100);
  for (const id of ["pleasant", "energy"]) {
    el(id).addEventListener("input", keys);
    el(id).addEventListener("keydown", (event) => {
      const [axis, step] = KEYS[event.key] ?? [];
      if (!axis) return;
      event.preventDefault();
      el(axis).value = el(axis).valueAsNumber + step;
      keys();
    });
  }
}
