"""`make matrix`: the wheel beside the packages of other bots, on several versions of Python.

- `combinations.py`: what is installed with what
- `environment.py`: an environment for each combination, made by pip
- `journey.py`: the script that runs in it: a bot with the hook, from a turn to its picture
- `backends.py`: the servers and the worker that all of them share
- `__main__.py`: the command, and the table that docs/bot.md quotes
"""
