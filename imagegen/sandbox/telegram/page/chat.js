// A chat with the bot: loads the messages, then follows the events of the chat.

import { draftElement, element, messageElement, messageKey } from "./render.js";
import { language, pageAddress, say } from "./words.js";

const chatId = Number(location.pathname.split("/").at(-1));
const userId = Math.abs(chatId);
const routes = `/sandbox/chats/${chatId}`;
const find = (id) => document.getElementById(id);
// Telegram shows an action for five seconds, or until a message comes.
const ACTION_MS = 5000;
const ACTIONS = new Set(["typing", "upload_photo", "upload_document"]);
// Telegram's apps send a longer text as several messages.
const PIECES = /[^]{1,4096}/gu;
const RETRY_MS = 2000;

const revealed = new Set(JSON.parse(sessionStorage.getItem(`revealed ${chatId}`) ?? "[]"));
let events = null;
let actionTimer = 0;
let noticeTimer = 0;

const actions = {
  write,
  view,
  isRevealed: (message) => revealed.has(message.message_id),
  reveal(message) {
    revealed.add(message.message_id);
    sessionStorage.setItem(`revealed ${chatId}`, JSON.stringify([...revealed]));
  },
  async press(message, key, button) {
    button.classList.add("pressed");
    const number = message.ephemeral_message_id ?? message.message_id;
    if (!await post("presses", { message_id: number, button: key.callback_data })) {
      notice(say("not_pressed"));
      button.classList.remove("pressed");
    }
    setTimeout(() => button.classList.remove("pressed"), ACTION_MS);
  },
  async stop(draftId) {
    notice(say(await post("stops", { draft_id: draftId }) ? "stopped" : "not_pressed"));
  },
  show(event, replied) {
    const item = find("messages").querySelector(`[data-message="m${replied.message_id}"]`);
    event.preventDefault();
    item?.scrollIntoView({ block: "center" });
    item?.classList.add("shown");
    setTimeout(() => item?.classList.remove("shown"), 1200);
  },
};

