// Elements from text. Nothing here or elsewhere reads HTML: what a plugin, a user or a log says is
// only ever a text node.

export const byId = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== "" && child !== null));
  return made;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export function clock(milliseconds) {
  const date = new Date(milliseconds);
  return element("time", { datetime: date.toISOString(), title: date.toLocaleString() }, CLOCK.format(date));
}

// At most once a while, and always once more after the last wish.
export function paced(act, wait) {
  let timer = 0;
  let wished = false;
  const run = () => {
    wished = false;
    timer = setTimeout(() => {
      timer = 0;
      if (wished) run();
    }, wait);
    act();
  };
  return () => {
    wished = true;
    if (!timer) run();
  };
}

export async function ask(path, body) {
  const request =
    body === undefined
      ? {}
      : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw new Error("The host does not answer. Does mm-asgi dev still run?");
  }
  const facts = await answer.json();
  if (!answer.ok) throw new Error(facts.error);
  return facts;
}
