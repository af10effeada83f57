"""Judged in, Suggestions out: evidence of producer-consumer edges, fusible regions, rules, savings."""
