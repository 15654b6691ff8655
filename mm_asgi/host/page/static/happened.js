// The log, the hooks and the API calls: what came is kept in rings, and shown once a frame.

import { byId, clock, element } from "./dom.js";

const KEPT = 1000;
const SHOWN = 400;
const LEVELS = ["trace", "debug", "info", "warn", "error"];

const OUTCOMES = {
  ok: ["let through", "good"],
  changed: ["changed", "info"],
  answered: ["answered", "good"],
  rejected: ["rejected", "warn"],
  dismissed: ["dismissed", "warn"],
  failed: ["failed", "bad"],
  overran: ["overran", "bad"],
};

// What the plugin logged as errors, by request: a hook that fails inside answers the host as if all
// were well, and only the log tells.
const faults = new Map();

export function noteFault(line) {
  if (line.level !== "error" || !line.request) return false;
  faults.set(line.request, [...(faults.get(line.request) ?? []), line.message]);
  if (faults.size > 200) faults.delete(faults.keys().next().value);
  return true;
}

function faultOf(hook) {
  const name = hook.name.replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
  return hook.action && faults.get(hook.action)?.find((message) => message.includes(name));
}

export function hookBadge(hook) {
  let [word, look] = OUTCOMES[hook.outcome];
  // Nothing can be let through by a hook that only tells.
  if (hook.outcome === "ok" && !hook.name.includes("Will")) word = "done";
  if (hook.outcome === "ok" && faultOf(hook)) [word, look] = OUTCOMES.failed;
  return element("span", { class: `badge ${look}` }, word);
}

export function hookText(hook) {
  return hook.text || faultOf(hook) || "";
}

export function duration(milliseconds) {
  const text = milliseconds < 10000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
  return element("span", { class: "ms" }, text);
}

export function changes(hook) {
  return hook.changes.map((change) =>
    element(
      "dl",
      { class: "change" },
      element("dt", {}, `${change.field} before`),
      element("dd", {}, change.before ? element("del", {}, change.before) : "empty"),
      element("dt", {}, "after"),
      element("dd", {}, change.after ? element("ins", {}, change.after) : "empty"),
    ),
  );
}

function hookCard(hook) {
  return element(
    "li",
    {},
    element(
      "div",
      { class: "card-head" },
      element("span", { class: "name" }, hook.name),
      hookBadge(hook),
      duration(hook.ms),
      clock(hook.time),
    ),
    hookText(hook) ? element("p", { class: "said" }, hookText(hook)) : "",
    ...changes(hook),
    hook.arguments ? element("p", { class: "arguments" }, hook.arguments) : "",
  );
}

function callCard(call) {
  const failed = call.code === "OK" ? "failed" : call.code;
  return element(
    "li",
    {},
    element(
      "div",
      { class: "card-head" },
      element("span", { class: "name" }, call.name),
      element("span", { class: call.ok ? "badge good" : "badge bad" }, call.ok ? "OK" : failed),
      duration(call.ms),
      clock(call.time),
    ),
    call.error ? element("p", { class: "said" }, call.error) : "",
    call.arguments ? element("p", { class: "arguments" }, call.arguments) : "",
  );
}

function logLine(line) {
  const asker = [line.user, line.request.slice(0, 8)].filter(Boolean).join(" ");
  const origin = line.source === "plugin" ? line.module : [line.source, line.module].filter(Boolean).join(" ");
  return element(
    "li",
    { class: line.level },
    clock(line.time),
    " ",
    element("span", { class: "level" }, line.level.toUpperCase()),
    " ",
    asker ? element("span", { class: "asker" }, `[${asker}] `) : "",
    origin ? element("span", { class: "origin" }, `${origin}: `) : "",
    line.message,
    line.fields ? element("span", { class: "facts" }, `  ${line.fields}`) : "",
    line.below ? below(line.below) : "",
  );
}

