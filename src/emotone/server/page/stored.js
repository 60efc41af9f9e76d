// What the browser keeps; a private window may refuse, and then a choice lasts as long as the page.

/** Returns what is stored under a name, or null. */
export function recall(store, name) {
  try { return window[store].getItem(name); } catch { return null; }
}

/** Stores a value under a name; null forgets it. */
export function remember(store, name, value) {
  try {
    if (value === null) window[store].removeItem(name);
    else window[store].setItem(name, value);
  } catch { /* see above */ }
}
