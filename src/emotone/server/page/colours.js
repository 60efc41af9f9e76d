// A hue and a kind of underline for each emotion, so that no two are told apart by colour alone.

const LINES = ["solid", "dotted", "dashed", "wavy", "double"];
// label -> [hue in degrees of OKLCH, chroma, underline]
const LOOKS = new Map(Object.entries({
  anger: [27, 0.17, 0], disgust: [130, 0.13, 1], fear: [305, 0.15, 2], joy: [92, 0.15, 0],
  sadness: [255, 0.14, 0], surprise: [62, 0.15, 3], love: [2, 0.15, 4], calm: [185, 0.1, 2],
  pride: [48, 0.14, 1], gratitude: [150, 0.12, 0], amusement: [78, 0.15, 4],
  curiosity: [220, 0.12, 3], hope: [165, 0.12, 1], embarrassment: [345, 0.13, 2],
  loneliness: [278, 0.13, 1], jealousy: [112, 0.14, 4], boredom: [250, 0.03, 2],
  happiness: [92, 0.15, 0], like: [2, 0.15, 4], neutral: [250, 0.01, 0], other: [250, 0.01, 0],
}));

/** Returns [hue, chroma, underline] of a label; unknown ones get theirs from their letters. */
function look(label) {
  if (LOOKS.has(label)) return LOOKS.get(label);
  let sum = 7;
  for (const letter of label) sum = (sum * 31 + letter.codePointAt(0)) % 3600;
  return [sum % 360, 0.14, sum % LINES.length];
}

/** Gives an element the colour of a label; `strength` from 0 to 1. */
export function paint(element, label, strength = 1) {
  const [hue, chroma, line] = look(label);
  element.style.setProperty("--hue", hue);
  element.style.setProperty("--chroma", chroma);
  element.style.setProperty("--strength", strength.toFixed(3));
  element.style.setProperty("--under", LINES[line]);
}
