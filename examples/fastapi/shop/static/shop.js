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
  list.forEach(showOrder);
}

function follow() {
  const news = new EventSource("events/news");
  const live = (text) => {
    find("#live").textContent = text;
    find("#live").classList.toggle("on", text === "live");
  };
  news.onopen = () => {
    live("live");
    // What happened before the feed was open, or while it was lost.
    refresh().catch(console.error);
  };
  // EventSource tries again by itself unless the answer was no event stream.
  news.onerror = () => live(news.readyState === EventSource.CLOSED ? "off" : "reconnecting");
  news.addEventListener("order", (event) => showOrder(JSON.parse(event.data).order));
  news.addEventListener("watchers", (event) => {
    find("#watchers").textContent = JSON.parse(event.data).watchers;
  });
  const ticks = new EventSource("events/ticks");
  ticks.addEventListener("tick", (event) => {
    find("#tick").textContent = JSON.parse(event.data).tick;
  });
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
