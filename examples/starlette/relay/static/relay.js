const find = (selector) => document.querySelector(selector);
const parcelURL = (name) => `parcels/${encodeURIComponent(name)}`;

// Without its CSRF token Mattermost reads a whole body before it passes on the first byte.
function csrfHeaders() {
  const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("MMCSRF="));
  return cookie ? { "X-CSRF-Token": cookie.slice("MMCSRF=".length) } : {};
}

function onSubmit(form, action) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [button, output] = [form.querySelector("button"), form.querySelector("output")];
    button.disabled = true;
    try {
      await action((text) => { output.textContent = text; });
    } catch (error) {
      output.textContent = String(error);
    } finally {
      button.disabled = false;
    }
  });
}

onSubmit(find("#send"), async (say) => {
  const file = find("[name=file]").files[0];
  say(`${file.name} waits for somebody who takes it.`);
  const response = await fetch(parcelURL(file.name), {
    method: "PUT", body: file, headers: csrfHeaders(),
  });
  if (!response.ok) throw await response.text();
  const { size, sha256 } = await response.json();
  say(`${file.name} has arrived: ${size} bytes, SHA-256 ${sha256}`);
  find("#sent").textContent = Number(find("#sent").textContent) + 1;
});

onSubmit(find("#socket"), async (say) => {
  const url = document.body.dataset.live;
  const opened = await new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onmessage = () => { resolve(true); socket.close(); };
    socket.onerror = () => resolve(false);
  });
  if (opened) return say("It is open: no Mattermost here.");
  const { status, statusText } = await fetch(url.replace("ws", "http"));
  say(`Refused: the answer is a plain HTTP ${status} ${statusText}. The events below arrive.`);
});

function row(parcel) {
  const size = parcel.length === null ? parcel.size : parcel.length;
  const percent = parcel.length ? Math.floor((100 * parcel.size) / parcel.length) : 0;
  const state = parcel.state === "moving" ? `${percent} %` : parcel.state;
  const made = document.createElement("tr");
  for (const text of [parcel.name, parcel.sender, size.toLocaleString(), state, ""]) {
    made.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  made.cells[3].className = parcel.state;
  made.cells[3].title = parcel.sha256;
  if (parcel.state === "waiting") {
    const link = { href: parcelURL(parcel.name), textContent: "Take it", download: parcel.name };
    made.cells[4].append(Object.assign(document.createElement("a"), link));
  }
  return made;
}

function follow() {
  const source = new EventSource(document.body.dataset.activity);
  const show = (state) => {
    find("#state").textContent = state;
    find("#state").classList.toggle("on", state === "live");
  };
  source.onopen = () => show("live");
  source.onmessage = ({ data }) => {
    const parcels = JSON.parse(data);
    find("#parcels").replaceChildren(...parcels.map(row));
    find("#none").hidden = parcels.length > 0;
  };
  source.onerror = () => {
    show("reconnecting");
    // EventSource gives up at a 404: while the plugin is off.
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  };
}

follow();