// Returns whether it was taken; without a connection it was not.
async function post(route, body) {
  try {
    const answer = await fetch(`${routes}/${route}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ user_id: userId, language_code: language, ...body }),
    });
    return answer.ok;
  } catch {
    return false;
  }
}

// Returns the words that were not sent; they stay in the message field, with a sentence above it.
async function write(words) {
  const pieces = words.match(PIECES) ?? [];
  while (pieces.length) {
    if (pieces[0].trim() && !await post("messages", { text: pieces[0] })) break;
    pieces.shift();
  }
  find("unsent").textContent = pieces.length ? say("failed") : "";
  find("unsent").hidden = !pieces.length;
  return pieces.join("");
}

async function load() {
  let state;
  try {
    state = await (await fetch(`${routes}/messages?user_id=${userId}&language_code=${language}`)).json();
  } catch {
    find("status").textContent = say("lost");
    setTimeout(load, RETRY_MS);
    return;
  }
  events?.close();
  const title = state.chat.title ?? state.bot?.first_name ?? "Sandbox";
  document.title = title;
  find("title").textContent = title;
  find("avatar").textContent = title.slice(0, 1);
  find("messages").replaceChildren(
    ...state.messages.map((message) => messageElement(message, actions)),
    ...state.drafts.map((draft) => draftElement(draft, actions)),
  );
  showCommands(state.commands);
  showEmptiness();
  showActivity(null);
  scrollDown("instant");
  follow(state.last_event);
}

function follow(lastEvent) {
  events = new EventSource(`${routes}/events?user_id=${userId}&after=${lastEvent}`);
  const on = (kind, handle) => events.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  on("message", add);
  on("edited", replace);
  on("deleted", remove);
  on("draft", draft);
  on("draft_gone", (gone) => draftItem(gone.draft_id)?.remove());
  on("chat_action", (action) => showActivity(action.action));
  on("callback_answer", answered);
  on("reaction", () => load());
  on("reload", () => load());
  events.onerror = () => { find("status").textContent = say("lost"); };
  events.onopen = () => { find("status").textContent = say("bot"); };
}

function add(message) {
  const wasAtEnd = isAtEnd();
  if (item(messageKey(message))) return;
  if (message.from.is_bot) showActivity(null);
  find("messages").append(messageElement(message, actions));
  showEmptiness();
  if (wasAtEnd || !message.from.is_bot) scrollDown("smooth");
}

function replace(message) {
  const old = item(messageKey(message));
  const wasAtEnd = isAtEnd();
  const made = messageElement(message, actions);
  if (!old) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const isByKeyboard = focused?.matches(":focus-visible");
  old.replaceWith(made);
  // On to the same button; if it is gone, to where a person goes on: the next message.
  if (focused) (twin(made, focused) ?? find(isByKeyboard ? "text" : "log")).focus();
  if (wasAtEnd) scrollDown("instant");
}

function twin(made, focused) {
  const isSame = (each) => each.tagName === focused.tagName && each.textContent === focused.textContent;
  return [...made.querySelectorAll("button, a")].find(isSame);
}

function remove(gone) {
  const key = gone.ephemeral_message_id ? `e${gone.ephemeral_message_id}` : `m${gone.message_id}`;
  item(key)?.remove();
  showEmptiness();
}

function draft(shown) {
  const made = draftElement(shown, actions);
  const old = draftItem(shown.draft_id);
  showActivity(null);
  if (old) old.replaceWith(made);
  else find("messages").append(made);
  scrollDown("smooth");
}

function answered(answer) {
  find("messages").querySelectorAll(".pressed").forEach((key) => key.classList.remove("pressed"));
  if (!answer.text) return;
  if (!answer.show_alert) { notice(answer.text); return; }
  const alert = find("alert");
  alert.querySelector("p").textContent = answer.text;
  alert.showModal();
}

function showActivity(action) {
  clearTimeout(actionTimer);
  const isKnown = ACTIONS.has(action);
  const place = find("activity");
  find("status").textContent = isKnown ? say(action) : say("bot");
  place.hidden = !isKnown;
  place.className = isKnown ? action : "";
  place.replaceChildren(...(isKnown ? [activityElement(action)] : []));
  if (!isKnown) return;
  scrollDown("smooth");
  actionTimer = setTimeout(() => showActivity(null), ACTION_MS);
}

function activityElement(action) {
  if (action === "upload_photo") {
    return element("div", { class: "ghost" }, element("span", {}, say(action)));
  }
  return element("div", { class: "dots" }, element("i"), element("i"), element("i"));
}

function showCommands(commands) {
  find("menu").hidden = !commands.length;
  find("commands").replaceChildren(...commands.map(({ command, description }) => element(
    "button",
    { type: "button", onclick: () => { toggleCommands(false); write(`/${command}`); } },
    element("strong", {}, `/${command}`), element("span", {}, description),
  )));
}

function toggleCommands(isOpen) {
  find("commands").hidden = !isOpen;
  find("menu").setAttribute("aria-expanded", String(isOpen));
}

function showEmptiness() {
  const isEmpty = !find("messages").children.length;
  find("empty").hidden = !isEmpty;
  find("start").hidden = !isEmpty;
}

function notice(words) {
  clearTimeout(noticeTimer);
  find("notice").textContent = words;
  find("notice").hidden = false;
  noticeTimer = setTimeout(() => { find("notice").hidden = true; }, ACTION_MS);
}

// As high as its lines; scrollHeight does not count the border.
function fitText() {
  const text = find("text");
  text.style.height = "";
  const border = text.offsetHeight - text.clientHeight;
  text.style.height = `${text.scrollHeight + border}px`;
}

function view(address, alt) {
  const image = find("viewer").querySelector("img");
  image.src = address;
  image.alt = alt;
  find("viewer").showModal();
}

const item = (key) => find("messages").querySelector(`[data-message="${key}"]`);
const draftItem = (draftId) => find("messages").querySelector(`[data-draft="${draftId}"]`);

function isAtEnd() {
  const log = find("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 120;
}

function scrollDown(behavior) {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  find("log").scrollTo({ top: find("log").scrollHeight, behavior: isCalm ? "instant" : behavior });
}

function translate() {
  document.documentElement.lang = language;
  find("text").placeholder = say("message");
  for (const [id, key] of [["text", "message"], ["send", "send"], ["menu", "commands"],
    ["commands", "commands"], ["log", "messages"], ["back", "all_chats"], ["viewer", "photo"]]) {
    find(id).setAttribute("aria-label", say(key));
  }
  find("viewer").querySelector("button").setAttribute("aria-label", say("close"));
  find("start").textContent = say("start");
  find("empty").textContent = say("empty");
  find("back").href = pageAddress("/");
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = find("text").value.trim();
  if (words) {
    find("text").value = await write(words);
    fitText();
  }
  find("text").focus();
});
find("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    find("form").requestSubmit();
  }
});
find("text").addEventListener("input", () => { find("unsent").hidden = true; fitText(); });
find("start").addEventListener("click", () => { write("/start"); find("text").focus(); });
find("menu").addEventListener("click", () => toggleCommands(find("commands").hidden));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !find("commands").hidden) { toggleCommands(false); find("menu").focus(); }
});
// The last message stays in sight when the message field grows.
new ResizeObserver(() => { if (isAtEnd()) scrollDown("instant"); }).observe(find("log"));
// A photo that has loaded is higher than its place was.
find("messages").addEventListener("load", () => { if (isAtEnd()) scrollDown("instant"); }, true);

translate();
await load();