function below(text) {
  const rows = text.split("\n").length;
  const name = text.includes("Traceback (") ? "Traceback" : "More";
  return element(
    "details",
    {},
    element("summary", {}, `${name}, ${rows} ${rows === 1 ? "line" : "lines"}`),
    element("pre", {}, text),
  );
}

// A ring of records and the list that shows its latest; newest first, or, for a log, last.
class Shown {
  constructor({ list, empty, tab, make, newestFirst, counts, wanted }) {
    Object.assign(this, { list, empty, tab, make, newestFirst, counts, wanted });
    this.records = [];
    this.fresh = [];
    this.unseen = 0;
    this.asked = false;
  }

  replace(records) {
    this.records = records.slice(-KEPT);
    this.unseen = 0;
    this.redraw();
  }

  redraw() {
    this.list.replaceChildren();
    this.fresh = this.records;
    this.draw();
  }

  add(record) {
    this.records.push(record);
    if (this.records.length > KEPT * 1.2) this.records = this.records.slice(-KEPT);
    if (this.counts(record)) this.unseen += 1;
    this.fresh.push(record);
    // A tab in the background draws nothing: no more is kept for it than is shown.
    if (this.fresh.length > KEPT * 1.2) this.fresh = this.fresh.slice(-KEPT);
    if (!this.asked) {
      this.asked = true;
      requestAnimationFrame(() => {
        this.asked = false;
        this.draw();
      });
    }
  }

  draw() {
    const made = this.fresh.filter(this.wanted).slice(-SHOWN).map(this.make);
    this.fresh = [];
    if (this.newestFirst) this.list.prepend(...made.reverse());
    else this.list.append(...made);
    while (this.list.children.length > SHOWN) {
      (this.newestFirst ? this.list.lastChild : this.list.firstChild).remove();
    }
    this.empty.hidden = this.list.children.length > 0;
    this.count();
    this.drawn?.();
  }

  count() {
    if (this.tab.getAttribute("aria-selected") === "true") this.unseen = 0;
    const badge = this.tab.querySelector(".count");
    const text = this.unseen ? String(Math.min(this.unseen, 999)) : "";
    if (badge.textContent !== text) badge.textContent = text;
  }
}

function makeLog() {
  const scroll = byId("log-scroll");
  const level = byId("level");
  const filter = byId("log-filter");
  const follow = byId("log-follow");
  const log = new Shown({
    list: byId("log-lines"),
    empty: byId("log-empty"),
    tab: byId("tab-log"),
    make: logLine,
    newestFirst: false,
    counts: (line) => line.level === "error",
    wanted: (line) => {
      const words = filter.value.trim().toLowerCase();
      if (LEVELS.indexOf(line.level) < LEVELS.indexOf(level.value)) return false;
      return !words || `${line.source} ${line.module} ${line.user} ${line.message} ${line.fields} ${line.below}`
        .toLowerCase().includes(words);
    },
  });
  let following = true;
  const toEnd = () => {
    scroll.scrollTop = scroll.scrollHeight;
  };
  log.drawn = () => {
    if (following) toEnd();
    follow.hidden = following;
  };
  scroll.addEventListener("scroll", () => {
    // A hidden panel has no height, and says nothing about what its reader wants.
    if (!scroll.clientHeight) return;
    following = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
    follow.hidden = following;
  });
  follow.addEventListener("click", () => {
    following = true;
    toEnd();
    scroll.focus();
  });
  log.shown = () => following && toEnd();
  level.addEventListener("change", () => log.redraw());
  filter.addEventListener("input", () => log.redraw());
  return log;
}

const everything = () => true;

export const log = makeLog();
export const hooks = new Shown({
  list: byId("hooks-list"),
  empty: byId("hooks-empty"),
  tab: byId("tab-hooks"),
  make: hookCard,
  newestFirst: true,
  counts: everything,
  wanted: everything,
});
export const calls = new Shown({
  list: byId("calls-list"),
  empty: byId("calls-empty"),
  tab: byId("tab-calls"),
  make: callCard,
  newestFirst: true,
  counts: everything,
  wanted: everything,
});
