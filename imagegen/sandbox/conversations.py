"""What people say to the eight personas in the demo; all of them fictional adults."""

# The reply of the persona comes after each message; pictures show the last message.
LINES: tuple[str, ...] = (
    "Hi! How was your day?",
    "Привет ещё раз, чем занимаешься?",
    "Let's walk through the autumn park, the leaves are golden and the sun is low.",
    "Сижу в маленьком кафе у окна, за стеклом идёт дождь.",
    "I am on the roof terrace, the evening city lights are just coming on.",
)


def line(number: int) -> str:
    """Return the user's message of that number, counted from 1, for as long as one likes."""
    return LINES[(number - 1) % len(LINES)]
