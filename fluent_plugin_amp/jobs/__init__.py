"""What the commands do besides `run`: check, replay, explain."""
