"""Tune's callbacks: what is printed, plotted, written and deleted while a search runs."""
