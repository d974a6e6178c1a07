// The status page: follows what the worker sends, and shows each part that has changed.

import { counts, times } from "./charts.js";
import { element, replace, seconds, setServerTime, since } from "./dom.js";
import { requestView } from "./request.js";

const AGAIN_MS = 3000;
const NOTICE_MS = 12000;
const find = (id) => document.getElementById(id);
const shown = {};
const revealed = new Set();
let visitor = { role: "reader", is_signed_in: false, csrf: "" };
let noticeTimer = 0;
let readAt = 0;

const isOperator = () => visitor.role === "operator";
const link = (request) => element("span", {}, element("a", { href: `#/requests/${request.id}`, "data-key": `to ${request.id}` }, request.persona), request.kind ? element("span", { class: "soft" }, ` ${request.kind}`) : null);
const none = (words) => element("p", { class: "soft" }, words);

// --- following the worker

function follow() {
  const events = new EventSource("status/events");
  events.addEventListener("visitor", (event) => {
    visitor = JSON.parse(event.data);
    setServerTime(visitor.now);
    find("sign-out").hidden = !visitor.has_session;
    showLink(isOperator() ? "live" : "live, to look only", true);
    Object.keys(parts).forEach(show);
  });
  events.addEventListener("parts", (event) => {
    const changed = JSON.parse(event.data);
    Object.assign(shown, changed);
    Object.keys(changed).forEach(show);
    if (!find("request").hidden && Date.now() - readAt > AGAIN_MS) void showRequest();
  });
  events.addEventListener("error", () => {
    showLink("not connected, trying again", false);
    if (events.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS);
  });
}

async function again() {
  const answer = await fetch("./", { method: "HEAD" }).catch(() => null);
  if (answer?.status === 401) location.reload();
  else follow();
}

function showLink(words, isLive) {
  if (find("link").textContent !== words) find("link").textContent = words;
  find("link").className = isLive ? "live" : "lost";
}

// --- what an operator changes

async function send(path, order) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": visitor.csrf },
    body: JSON.stringify(order),
  }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  notice(told?.sentence ?? told?.error ?? "The worker did not answer.", answer?.ok && told?.level !== "refused");
}

const retry = (order) => send("status/retry", order);
const pause = (scope, name, isPaused) => send("status/pause", { scope, name, is_paused: isPaused });

function notice(words, isGood) {
  clearTimeout(noticeTimer);
  replace(find("notice"), element("p", { class: isGood ? "good" : "bad" }, words));
  noticeTimer = setTimeout(() => replace(find("notice")), NOTICE_MS);
}

