"""What brings a board to boot from where it should, whatever its firmware would choose: one file a kind."""
