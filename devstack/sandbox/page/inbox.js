"use strict";

const about = JSON.parse(document.getElementById("about").textContent);
const $ = (id) => document.getElementById(id);
const titles = { email: "Email", sms: "SMS", whatsapp: "WhatsApp", push: "Push" };
const icons = {
  email: "M3 6h18v12H3z M3 7l9 7 9-7",
  sms: "M4 5h16v11H10l-5 4v-4H4z",
  whatsapp: "M5 20l1.2-4A8 8 0 1 1 9 18.8z M9 9c0 4 3 6 6 6l1-2-2.500-1-1 1a5 5 0 0 1-2-2l1-1-1-2.500z",
  push: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4z M10 21h4",
};
const PAGE = 100;
const state = { channel: "", search: "", limit: PAGE, items: [], selected: null, message: null, tab: null, provider: "sandbox", overview: null };
const shown = {};

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Runs `draw` only when `value` differs from what it last drew, so that focus, selection and scroll survive polling. */
function whenChanged(name, value, draw) {
  const text = JSON.stringify(value);
  if (shown[name] === text) return;
  shown[name] = text;
  draw();
}

async function call(method, path, body) {
  const response = await fetch(path, { method, body: body && JSON.stringify(body), headers: body ? { "Content-Type": "application/json" } : {} });
  if (!response.ok) {
    const problem = await response.json().catch(() => null);
    throw new Error(problem?.error?.message ?? `${response.status} ${response.statusText}`);
  }
  return response.status === 204 ? null : response.json();
}

function when(received) {
  const date = new Date(received);
  const sameDay = date.toDateString() === new Date().toDateString();
  return sameDay ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" }) : date.toLocaleDateString([], { day: "numeric", month: "short" });
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

const providerTitle = (name) => about.providers.find((provider) => provider.name === name)?.title ?? name;

// The list

function drawChannels() {
  const counts = state.overview.channels;
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const buttons = [["", "All", all], ...Object.entries(titles).map(([name, title]) => [name, title, counts[name] ?? 0])];
  $("channels").replaceChildren(...buttons.map(([name, title, count]) =>
    element("button", { type: "button", "aria-pressed": String(state.channel === name), onclick: () => choose({ channel: name }) },
      title, element("small", {}, count.toLocaleString()))));
  $("count-all").textContent = all.toLocaleString();
}

function drawList() {
  const list = $("list");
  const focused = list.contains(document.activeElement);
  if (!state.items.length) {
    const filtered = state.channel || state.search;
    list.replaceChildren(element("li", { class: "empty" }, filtered ? "No message matches." : "Messages appear here as they arrive."));
    return;
  }
  list.replaceChildren(...state.items.map((item) => element("li", {}, row(item))));
  if (focused) list.querySelector("[aria-current]")?.focus();
}

function row(item) {
  const tags = element("span", { class: "tags" },
    item.repeats ? element("span", { class: "tag warn", title: "Requests recognised as repeats" }, `repeated ×${item.repeats}`) : null,
    item.attachments.length ? element("span", { class: "tag" }, item.attachments.length === 1 ? "1 file" : `${item.attachments.length} files`) : null,
    element("span", { class: "tag" }, providerTitle(item.provider)));
  const others = item.to.length > 1 ? ` +${item.to.length - 1}` : "";
  return element("button", { type: "button", class: item.channel, "data-number": item.number, "aria-current": item.number === state.selected, onclick: () => select(item.number) },
    element("span", { class: "mark", title: titles[item.channel] }, icon(icons[item.channel] ?? icons.email)),
    element("span", { class: "who" }, item.to[0] + others),
    element("time", { datetime: item.received_at, title: new Date(item.received_at).toLocaleString() }, when(item.received_at)),
    element("span", { class: "subject" }, item.subject ?? item.preview ?? ""),
    element("span", { class: "preview" }, tags, item.subject ? " " + item.preview : ""));
}

function choose(change) {
  Object.assign(state, change, { limit: PAGE });
  shown.channels = null;
  refresh();
}

// The message

async function select(number) {
  state.selected = number;
  state.message = await call("GET", `/_sandbox/inbox/${number}`).catch(() => null);
  if (state.selected !== number) return;
  $("view-inbox").classList.toggle("reading", state.message !== null);
  for (const button of $("list").querySelectorAll("button")) {
    if (Number(button.dataset.number) === number) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  history.replaceState(null, "", state.message ? `#inbox/${number}` : "#inbox");
  drawMessage();
}

function drawMessage() {
  const message = state.message;
  if (!message) return drawEmpty();
  const tabs = Object.entries({ HTML: message.html !== null, Text: message.text !== null, Headers: Object.keys(message.headers).length > 0, Raw: true })
    .filter(([, there]) => there).map(([name]) => name);
  if (!tabs.includes(state.tab)) state.tab = tabs[0];
  const bar = element("div", { class: "tabs", role: "tablist", "aria-label": "Parts of the message" },
    ...tabs.map((name) => element("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "body", "aria-selected": String(name === state.tab), tabindex: name === state.tab ? "0" : "-1",
      onclick: () => { state.tab = name; drawMessage(); $(`tab-${name}`).focus(); },
    }, name)));
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) $(`tab-${tabs[(tabs.indexOf(state.tab) + step + tabs.length) % tabs.length]}`).click();
  });
  const title = message.subject ?? `${titles[message.channel]} to ${message.to[0]}`;
  $("message").replaceChildren(
    element("header", {}, element("button", { type: "button", class: "plain back", onclick: back }, "Back to the list"), element("h1", {}, title), meta(message), bar),
    element("div", { class: "body", id: "body", role: "tabpanel", tabindex: "0", "aria-labelledby": `tab-${state.tab}` }, part(message)),
    files(message) ?? "");
}

