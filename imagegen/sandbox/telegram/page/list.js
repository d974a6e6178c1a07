// The list of chats, the latest first, and a link to a chat that nobody has used.

const answer = await (await fetch("/sandbox/chats")).json();
const chats = answer.chats.sort((a, b) => b.last_message.date - a.last_message.date);
for (const chat of chats) {
  const row = document.createElement("li");
  const link = document.createElement("a");
  const name = document.createElement("strong");
  const words = document.createElement("span");
  link.href = `/chat/${chat.id}`;
  name.textContent = chat.title ?? chat.first_name;
  words.textContent = chat.last_message.text ?? chat.last_message.caption ?? (chat.last_message.document ? "a file" : "a picture");
  link.append(name, words);
  row.append(link);
  document.getElementById("chats").append(row);
}
const used = new Set(chats.map((chat) => chat.id));
let number = 1001;
while (used.has(number)) number += 1;
document.getElementById("new").href = `/chat/${number}`;
