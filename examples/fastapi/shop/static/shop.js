// Every URL here is relative: the page works under any prefix.
const find = (selector) => document.querySelector(selector);
const orders = new Map();

async function getJSON(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

function showOrder(order) {
  const known = orders.get(order.id);
  // The list and the feed may tell of an order in either order.
  if (known?.order.status === "confirmed") return;
  const row = known?.row ?? find("#orders").appendChild(document.createElement("tr"));
  orders.set(order.id, { order, row });
  const facts = [order.id, order.product, order.quantity, order.buyer ?? "somebody", order.status];
  row.replaceChildren(
    ...facts.map((fact) => Object.assign(document.createElement("td"), { textContent: fact })),
  );
  row.lastChild.className = order.status;
  find("#none").hidden = true;
}

async function refresh() {
  const [status, list] = await Promise.all([getJSON("status"), getJSON("orders")]);
  find("#watchers").textContent = status.watchers;
  const started = new Date(status.started);
  find("#started").textContent = started.toLocaleTimeString();
  find("#started").dateTime = started.toISOString();
  // A shop that was started anew has forgotten its orders.
  for (const [id, { row }] of orders) {
    if (list.some((order) => order.id === id)) continue;
    row.remove();
    orders.delete(id);
  }
  list.forEach(showOrder);
  find("#none").hidden = orders.size > 0;
}

function listen(url, handlers, onState = () => {}) {
  const source = new EventSource(url);
  source.onopen = () => onState("live");
  source.onerror = () => {
    onState("reconnecting");
    // EventSource tries again by itself, but gives up at a 404: while the plugin is off.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => listen(url, handlers, onState), 3000);
    }
  };
  for (const [kind, handle] of Object.entries(handlers)) {
    source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
}

function follow() {
  const news = {
    order: ({ order }) => showOrder(order),
    watchers: ({ watchers }) => { find("#watchers").textContent = watchers; },
  };
  listen("events/news", news, (state) => {
    find("#live").textContent = state;
    find("#live").classList.toggle("on", state === "live");
    // What happened before the feed was open, or while it was lost.
    if (state === "live") refresh().catch(console.error);
  });
  listen("events/ticks", { tick: ({ tick }) => { find("#tick").textContent = tick; } });
}

function send(form, url, describe) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    const output = form.querySelector("output");
    // Read before the button is disabled; the browser chooses multipart for a file by itself.
    const data = new FormData(form);
    const body = form.querySelector("[type=file]") ? data : new URLSearchParams(data);
    button.disabled = true;
    output.textContent = "…";
    try {
      const response = await fetch(url, { method: "POST", body, headers: csrfHeaders() });
      const answer = await response.json();
      output.textContent = response.ok ? describe(answer) : JSON.stringify(answer.detail);
    } catch (error) {
      output.textContent = String(error);
    } finally {
      button.disabled = false;
    }
  });
}

async function showProducts() {
  for (const product of await getJSON("products")) {
    const label = `${product.name}, ${(product.cents / 100).toFixed(2)} €`;
    find("[name=product]").add(new Option(label, product.id));
  }
}

async function showUser() {
  const { id } = await getJSON("me");
  find("#user").textContent = id ? `signed in as ${id}` : "not signed in";
}

send(find("#order"), "orders/form", (order) => `Order ${order.id} is placed.`);
send(find("#upload"), "files", (file) => `${file.name}: ${file.size} bytes, SHA-256 ${file.sha256}`);
showProducts().catch(console.error);
showUser().catch(console.error);
follow();
