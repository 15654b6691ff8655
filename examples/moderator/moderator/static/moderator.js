// Every URL here is relative: the page works under any prefix.
const find = (selector) => document.querySelector(selector);

async function showRules() {
  const response = await fetch("rules");
  if (!response.ok) throw new Error(`rules: ${response.status}`);
  const rules = await response.json();
  find("#words").textContent = rules.words.join(", ") || "none";
  find("#shouting").textContent = rules.shouting;
}

function showAct(act) {
  const item = document.createElement("li");
  const kind = Object.assign(document.createElement("strong"), { textContent: act.kind });
  kind.className = act.kind;
  const time = document.createElement("time");
  time.dateTime = act.at;
  time.textContent = new Date(act.at).toLocaleTimeString();
  item.append(time, kind, ` ${act.user}: ${act.text}`);
  find("#acts").prepend(item);
  find("#none").hidden = true;
  if (act.kind === "rules") showRules().catch(console.error);
}

function listen() {
  const source = new EventSource("acts");
  source.onopen = () => { find("#live").textContent = "live"; };
  source.onmessage = (event) => showAct(JSON.parse(event.data));
  source.onerror = () => {
    find("#live").textContent = "reconnecting";
    // EventSource gives up at a 404 (the plugin is off) or a 401: then from the beginning.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => { find("#acts").replaceChildren(); listen(); }, 3000);
  };
}

showRules().catch(() => { find("#words").textContent = "log in to Mattermost to see them"; });
listen();
