"""Tune's callbacks. They print, plot, write and delete while a search runs."""
