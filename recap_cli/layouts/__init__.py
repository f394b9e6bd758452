"""The layouts that songs come in: each is recognised, and its reader gives the same records."""