function meta(message) {
  const rows = {
    From: message.from ?? "none given",
    To: message.to.join(", "),
    Received: new Date(message.received_at).toLocaleString(),
    Provider: `${providerTitle(message.provider)}${message.repeats ? `, repeated ${message.repeats} times` : ""}`,
    "Message id": message.message_id && element("code", {}, message.message_id),
    "Provider's id": element("code", {}, message.provider_message_id),
    Media: message.media_urls.length ? message.media_urls.join("\n") : null,
  };
  return element("dl", { class: "meta" }, ...Object.entries(rows).filter(([, value]) => value)
    .flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function part(message) {
  if (state.tab === "HTML") return element("iframe", { title: "HTML of the message", sandbox: "allow-popups allow-popups-to-escape-sandbox", src: `/_sandbox/inbox/${message.number}/html` });
  if (state.tab === "Text") return message.channel === "email" ? element("pre", { class: "prose" }, message.text) : element("p", { class: "bubble" }, message.text);
  if (state.tab === "Headers") return element("pre", {}, Object.entries(message.headers).map(([name, value]) => `${name}: ${value}`).join("\n"));
  const raw = element("pre", {}, "…");
  fetch(`/_sandbox/inbox/${message.number}/raw`)
    .then((response) => (response.ok ? response.text() : JSON.stringify(message, null, 2)))
    .then((text) => { raw.textContent = pretty(text); });
  return raw;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function files(message) {
  if (!message.attachments.length) return null;
  return element("ul", { class: "files", "aria-label": "Attachments" }, ...message.attachments.map((file, position) =>
    element("li", {}, element("a", { href: `/_sandbox/inbox/${message.number}/attachments/${position}`, target: "_blank", rel: "noopener" },
      file.filename ?? file.content_type, element("small", {}, `${file.content_type}, ${size(file.size)}${file.content_id ? ", inline" : ""}`)))));
}

function back() {
  $("view-inbox").classList.remove("reading");
  $("list").querySelector("[aria-current]")?.focus();
}

function drawEmpty() {
  const art = icon("M3 8l9-5 9 5v11H3z M3 8l9 6 9-6");
  const nothing = state.items.length === 0 && !state.channel && !state.search;
  $("message").replaceChildren(nothing
    ? element("div", { class: "empty" }, art, element("h1", {}, "Nothing has arrived yet"),
      element("p", {}, "Whatever Hermod sends through SendGrid, Twilio, SMTP or the sandbox provider lands here instead of with people."),
      element("ol", {},
        element("li", {}, "Point a provider account at this machine: ", link("connect", "its addresses"), "."),
        element("li", {}, "Send to anyone. To ", element("code", {}, "throttled@example.com"), " for retries you can watch: there are more ", link("recipients", "magic recipients"), "."),
        element("li", {}, "Make a whole provider fail with ", link("faults", "faults"), ".")),
      element("button", { type: "button", class: "primary", onclick: sendExample }, "Send a test message"))
    : element("div", { class: "empty" }, art, element("h1", {}, "Choose a message"), element("p", {}, "Up and down keys move through the list.")));
}

const link = (name, text) => element("a", { href: `#${name}`, onclick: (event) => { event.preventDefault(); view(name); } }, text);

// Counts and faults

function drawStats() {
  $("stats").replaceChildren(...about.providers.map(({ name, title }) =>
    element("li", { class: Object.values(state.overview.stats[name]).some(Boolean) ? "" : "quiet" }, element("strong", {}, title), element("dl", {}, ...["accepted", "repeated", "refused", "faults"].map((kind) => {
      const count = state.overview.stats[name][kind];
      return element("div", { class: `${kind} ${count ? "" : "zero"}` }, element("dt", {}, kind), element("dd", {}, count.toLocaleString()));
    })))));
}

function drawFaults() {
  const standing = state.overview.faults;
  $("count-faults").textContent = standing.length;
  $("count-faults").hidden = !standing.length;
  $("fault-providers").replaceChildren(...about.providers.map(({ name, title }) =>
    element("button", { type: "button", "aria-pressed": String(state.provider === name), onclick: () => { state.provider = name; shown.faults = null; refresh(); } }, title)));
  $("fault-switches").replaceChildren(...about.faults.map(({ name, title }) => {
    const on = standing.some((order) => order.provider === state.provider && order.fault === name && order.to === null);
    return element("button", { type: "button", "aria-pressed": String(on), onclick: () => toggle(name, on) }, title, element("small", {}, name));
  }));
  $("standing").replaceChildren(standing.length ? standingTable(standing) : element("p", { class: "nothing" }, "No fault is switched on."));
}

function standingTable(standing) {
  const cells = (order) => [providerTitle(order.provider), element("code", {}, order.fault), order.to ?? "everyone",
    order.remaining === null ? "until off" : `${order.remaining} more`, `${order.applied} so far`,
    element("button", { type: "button", class: "plain", onclick: () => withdraw(order.provider, order.to) }, "Switch off")];
  return element("div", { class: "panel scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, ...["Provider", "Fault", "Recipient", "Lasts", "Met", ""].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...standing.map((order) => element("tr", {}, ...cells(order).map((cell) => element("td", {}, cell)))))));
}

async function toggle(fault, on) {
  if (on) return withdraw(state.provider, null);
  const number = (id) => ($(id).value === "" ? null : Number($(id).value));
  const order = { fault, times: number("fault-times"), retry_after: number("fault-retry"), delay: number("fault-delay"), to: $("fault-to").value.trim() || null };
  await attempt(() => call("PUT", `/_sandbox/faults/${state.provider}`, order));
}

const withdraw = (provider, to) => attempt(() => call("DELETE", `/_sandbox/faults/${provider}?to=${encodeURIComponent(to ?? "")}`));

async function attempt(action) {
  try {
    await action();
    $("fault-error").hidden = true;
  } catch (problem) {
    $("fault-error").textContent = problem.message;
    $("fault-error").hidden = false;
  }
  await refresh();
}

// The page

function view(name) {
  for (const button of document.querySelectorAll("[data-view]")) {
    if (button.dataset.view === name) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== `view-${name}`;
  if (location.hash.slice(1).split("/")[0] !== name) history.replaceState(null, "", `#${name}`);
}

async function refresh() {
  const query = new URLSearchParams({ brief: "1", limit: state.limit, channel: state.channel });
  if (state.search) query.set(/^[a-z]+_/i.test(state.search) && !state.search.includes("@") ? "message_id" : "to", state.search);
  try {
    const [overview, page] = await Promise.all([call("GET", "/_sandbox/overview"), call("GET", `/_sandbox/inbox?${query}`)]);
    const wasEmpty = state.items.length === 0;
    Object.assign(state, { overview, items: page.items });
    whenChanged("stats", overview.stats, drawStats);
    whenChanged("channels", [overview.channels, state.channel], drawChannels);
    whenChanged("faults", [overview.faults, state.provider], drawFaults);
    whenChanged("list", page.items, drawList);
    if (!state.message && (wasEmpty !== (page.items.length === 0) || !$("message").hasChildNodes())) drawEmpty();
    $("older").hidden = page.items.length < state.limit || page.total <= state.limit;
    drawLive(true);
  } catch {
    drawLive(false);
  }
}

function drawLive(answers) {
  whenChanged("live", answers, () => {
    $("live").classList.toggle("lost", !answers);
    $("live-text").textContent = answers ? "Live" : "The sandbox does not answer";
  });
}

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, 1500);
}

const example = { id: "msg_hello", channel: "email", to: "ada@example.com", from: "Hermod <hello@example.com>", content: { subject: "Hello from the sandbox", text: "If you can read this, the sandbox works." }, attempt: 1 };

async function sendExample() {
  await fetch("/sandbox/v1/messages", { method: "POST", body: JSON.stringify(example), headers: { Authorization: "Bearer page", "Content-Type": "application/json" } });
  await refresh();
  view("inbox");
  if (state.items.length) await select(state.items[0].number);
}

function setUp() {
  $("example").textContent = `curl ${location.origin}/sandbox/v1/messages \\\n  -H 'Authorization: Bearer anything' -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(example)}'`;
  $("try").addEventListener("click", sendExample);
  $("magic").append(...about.magic.map((magic) => element("tr", {},
    element("td", {}, magic.word ? element("code", {}, `${magic.word}@…`) : ""), element("td", {}, magic.number ? element("code", {}, magic.number) : ""), element("td", {}, magic.does))));
  $("endpoints").append(...about.providers.map((provider) => element("tr", {}, element("td", {}, provider.title),
    element("td", {}, element("code", {}, provider.mount ? location.origin + provider.mount : provider.address)),
    element("td", {}, provider.path ? element("code", {}, `POST ${provider.path}`) : "AUTH PLAIN or LOGIN, optional, no TLS"))));
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => view(button.dataset.view));
  $("older").addEventListener("click", () => { state.limit += PAGE; refresh(); });
  let typing;
  $("search").addEventListener("input", (event) => { clearTimeout(typing); typing = setTimeout(() => choose({ search: event.target.value.trim() }), 200); });
  $("clear").addEventListener("click", clear);
  $("list").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const items = [...$("list").querySelectorAll("button")];
    const next = items[items.indexOf(document.activeElement) + step];
    if (step && next) { event.preventDefault(); next.focus(); next.click(); }
  });
  const [wanted, number] = location.hash.slice(1).split("/");
  view(wanted && $(`view-${wanted}`) ? wanted : "inbox");
  if (number) select(Number(number));
}

/** The first press asks, the second within three seconds does it. */
async function clear() {
  const button = $("clear");
  if (!button.classList.contains("sure")) {
    button.classList.add("sure");
    button.textContent = "Clear everything?";
    setTimeout(() => { button.classList.remove("sure"); button.textContent = "Clear inbox"; }, 3000);
    return;
  }
  await call("DELETE", "/_sandbox/inbox");
  Object.assign(state, { selected: null, message: null });
  button.classList.remove("sure");
  button.textContent = "Clear inbox";
  back();
  await refresh();
  drawEmpty();
}

setUp();
poll();
