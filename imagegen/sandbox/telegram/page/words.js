// What the page itself says, in the language of the browser.

const WORDS = {
  en: {
    message: "Message", send: "Send", start: "Start", commands: "Commands", messages: "Messages",
    all_chats: "All chats", bot: "bot", typing: "typing…", upload_photo: "sending a photo…",
    upload_document: "sending a file…", empty: "Nothing was written yet.", you: "You",
    reveal: "Show the hidden photo", photo: "Photo", open_photo: "Open the photo",
    stop: "Stop", thinking: "Thinking…", edited: "edited", lost: "connection lost, trying again…",
    failed: "The message could not be sent. Please try again.", protected: "cannot be forwarded",
    only_you: "only you can see this", deleted: "deleted message", close: "Close",
    not_pressed: "The button could not be pressed. Please try again.", stopped: "Stopped.",
    chats: "Chats", new_chat: "Start a chat", a_file: "a file", a_picture: "a picture",
  },
  ru: {
    message: "Сообщение", send: "Отправить", start: "Начать", commands: "Команды",
    messages: "Сообщения", all_chats: "Все чаты", bot: "бот", typing: "печатает…",
    upload_photo: "отправляет фото…", upload_document: "отправляет файл…",
    empty: "Здесь ещё ничего не написано.", you: "Ты", reveal: "Показать скрытое фото",
    photo: "Фото", open_photo: "Открыть фото", stop: "Остановить", thinking: "Думает…",
    edited: "изменено", lost: "связь потеряна, пробую снова…",
    failed: "Сообщение не отправилось. Попробуй, пожалуйста, ещё раз.", protected: "нельзя переслать",
    only_you: "видно только тебе", deleted: "удалённое сообщение", close: "Закрыть",
    not_pressed: "Кнопка не нажалась. Попробуй, пожалуйста, ещё раз.", stopped: "Остановлено.",
    chats: "Чаты", new_chat: "Начать чат", a_file: "файл", a_picture: "картинка",
  },
};

const chosen = new URLSearchParams(location.search).get("lang");
export const language = (chosen ?? navigator.language).toLowerCase().startsWith("ru") ? "ru" : "en";
// The address of another page, in the language that was chosen by hand.
export const pageAddress = (path) => (chosen === null ? path : `${path}?lang=${encodeURIComponent(chosen)}`);
export const say = (key) => WORDS[language][key];
