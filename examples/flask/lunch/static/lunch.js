// Mattermost takes the user away from a form without its CSRF token, which is in a cookie that
// scripts may read.
const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("MMCSRF="));
for (const field of document.querySelectorAll("[name=csrf]")) {
  field.value = cookie?.slice("MMCSRF=".length) ?? "";
}

const live = document.querySelector("#live");

function show(counts) {
  const buttons = [...document.querySelectorAll("[name=dish]")];
  const shown = buttons.map((button) => button.value);
  // Somebody has put up another menu.
  if (shown.join("\n") !== Object.keys(counts).join("\n")) location.reload();
  for (const button of buttons) button.querySelector("strong").textContent = counts[button.value];
}

function listen() {
  const source = new EventSource(document.body.dataset.events);
  source.onopen = () => { live.textContent = "live"; };
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => {
    live.textContent = "reconnecting";
    // EventSource gives up at a 404: while the plugin is off.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

listen();
