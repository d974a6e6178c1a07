// Messages as elements of the page. All that people and bots wrote goes in as text, never as HTML.

import { say } from "./words.js";

const TAGS = {
  bold: "strong", italic: "em", underline: "u", strikethrough: "s", code: "code", pre: "pre",
  blockquote: "blockquote", expandable_blockquote: "blockquote",
};
const clock = new Intl.DateTimeFormat(navigator.language, { hour: "2-digit", minute: "2-digit" });

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const fileAddress = (file) => `/file/${encodeURIComponent(file.file_id)}`;

export function messageElement(message, actions) {
  const isOwn = !message.from.is_bot;
  const words = message.text ?? message.caption;
  const entities = message.entities ?? message.caption_entities ?? [];
  const classes = ["message", isOwn ? "own" : "others"];
  if (message.photo) classes.push("with-photo");
  const bubble = element(
    "div", { class: "bubble" },
    element("span", { class: "who" }, `${isOwn ? say("you") : message.from.first_name}: `),
    quote(message, actions),
    media(message, actions),
    words ? element("p", { class: "words", dir: "auto" }, ...formatted(words, entities, actions)) : null,
    reactions(message),
    facts(message),
  );
  const item = element("li", { class: classes.join(" "), "data-message": messageKey(message) }, bubble);
  const keys = keyboard(message, actions);
  if (keys) item.append(keys);
  return item;
}

export const messageKey = (message) =>
  message.ephemeral_message_id ? `e${message.ephemeral_message_id}` : `m${message.message_id}`;

export function draftElement(draft, actions) {
  const words = draft.text || say("thinking");
  const bubble = element(
    "div", { class: "bubble" },
    element("p", { class: "words", dir: "auto" }, ...formatted(words, draft.entities ?? [], actions)),
  );
  const item = element("li", { class: "message others draft", "data-draft": draft.draft_id }, bubble);
  if (draft.can_stop) {
    const stop = element("button", { type: "button", onclick: () => actions.stop(draft.draft_id) }, say("stop"));
    item.append(element("div", { class: "keys" }, element("div", { class: "row" }, stop)));
  }
  return item;
}

function quote(message, actions) {
  const replied = message.reply_to_message;
  if (!replied) return null;
  const words = replied.text ?? replied.caption ?? (replied.from ? say("photo") : say("deleted"));
  const link = { class: "quote", href: `#m${replied.message_id}`, onclick: (event) => actions.show(event, replied) };
  return element("a", link, words.length > 80 ? `${words.slice(0, 80)}…` : words);
}

function media(message, actions) {
  if (message.photo) return photo(message, message.photo.at(-1), actions);
  if (!message.document) return null;
  const file = message.document;
  const kilobytes = Math.max(1, Math.round(file.file_size / 1024));
  return element(
    "a", { class: "file", href: fileAddress(file), download: file.file_name || true },
    element("span", { class: "file-icon", "aria-hidden": "true" }, "↓"),
    element("span", {}, element("strong", {}, file.file_name || "file"), element("small", {}, `${kilobytes} KB`)),
  );
}

function photo(message, size, actions) {
  const alt = message.caption ? `${say("photo")}: ${message.caption}` : say("photo");
  const image = element("img", { src: fileAddress(size), alt, width: size.width, height: size.height });
  const isHidden = message.has_media_spoiler && !actions.isRevealed(message);
  const button = element(
    "button", { type: "button", class: isHidden ? "photo hidden-photo" : "photo" }, image,
  );
  if (isHidden) {
    image.alt = "";
    button.append(element("span", { class: "reveal" }, say("reveal")));
  }
  button.addEventListener("click", () => {
    if (!button.classList.contains("hidden-photo")) return actions.view(image.src, alt);
    actions.reveal(message);
    button.classList.remove("hidden-photo");
    button.querySelector(".reveal").remove();
    image.alt = alt;
  });
  return button;
}

function facts(message) {
  const time = new Date(message.date * 1000);
  const notes = [
    message.ephemeral_message_id ? say("only_you") : "",
    message.has_protected_content ? say("protected") : "",
    message.edit_date ? say("edited") : "",
  ].filter(Boolean);
  const parts = notes.map((note) => element("span", {}, note));
  return element("div", { class: "facts" }, ...parts, element("time", { datetime: time.toISOString() }, clock.format(time)));
}

function reactions(message) {
  if (!message.reactions?.length) return null;
  return element("div", { class: "reactions" }, message.reactions.join(" "));
}

function keyboard(message, actions) {
  const rows = message.reply_markup?.inline_keyboard;
  if (!rows?.length) return null;
  return element("div", { class: "keys" }, ...rows.map((row) => element(
    "div", { class: "row" }, ...row.map((key) => keyElement(message, key, actions)),
  )));
}

function keyElement(message, key, actions) {
  if (key.url) return element("a", { href: safeAddress(key.url), target: "_blank", rel: "noopener noreferrer" }, key.text);
  const button = element("button", { type: "button" }, key.text);
  button.addEventListener("click", () => actions.press(message, key, button));
  return button;
}

// Only addresses of the web are links; `javascript:` and the like are not.
const safeAddress = (address) => (/^(https?:|tg:)/i.test(address) ? address : undefined);

// Entities count UTF-16 units, as the strings of this language do.
function formatted(words, entities, actions) {
  const edges = new Set([0, words.length]);
  for (const entity of entities) {
    edges.add(entity.offset);
    edges.add(entity.offset + entity.length);
  }
  const places = [...edges].sort((a, b) => a - b);
  return places.slice(0, -1).map((start, index) => {
    const end = places[index + 1];
    const around = entities.filter((each) => each.offset <= start && each.offset + each.length >= end);
    return around.reduceRight((inner, entity) => wrapped(inner, entity, words, actions), words.slice(start, end));
  });
}

// A moment as the reader's clock shows it. Telegram's other formats stay as they were written.
function timeElement(entity) {
  if (entity.date_time_format !== "t") return null;
  const time = new Date(entity.unix_time * 1000);
  return element("time", { datetime: time.toISOString() }, clock.format(time));
}

function wrapped(inner, entity, words, actions) {
  const whole = words.slice(entity.offset, entity.offset + entity.length);
  switch (entity.type) {
    case "bot_command":
      return element("button", { type: "button", class: "command", onclick: () => actions.write(whole) }, inner);
    case "url":
      return element("a", { href: safeAddress(whole) ?? `https://${whole}`, target: "_blank", rel: "noopener noreferrer" }, inner);
    case "text_link":
      return element("a", { href: safeAddress(entity.url), target: "_blank", rel: "noopener noreferrer" }, inner);
    case "spoiler":
      return element("button", { type: "button", class: "spoiler", onclick: (event) => event.currentTarget.classList.add("shown") }, inner);
    case "date_time":
      return timeElement(entity) ?? inner;
    default:
      return TAGS[entity.type] ? element(TAGS[entity.type], {}, inner) : inner;
  }
}
