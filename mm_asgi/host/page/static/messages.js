// Users, channels and posts, and the box to write in.

import { ask, byId, clock, element, paced } from "./dom.js";
import { changes, duration, hookBadge, hooks, hookText } from "./happened.js";

const NEW = "new";
const LONG = { characters: 500, lines: 10 };

const OUTCOMES = {
  posted: ["Posted", "good"],
  changed: ["Changed by the plugin", "info"],
  answered: ["Answered", "good"],
  rejected: ["Rejected by the plugin", "warn"],
  dismissed: ["Dismissed by the plugin, without a word to its author", "warn"],
  refused: ["Refused", "bad"],
};

let places = { users: [], teams: [], channels: [], commands: [], me: { as: "nobody" } };
let opened = new Set();
let shownPosts = "";
let action = ""; // of what was written last
let atEnd = true;
let complain = () => {};

export function start(showComplaint) {
  complain = showComplaint;
  const scroll = byId("posts-scroll");
  scroll.addEventListener("scroll", () => {
    if (scroll.clientHeight) atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  });
  // The box below it grows and shrinks.
  new ResizeObserver(toEnd).observe(scroll);
  byId("user").addEventListener("change", () => chooseUser().catch(complain));
  byId("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (byId("user").value === NEW) logIn("user", byId("new-user").value).catch(complain);
  });
  byId("channel").addEventListener("change", () => loadPosts().catch(complain));
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    say().catch(complain);
  });
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      byId("composer").requestSubmit();
    }
  });
}

const load = paced(() => loadPlaces().catch(complain), 400);
const reloadPosts = paced(() => loadPosts().catch(complain), 150);

export function refresh() {
  load();
}

export function channelChanged(channel) {
  if (!channel || channel === byId("channel").value) reloadPosts();
}

// ------------------------------------------------------------------ who and where

async function loadPlaces() {
  places = await ask("places");
  byId("plugin-id").textContent = places.plugin;
  byId("app-link").href = places.app;
  drawUsers();
  drawChannels();
  drawCommands();
  drawLabel();
  await loadPosts();
}

function option(value, text) {
  return element("option", { value }, text);
}

// Only when it differs: a list that is open, or read aloud, stays as it is.
function fill(select, children, value) {
  const made = element("select", {}, ...children);
  if (select.dataset.made !== made.outerHTML) {
    select.dataset.made = made.outerHTML;
    select.replaceChildren(...made.childNodes);
  }
  select.value = value;
}

function drawUsers() {
  const { me, users } = places;
  const select = byId("user");
  if (select.value === NEW && !byId("new-user-part").hidden) return;
  const children = [
    element(
      "optgroup",
      { label: "Users" },
      ...users.map((user) => option(`user ${user.id}`, user.admin ? `${user.username} (admin)` : user.username)),
    ),
    option("default", `default (${places.default || "nobody"})`),
    option("nobody", "nobody, anonymous"),
    option(NEW, "a new user…"),
  ];
  const other = me.as === "nobody" && !places.default ? "default" : me.as;
  const chosen = me.as === "cookie" ? `user ${me.id}` : other;
  fill(select, children, chosen);
  byId("new-user-part").hidden = true;
}

function drawChannels() {
  const { channels, teams } = places;
  const select = byId("channel");
  const before = select.value;
  const group = (title, list) =>
    list.length ? [element("optgroup", { label: title }, ...list.map((row) => option(row.id, titled(row))))] : [];
  const children = [
    ...teams.flatMap((team) => group(team.title, channels.filter((row) => row.team === team.id))),
    ...group("Direct messages", channels.filter((row) => !row.team)),
  ];
  const known = channels.some((row) => row.id === before);
  fill(select, children, known ? before : (channels[0]?.id ?? ""));
}

function titled(channel) {
  return channel.type === "private" ? `${channel.title} (private)` : channel.title;
}

function drawCommands() {
  const buttons = places.commands.map((command) => {
    const text = `/${command.trigger}${command.hint ? ` ${command.hint}` : ""}`;
    const made = element("button", { type: "button", title: command.about || text }, text);
    made.addEventListener("click", () => {
      byId("text").value = `/${command.trigger} `;
      byId("text").focus();
    });
    return made;
  });
  byId("commands").hidden = !buttons.length;
  if (byId("commands").textContent !== buttons.map((made) => made.textContent).join("")) {
    byId("commands").replaceChildren(...buttons);
  }
}

function drawLabel() {
  const { me } = places;
  const channel = places.channels.find((row) => row.id === byId("channel").value);
  const who = me.username || "nobody";
  byId("text-label").textContent = `Message in ${channel ? titled(channel) : "no channel"} as ${who}`;
}

async function chooseUser() {
  const value = byId("user").value;
  byId("new-user-part").hidden = value !== NEW;
  if (value === NEW) byId("new-user").focus();
  else if (value.startsWith("user ")) await logIn("user", value.slice(5));
  else await logIn(value, "");
}

