"""Chaos: bots that ask, a monkey that breaks everything, and a verdict from the outside."""
