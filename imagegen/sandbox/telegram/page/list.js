// The list of chats, the latest first, and a link to a chat that nobody has used.

import { language, pageAddress, say } from "./words.js";

document.documentElement.lang = language;
document.title = say("chats");
document.querySelector("h1").textContent = say("chats");
document.getElementById("new").textContent = say("new_chat");

const answer = await (await fetch("/sandbox/chats")).json();
const chats = answer.chats.sort((a, b) => b.last_message.date - a.last_message.date);
for (const chat of chats) {
  const row = document.createElement("li");
  const link = document.createElement("a");
  const name = document.createElement("strong");
  const words = document.createElement("span");
  const last = chat.last_message;
  link.href = pageAddress(`/chat/${chat.id}`);
  name.textContent = chat.title ?? chat.first_name;
  words.textContent = last.text ?? last.caption ?? say(last.document ? "a_file" : "a_picture");
  link.append(name, words);
  row.append(link);
  document.getElementById("chats").append(row);
}
const used = new Set(chats.map((chat) => chat.id));
let number = 1001;
while (used.has(number)) number += 1;
document.getElementById("new").href = pageAddress(`/chat/${number}`);