async function logIn(kind, user) {
  await ask("user", { as: kind, user });
  byId("new-user-part").hidden = true;
  byId("new-user").value = "";
  if (byId("user").value === NEW) byId("user").focus();
  complain(null);
  await loadPlaces();
}

// ------------------------------------------------------------------ posts

async function loadPosts() {
  drawLabel();
  const channel = byId("channel").value;
  if (!channel) return;
  const { posts, older } = await ask(`posts?${channel}`);
  if (channel !== byId("channel").value) return;
  byId("older").hidden = !older;
  byId("older").textContent = `${older} older posts are not shown.`;
  const title = places.channels.find((row) => row.id === channel)?.title ?? "";
  byId("posts-empty").hidden = posts.length > 0;
  byId("posts-empty").textContent = `No post in ${title} yet. Write the first one below.`;
  const now = JSON.stringify([channel, posts]);
  if (now === shownPosts) return;
  shownPosts = now;
  opened = new Set(posts.map((post) => post.id).filter((id) => opened.has(id)));
  byId("posts").replaceChildren(...posts.map(drawPost));
  toEnd();
}

function toEnd() {
  const scroll = byId("posts-scroll");
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
}

function drawPost(post) {
  const kinds = ["post", post.ephemeral && "ephemeral", post.deleted && "deleted"].filter(Boolean);
  const tags = [
    post.bot && "bot",
    post.by_plugin && "by the plugin",
    post.ephemeral && "only this user sees it",
    post.edited && "edited",
    post.deleted && "deleted",
    post.attachments && "with attachments",
  ].filter(Boolean);
  const extras = [
    ...Object.entries(post.reactions).map(([emoji, count]) => `:${emoji}: ${count}`),
    ...post.files,
  ];
  return element(
    "li",
    { class: kinds.join(" ") },
    element(
      "div",
      { class: "post-head" },
      element("strong", {}, post.user || "nobody"),
      clock(post.time),
      ...tags.map((tag) => element("span", { class: "tag" }, tag)),
    ),
    post.answers ? element("p", { class: "quiet" }, `answers: ${post.answers}`) : "",
    ...drawBody(post),
    extras.length ? element("p", { class: "quiet" }, extras.join("   ")) : "",
  );
}

function drawBody(post) {
  const body = element("p", { class: "body" }, post.message || "(no text)");
  if (post.message.length <= LONG.characters && post.message.split("\n").length <= LONG.lines) return [body];
  const button = element("button", { type: "button", class: "more" });
  const draw = () => {
    const open = opened.has(post.id);
    body.classList.toggle("clamped", !open);
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Show less" : `Show all ${post.message.length} characters`;
  };
  button.addEventListener("click", () => {
    if (!opened.delete(post.id)) opened.add(post.id);
    draw();
  });
  draw();
  return [body, button];
}

// ------------------------------------------------------------------ writing

async function say() {
  const box = byId("text");
  const button = byId("send");
  const text = box.value;
  if (!text.trim() || button.disabled) return;
  button.disabled = true;
  button.textContent = "Sending…";
  try {
    const facts = await ask("message", { channel: byId("channel").value, text });
    complain(null);
    if (["posted", "answered"].includes(facts.outcome) && box.value === text) box.value = "";
    atEnd = true;
    drawResult(facts);
    await loadPosts();
  } finally {
    button.disabled = false;
    button.textContent = "Send";
  }
}

function drawResult(facts) {
  const changed = facts.outcome === "posted" && facts.text !== facts.before;
  const [words, look] = OUTCOMES[changed ? "changed" : facts.outcome];
  const whom = facts.to === "all" ? " to all" : facts.to === "you" ? " to this user alone" : "";
  const said = facts.outcome === "posted" ? "" : facts.text;
  action = facts.action;
  byId("result").replaceChildren(
    element(
      "p",
      { class: "result-line" },
      element("span", { class: `badge ${look}` }, `${words}${whom}`),
      element("span", {}, said),
    ),
    facts.goto ? element("p", {}, `It sends the user to ${facts.goto}`) : "",
    element("ul", { id: "result-hooks" }),
  );
  drawHooks(facts.hooks);
}

function drawHooks(asked) {
  // What runs beside, such as MessageHasBeenPosted, comes before the answer or after it.
  const known = hooks.records.filter((hook) => hook.action === action);
  const all = known.length >= asked.length ? known : asked;
  const none = element("li", { class: "quiet" }, "No hook of the plugin was asked about it.");
  byId("result-hooks").replaceChildren(...(all.length ? all.map(drawHook) : [none]));
}

function drawHook(hook) {
  const head = [element("span", { class: "name" }, hook.name), hookBadge(hook), duration(hook.ms)];
  const bad = hook.outcome === "ok" || hook.outcome === "failed" || hook.outcome === "overran";
  return element(
    "li",
    {},
    element("div", { class: "card-head" }, ...head),
    bad && hookText(hook) ? element("p", { class: "said" }, hookText(hook)) : "",
    ...changes(hook),
  );
}

export function happenedTo(request) {
  if (request && request === action) drawHooks([]);
}
