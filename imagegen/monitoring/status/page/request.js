// The page of one request: its whole way from row, deliveries and the host's account.

import { element, since } from "./dom.js";

const NAMES = {
  dialog_id: "dialog", message_count: "message", drawn_rating: "drawn as", has_spoiler: "under a spoiler",
  draw: "prompts posted", prompt_id: "prompt", drawing_seconds: "seconds drawn", is_reused: "drawn before",
  telegram_message_id: "message in the chat", has_conversation: "can be drawn again", crashes: "workers that died",
  attempts: "attempts used",
};
const STEPS = {
  created_at: "asked for", queued_at: "queued", updated_at: "last written", finished_at: "ended",
  hidden_at: "hidden by its user", reported_at: "reported", chat_told_at: "chat was told of the end",
};
const SENDS = { sending: "is being sent", sent: "sent", not_sent: "did not arrive", unknown: "may have arrived", refused: "refused by Telegram" };
const PLACES = { ended: "has ended there", running: "runs there", queued: "waits in the host's queue", unknown: "is not there any more", "no answer": "cannot be asked for, since the host does not answer" };
const EVENTS = {
  execution_start: "host began", execution_cached: "host knew parts of it", execution_success: "host was done",
  execution_error: "host failed", execution_interrupted: "host was interrupted",
};

function steps(view) {
  const { row } = view;
  const found = Object.entries(STEPS).filter(([name]) => row[name]).map(([name, words]) => ({ at: row[name], words }));
  const queuedAgain = row.queued_at !== row.created_at;
  const ended = found.map((step) => (step.words === "ended" ? { ...step, words: `ended: ${row.state}` } : step));
  const sends = view.deliveries.flatMap((send) => [
    { at: send.started_at, words: `send ${send.attempt} began${send.is_edit ? ", in place of the status message" : ""}` },
    send.finished_at && { at: send.finished_at, words: `send ${send.attempt}: ${SENDS[send.outcome] ?? send.outcome}`, why: send.error_sentence },
  ]);
  const events = (view.account?.events ?? []).map((event) => ({ at: event.at, words: `${EVENTS[event.name] ?? event.name}: ${view.account.host}` }));
  // Of the same moment, the end comes last.
  return [...events, ...sends, ...ended]
    .filter((step) => step?.at)
    .filter((step) => queuedAgain || step.words !== "queued")
    .sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

function moment(iso) {
  return new Date(iso).toLocaleString([], { dateStyle: "short", timeStyle: "medium" });
}

function value(told) {
  if (told === true) return "yes";
  if (told === false) return "no";
  if (typeof told === "number" && !Number.isInteger(told)) return told.toFixed(1);
  return String(told);
}

export function requestView(view, { canRetry, retry }) {
  const { row } = view;
  const left = Object.keys(STEPS).concat("id", "state", "error_code", "error_sentence");
  const facts = Object.entries(row).filter(([name, told]) => !left.includes(name) && told !== null);
  const parts = [
    element("p", {}, element("a", { class: "back", href: "#/" }, "‹ All")),
    element("h2", { tabindex: "-1", "data-key": "request-title" }, `${row.persona}, ${row.kind}`, " ", element("span", { class: `tag ${row.state}` }, row.state)),
    element("p", { class: "id" }, row.id),
  ];
  if (row.error_code) {
    parts.push(element("div", { class: "card bad" }, element("strong", {}, row.error_code), element("p", {}, row.error_sentence ?? ""), view.what && element("p", { class: "soft" }, view.what)));
  }
  if (canRetry && view.is_retryable) {
    parts.push(element("p", {}, element("button", { class: "main", "data-key": "retry", onclick: () => retry({ ids: [row.id] }) }, "Try again")));
  }
  parts.push(
    element("h3", {}, "Its way"),
    element("ol", { class: "way" }, steps(view).map((step) => element("li", {}, element("span", { class: "soft" }, moment(step.at)), element("span", {}, step.words, step.why ? element("small", { class: "soft" }, ` ${step.why}`) : null)))),
  );
  if (view.account) {
    parts.push(element("p", {}, `The prompt on ${view.account.host} ${PLACES[view.account.place] ?? view.account.place}.`));
  }
  for (const stray of view.strays) {
    parts.push(element("p", { class: "soft" }, `A prompt of it is still to be taken off ${stray.host}, left `, since(stray.left_at, " ago"), "."));
  }
  parts.push(
    element("h3", {}, "Its row"),
    element("dl", { class: "facts" }, facts.map(([name, told]) => element("div", {}, element("dt", {}, NAMES[name] ?? name.replaceAll("_", " ")), element("dd", {}, value(told))))),
  );
  return parts;
}
