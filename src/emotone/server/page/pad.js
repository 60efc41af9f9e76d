// The valence-arousal pad: a point that stands for the mix that lies nearest.

import { paint } from "./colours.js";
import { el } from "./dom.js";
import { emotionName, say } from "./i18n.js";
import { coordinates, placesOf } from "./vad.js";

const KEYS = {
  ArrowLeft: ["pleasant", -5], ArrowRight: ["pleasant", 5], ArrowDown: ["energy", -5], ArrowUp: ["energy", 5],
};
const SVG = "http://www.w3.org/2000/svg";

/** Shows the labels of a model on the pad, the first ones with names; returns whether it knows some. */
export function drawPlaces(labels, named) {
  const places = placesOf(labels);
  const known = labels.filter((label) => places.has(label));
  el("places").replaceChildren(...known.map((label) => {
    const [x, y] = places.get(label);
    const [group, dot, name, title] = ["g", "circle", "text", "title"]
      .map((tag) => document.createElementNS(SVG, tag));
    group.dataset.label = label;
    group.setAttribute("transform", `translate(${x} ${-y})`);
    dot.setAttribute("r", "4");
    name.setAttribute("x", x < 30 ? 7 : -7); // names stand towards the middle
    name.setAttribute("y", 4);
    name.setAttribute("text-anchor", x < 30 ? "start" : "end");
    group.classList.toggle("named", labels.indexOf(label) < named);
    for (const text of [name, title]) say(text, "name", { emotion: label });
    paint(group, label);
    group.append(title, dot, name);
    return group;
  }).reverse()); // the first ones lie on top
  return known.length > 1;
}

/** Moves the point to a mix of a model's labels, and names the emotions that are in it. */
export function showPoint(mix, labels, point = coordinates(mix, labels)) {
  const [x, y] = point.map(Math.round);
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

/** Calls `moved(valence, arousal)`, -100 to 100, when the point is moved by pointer or keys. */
export function listenToPad(moved) {
  const field = el("field");
  const follow = (event) => {
    const box = field.getBoundingClientRect();
    const half = box.width / 220;
    const [x, y] = [event.clientX - box.left - box.width / 2, box.top + box.height / 2 - event.clientY];
    const [valence, arousal] = [x / half, y / half];
    const far = Math.max(1, Math.hypot(valence, arousal) / 100);
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
  const keys = () => moved(el("pleasant").valueAsNumber, el("energy").valueAsNumber);
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
