"""Colours of the sandbox's drawings."""

import colorsys

Colour = tuple[int, int, int]


def coloured(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour; all three are fractions, and the hue begins anew after 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def blended(one: Colour, other: Colour, fraction: float) -> Colour:
    """Return a mixture of two colours, with that `fraction` of the other."""
    red, green, blue = (round(a + (b - a) * fraction) for a, b in zip(one, other, strict=True))
    return red, green, blue
