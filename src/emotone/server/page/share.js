// The state in a link's fragment, which no server sees; opening it fills the page and sends nothing.

const FIELDS = ["model", "mix", "empathy", "seed", "post"];
const MOST = 8000;

/** Returns a fragment that holds those of the fields that are not empty. */
export function fragmentOf(values) {
  const pairs = FIELDS.filter((name) => values[name]).map((name) => [name, values[name].slice(0, MOST)]);
  return `#${new URLSearchParams(pairs)}`;
}

/** Returns the fields of a fragment; "" for what it does not name. */
export function readFragment(fragment) {
  const pairs = new URLSearchParams(fragment.replace(/^#/, ""));
  return Object.fromEntries(FIELDS.map((name) => [name, (pairs.get(name) ?? "").slice(0, MOST)]));
}
