"""What runs in RAM on a board: it pulls steps from its rack, works, and reports."""
