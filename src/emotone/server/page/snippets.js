// A request as code that asks the same. Every text is a JSON literal, which Python and JavaScript
// read alike; for a shell it stands in single quotes.

const KNOWN = new Set(["model", "messages", "seed", "temperature", "max_tokens", "stream", "stream_options"]);
const WORDS = new Map([["true", "True"], ["false", "False"], ["null", "None"]]);

/** Returns a text as one word of a POSIX shell. */
export const shellWord = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Returns a value as a literal of Python. */
export function pythonLiteral(value, indent = "") {
  const inner = `${indent}    `;
  if (Array.isArray(value)) {
    return `[\n${value.map((item) => `${inner}${pythonLiteral(item, inner)},\n`).join("")}${indent}]`;
  }
  if (value !== null && typeof value === "object") {
    const items = Object.entries(value)
      .map(([name, item]) => `${JSON.stringify(name)}: ${pythonLiteral(item, inner)}`);
    return `{${items.join(", ")}}`;
  }
  const text = JSON.stringify(value);
  return WORDS.get(text) ?? text;
}

/** Returns a call of curl; `keyed` takes the key from the environment. */
export function curl(body, base, keyed) {
  const flags = [
    `curl ${body.stream ? "-N " : ""}${shellWord(`${base}/chat/completions`)}`,
    `-H 'Content-Type: application/json'`,
    ...(keyed ? ['-H "Authorization: Bearer $EMOTONE_API_KEY"'] : []),
    `-d ${shellWord(JSON.stringify(body, null, 2))}`,
  ];
  return flags.join(" \\\n  ");
}

/** Returns a program of Python with the package openai. */
export function python(body, base, keyed) {
  const fields = Object.entries(body);
  const more = Object.fromEntries(fields.filter(([name]) => !KNOWN.has(name)));
  const lines = fields.filter(([name]) => KNOWN.has(name))
    .map(([name, value]) => `    ${name}=${pythonLiteral(value, "    ")},\n`);
  if (Object.keys(more).length) lines.push(`    extra_body=${pythonLiteral(more, "    ")},\n`);
  const show = body.stream
    ? "for chunk in answer:\n    if chunk.choices:\n"
      + '        print(chunk.choices[0].delta.content or "", end="", flush=True)\n'
    : "print(answer.choices[0].message.content)\n";
  const key = keyed ? 'os.environ["EMOTONE_API_KEY"]' : '"none"';
  return `${keyed ? "import os\n\n" : ""}from openai import OpenAI\n\n`
    + `client = OpenAI(base_url=${pythonLiteral(base)}, api_key=${key})\n`
    + `answer = client.chat.completions.create(\n${lines.join("")})\n${show}`;
}

/** Returns a module of JavaScript with the package openai, which passes unknown fields on. */
export function javascript(body, base, keyed) {
  const key = keyed ? "process.env.EMOTONE_API_KEY" : '"none"';
  const show = body.stream
    ? 'for await (const chunk of answer) {\n  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");\n}\n'
    : "console.log(answer.choices[0].message.content);\n";
  return `import OpenAI from "openai";\n\n`
    + `const client = new OpenAI({ baseURL: ${JSON.stringify(base)}, apiKey: ${key} });\n`
    + `const answer = await client.chat.completions.create(${JSON.stringify(body, null, 2)});\n${show}`;
}
