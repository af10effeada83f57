"""A judged trace and its suggestions, as the finished Analysis."""
