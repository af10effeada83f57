"""What operators hand to each other, and what fusing them would save."""