function button(key, words, act, label = null) {
  const press = async (event) => {
    event.currentTarget.disabled = true;
    await act();
    document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`).forEach((each) => { each.disabled = false; });
  };
  return element("button", { type: "button", "data-key": key, "aria-label": label, onclick: press }, words);
}

// --- the parts

const parts = {
  worker: showTrouble, outages: showTrouble, goal: showGlance, queue: () => { showGlance(); showWaiting(); },
  hosts: showHosts, failures: showFailures, pauses: showPauses, choices: showPauseForm, chart: showCharts,
  pictures: showPictures, reported: showReported, workers: showWorkers,
};

function show(name) {
  if (shown[name] !== undefined) parts[name]?.();
}

function showTrouble() {
  const { worker, outages } = shown;
  if (!worker || !outages) return;
  const missing = [
    ...Object.entries({ ...outages, ...worker.missing }),
    ...(worker.stopping ? [["worker", "stops"]] : []),
  ];
  replace(find("trouble"),
    banner("bad", "This worker cannot make pictures now", missing),
    banner("warn", missing.length ? "Look at this too" : "Pictures are made, but look at this", Object.entries(worker.warnings)));
}

function banner(state, words, lines) {
  if (!lines.length) return null;
  return element("div", { class: `card ${state}`, role: "alert" }, element("strong", {}, words), element("ul", {}, lines.map(([name, why]) => element("li", {}, element("b", {}, name), " ", ...marked(why)))));
}

// What stands between backticks is a command or a setting.
function marked(words) {
  return words.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

function tile(words, number, state = "") {
  return element("div", { class: `tile ${state}` }, element("span", { class: "soft" }, words), element("strong", {}, number));
}

function showGlance() {
  const { goal, queue } = shown;
  const tiles = [];
  if (goal) {
    const share = goal.share === null ? "–" : `${(goal.share * 100).toFixed(goal.share === 1 ? 0 : 1)} %`;
    const isMissed = goal.share !== null && goal.share < 0.95;
    tiles.push(
      tile(`within ${goal.in_time_s} s`, share, isMissed ? "warn" : "fine"),
      tile("95 % took", seconds(goal.p95_s)),
      tile(`delivered in ${goal.hours} h`, String(goal.delivered)),
    );
  }
  if (queue) {
    const open = Object.values(queue.counts).reduce((sum, count) => sum + count, 0);
    tiles.push(tile("under way", String(open)), tile("oldest under way", queue.oldest_at ? since(queue.oldest_at) : "–"));
  }
  replace(find("glance"), tiles);
}

function showHosts() {
  replace(find("hosts"), shown.hosts.length ? element("ul", { class: "cards" }, shown.hosts.map(hostCard)) : none("No worker has told of its hosts."));
}

function hostCard(host) {
  return element("li", { class: `card host ${host.condition}` },
    element("div", { class: "line" }, element("strong", { class: "wrap" }, host.name), element("span", { class: `tag ${host.condition}` }, host.condition)),
    host.use !== "active" && element("p", {}, host.use === "draining" ? "is drained: nothing new begins here" : "leaves once its prompts have ended"),
    element("p", { class: "soft" }, host.slots ? `${host.taken} of ${host.slots} slots taken` : "no slot"),
    host.why && element("p", {}, host.why),
    host.draws.length ? element("ul", { class: "draws" }, host.draws.map(drawing)) : none(host.taken ? "nothing is drawn yet" : "draws nothing"),
    isOperator() && host.use !== "removed" ? hostButton(host) : null);
}

function hostButton(host) {
  const isDrained = host.use === "draining";
  const words = isDrained ? "Resume" : "Drain";
  return button(`host ${host.name}`, words, () => pause("host", host.name, !isDrained), `${words} the host ${host.name}`);
}

function drawing(request) {
  const share = request.share === null ? null : Math.round(request.share * 100);
  return element("li", {},
    element("div", { class: "line" }, link(request), element("span", { class: "soft" }, share === null ? "" : `${share} %, `, since(request.at))),
    element("progress", { max: 100, value: share, "aria-label": `${request.persona}: drawn so far` }));
}

function showWaiting() {
  const { queue } = shown;
  if (!queue) return replace(find("waiting"), none("The database cannot be read."));
  const waits = ["queued", "drawn", "delivering"].reduce((sum, state) => sum + (queue.counts[state] ?? 0), 0);
  const more = waits - queue.waiting.length;
  replace(find("waiting"),
    queue.waiting.length ? element("ul", { class: "rows" }, queue.waiting.map((request) =>
      element("li", {}, element("div", { class: "line" }, link(request), since(request.at)), element("p", { class: "soft" }, request.why)))) : none("Nobody waits."),
    more > 0 ? none(`and ${more} more`) : null);
}

function showFailures() {
  const { failures } = shown;
  replace(find("failures"),
    failures.groups.length ? element("ul", { class: "cards" }, failures.groups.map(failureCard)) : none(`None ended without a picture in ${failures.hours} hours.`),
    failures.last.length ? element("details", { "data-key": "last failures" },
      element("summary", { "data-key": "last failures summary" }, `The last ${failures.last.length}`),
      element("ul", { class: "rows" }, failures.last.map((request) => element("li", {},
        element("div", { class: "line" }, link({ ...request, kind: request.error_code }), since(request.finished_at, " ago")),
        isOperator() && request.is_retryable ? button(`retry ${request.id}`, "Try again", () => retry({ ids: [request.id] }), `Try the picture of ${request.persona} again`) : null)))) : null);
}

function failureCard(group) {
  return element("li", { class: "card" },
    element("div", { class: "line" }, element("strong", {}, group.error_code || group.state), element("span", { class: `tag ${group.state}` }, `${group.count} ${group.state}`)),
    element("p", { class: "soft" }, "last ", since(group.last_at, " ago")),
    group.what && element("p", {}, group.what),
    isOperator() && group.retryable ? button(`retry all ${group.error_code}`, `Try ${group.retryable === 1 ? "it" : `all ${group.retryable}`} again`, () => retry({ code: group.error_code }), `Try all that ended with ${group.error_code} again`) : null);
}

function showPauses() {
  replace(find("pauses"), shown.pauses.length ? element("ul", { class: "rows" }, shown.pauses.map((each) =>
    element("li", { class: "line" }, element("span", {}, element("strong", {}, each.name), element("span", { class: "soft" }, ` ${each.scope}, paused for `), since(each.at)),
      isOperator() ? button(`resume ${each.scope} ${each.name}`, "Resume", () => pause(each.scope, each.name, false), `Resume the ${each.scope} ${each.name}`) : null))) : none("Nothing is paused."));
}

function showPauseForm() {
  if (!isOperator()) return replace(find("pause-form"));
  const groups = Object.entries(shown.choices).map(([scope, names]) =>
    element("optgroup", { label: `${scope}s` }, names.map((name) => element("option", { value: `${scope} ${name}` }, name))));
  const choice = element("select", { id: "pause-choice", "data-key": "pause choice" }, groups);
  const form = element("form", { class: "line" }, element("label", { for: "pause-choice" }, "Pause"), choice, element("button", { "data-key": "pause" }, "Pause"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [scope, ...name] = choice.value.split(" ");
    void pause(scope, name.join(" "), true);
  });
  replace(find("pause-form"), form);
}

function showCharts() {
  if (shown.goal) replace(find("charts"), counts(shown.chart), times(shown.chart, shown.goal.in_time_s));
}

function showPictures() {
  if (!visitor.is_signed_in) return replace(find("pictures"), none("Pictures are shown to who has signed in: set STATUS_TOKEN."));
  replace(find("pictures"), shown.pictures.length ? element("ul", { class: "pictures" }, shown.pictures.map((each) => element("li", {}, picture(each), link(each), " ", since(each.finished_at, " ago")))) : none("None at safe in the last hours."));
}

function picture(request) {
  const address = `status/pictures/${request.id}`;
  const image = element("img", { src: revealed.has(request.id) ? address : `${address}?blurred`, alt: "", width: request.width, height: request.height, loading: "lazy" });
  const words = () => (revealed.has(request.id) ? "Hide" : "Show");
  const label = () => `${words()} a picture of ${request.persona}`;
  const node = element("button", { type: "button", class: revealed.has(request.id) ? "picture" : "picture blurred", "data-key": `picture ${request.id}`, "aria-label": label() }, image);
  node.addEventListener("click", () => {
    if (!revealed.delete(request.id)) revealed.add(request.id);
    image.src = revealed.has(request.id) ? address : `${address}?blurred`;
    node.classList.toggle("blurred", !revealed.has(request.id));
    node.setAttribute("aria-label", label());
  });
  return node;
}

function showReported() {
  replace(find("reported"), shown.reported.length ? element("ul", { class: "pictures" }, shown.reported.map((each) => element("li", {},
    each.has_picture && visitor.is_signed_in ? picture(each) : element("p", { class: "picture hidden-picture" }, "not shown"), link(each), " ", since(each.reported_at, " ago")))) : none("None was reported."));
}

function showWorkers() {
  replace(find("workers"), shown.workers.length ? element("ul", { class: "rows" }, shown.workers.map((each) =>
    element("li", {}, element("div", { class: "line" }, element("strong", { class: "wrap" }, each.name), element("span", { class: "soft" }, each.is_stopping ? "stops" : "runs for ", each.is_stopping ? null : since(each.started_at))),
      element("p", { class: "soft" }, `version ${each.version}, ${each.taken} of ${each.slots} slots, ${each.waiting} wait for one`)))) : none("No worker has told of itself."));
}

// --- one request

async function showRequest() {
  const id = location.hash.match(/^#\/requests\/([0-9a-f-]+)$/)?.[1];
  find("overview").hidden = Boolean(id);
  find("request").hidden = !id;
  if (!id) return;
  readAt = Date.now();
  const answer = await fetch(`status/requests/${id}`).catch(() => null);
  const view = await answer?.json().catch(() => null);
  if (!location.hash.endsWith(id)) return;
  const words = view?.error ?? "The worker did not answer.";
  replace(find("request"), answer?.ok ? requestView(view, { canRetry: isOperator(), retry }) : [element("p", {}, element("a", { class: "back", href: "#/" }, "‹ All")), none(words)]);
}

async function go() {
  await showRequest();
  window.scrollTo(0, 0);
  if (!find("request").hidden) find("request").querySelector("h2")?.focus();
}

addEventListener("hashchange", () => void go());
if (location.hash.length > 2) void go();
follow();
