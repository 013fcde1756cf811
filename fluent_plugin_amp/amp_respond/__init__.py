"""The program `amp-respond`: hunts, isolates, blocks, and takes it back."""
