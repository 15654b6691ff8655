// The page: live events in, panels and tabs out.

import { byId, paced } from "./dom.js";
import { calls, hooks, log, noteFault } from "./happened.js";
import * as messages from "./messages.js";

const TABS = ["messages", "log", "hooks", "calls"];
const LISTS = { log, hooks, calls };
const WIDE = matchMedia("(min-width: 60rem)");
const STATES = {
  starting: "starting",
  restarting: "restarting",
  running: "running",
  failed: "failed",
  lost: "no connection to the host",
};

const SAID = {
  starting: "The plugin is starting",
  restarting: "The plugin is restarting",
  running: "The plugin is running",
  failed: "The plugin has failed",
  lost: "There is no connection to the host",
};

// ------------------------------------------------------------------ tabs

let chosen = WIDE.matches ? "log" : "messages";

function choose(name) {
  chosen = name;
  for (const tab of TABS) {
    const selected = tab === name;
    const button = byId(`tab-${tab}`);
    button.setAttribute("aria-selected", String(selected));
    button.tabIndex = selected ? 0 : -1;
    byId(tab).hidden = !selected && !(tab === "messages" && WIDE.matches);
  }
  // Beside the others on a wide screen, one of them on a narrow one.
  byId("messages").setAttribute("role", WIDE.matches ? "region" : "tabpanel");
  LISTS[name]?.count();
  LISTS[name]?.shown?.();
}

function startTabs() {
  const visible = () => TABS.filter((tab) => tab !== "messages" || !WIDE.matches);
  for (const tab of TABS) byId(`tab-${tab}`).addEventListener("click", () => choose(tab));
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    const tabs = visible();
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -tabs.indexOf(chosen), End: -1 - tabs.indexOf(chosen) };
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(tabs.at((tabs.indexOf(chosen) + steps[event.key]) % tabs.length));
    byId(`tab-${chosen}`).focus();
  });
  const adapt = () => choose(WIDE.matches && chosen === "messages" ? "log" : chosen);
  WIDE.addEventListener("change", adapt);
  adapt();
}

// ------------------------------------------------------------------ what is said aloud, and when

let errors = 0;

const announceErrors = paced(() => {
  if (errors) announce(errors === 1 ? "One error in the log" : `${errors} errors in the log`);
  errors = 0;
}, 5000);

function announce(text) {
  byId("announcer").textContent = text;
}

function complain(error) {
  byId("note").hidden = !error;
  byId("note").textContent = error ? error.message : "";
}

// ------------------------------------------------------------------ the plugin's state

let shownState = "";

function showState(facts) {
  const text = STATES[facts.state];
  byId("state").dataset.state = facts.state;
  byId("state-text").textContent = facts.pid ? `${text}, pid ${facts.pid}` : text;
  byId("failure").hidden = facts.state !== "failed";
  byId("failure-text").textContent = facts.reason ?? "";
  document.title = `${text}: ${byId("plugin-id").textContent}`;
  if (facts.hooks) {
    const count = facts.hooks.length;
    byId("hooks-listed").textContent = count ? `${count} implemented` : "";
    byId("hooks-listed").title = facts.hooks.join(", ");
  }
  if (shownState && shownState !== facts.state) announce(SAID[facts.state]);
  if (shownState !== facts.state) messages.refresh();
  shownState = facts.state;
}

// ------------------------------------------------------------------ live events

const POSTS = /^(posted|post_|ephemeral_message|reaction_)/;
const READS = /^(Get|KV|Log|Search|Has|Is|PublishWebSocketEvent)/;

const redrawHooks = paced(() => hooks.redraw(), 300);

function takeSnapshot(facts) {
  facts.log.forEach(noteFault);
  log.replace(facts.log);
  hooks.replace(facts.hooks);
  calls.replace(facts.calls);
  showState(facts.state);
  messages.refresh();
}

function take(facts) {
  switch (facts.kind) {
    case "snapshot":
      complain(null);
      takeSnapshot(facts);
      break;
    case "state":
      showState(facts);
      break;
    case "log":
      log.add(facts);
      if (noteFault(facts)) {
        redrawHooks();
        messages.happenedTo(facts.request);
      }
      if (facts.level === "error") {
        errors += 1;
        announceErrors();
      }
      break;
    case "hook":
      hooks.add(facts);
      messages.happenedTo(facts.action);
      break;
    case "call":
      calls.add(facts);
      // Some calls tell nobody of what they change: a registered command, a new bot.
      if (!READS.test(facts.name)) messages.refresh();
      break;
    case "event":
      if (POSTS.test(facts.name)) messages.channelChanged(facts.channel);
      else messages.refresh();
      break;
  }
}

let lost = 0;

function listen() {
  const source = new EventSource("events");
  source.onmessage = (event) => {
    clearTimeout(lost);
    lost = 0;
    take(JSON.parse(event.data));
  };
  source.onerror = () => {
    // The host ends every answer after 300 s: only a longer gap is worth a word.
    lost ||= setTimeout(() => showState({ state: "lost" }), 3000);
    // A refusal (403, 503) is final for an EventSource, but not for us.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

startTabs();
messages.start(complain);
listen();
