"""Figures of spines; nothing that is published is computed here."""
