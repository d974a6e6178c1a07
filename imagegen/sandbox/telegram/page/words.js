// What the page itself says, in the language of the browser.

const WORDS = {
  en: {
    message: "Message", send: "Send", start: "Start", commands: "Commands", messages: "Messages",
    all_chats: "All chats", bot: "bot", typing: "typing…", upload_photo: "sending a photo…",
    upload_document: "sending a file…", empty: "Nothing was written yet.", you: "You",
    reveal: "Show the hidden photo", photo: "Photo", open_photo: "Open the photo",
    stop: "Stop", thinking: "Thinking…", edited: "edited", lost: "connection lost, trying again…",
    failed: "The message could not be sent.", protected: "cannot be forwarded",
    only_you: "only you can see this", deleted: "deleted message", close: "Close",
  },
  ru: {
    message: "Сообщение", send: "Отправить", start: "Начать", commands: "Команды",
    messages: "Сообщения", all_chats: "Все чаты", bot: "бот", typing: "печатает…",
    upload_photo: "отправляет фото…", upload_document: "отправляет файл…",
    empty: "Здесь ещё ничего не написано.", you: "Ты", reveal: "Показать скрытое фото",
    photo: "Фото", open_photo: "Открыть фото", stop: "Остановить", thinking: "Думает…",
    edited: "изменено", lost: "связь потеряна, пробую снова…",
    failed: "Сообщение не отправилось.", protected: "нельзя переслать",
    only_you: "видно только тебе", deleted: "удалённое сообщение", close: "Закрыть",
  },
};

const asked = new URLSearchParams(location.search).get("lang") ?? navigator.language;
export const language = asked.toLowerCase().startsWith("ru") ? "ru" : "en";
export const say = (key) => WORDS[language][key];
