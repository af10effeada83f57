"""Which operator reads what another wrote, and what proves it."""
