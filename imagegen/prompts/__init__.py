"""Who is drawn, and in what scene."""
