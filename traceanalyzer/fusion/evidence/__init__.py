"""Evidence of producer-consumer edges between the operators of a step."""
