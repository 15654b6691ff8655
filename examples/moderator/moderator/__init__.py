"""Keeps an eye on posts: refuses words, calms shouting, and shows live what it did."""
