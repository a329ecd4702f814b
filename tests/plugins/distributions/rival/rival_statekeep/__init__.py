"""Offers names that are taken."""
